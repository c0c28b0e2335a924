/* Times as S3 writes them. */
#include "s3_time.h"

#include <stdio.h>
#include <string.h>

/* Days from 1970-01-01 of the proleptic Gregorian calendar; years begin in March, so that a leap day ends one. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t month_from_march = (month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

int64_t s3_time_iso(const char *text)
{
    unsigned year, month, day, hour, minute, second;
    int used = 0;
    if (sscanf(text, "%4u-%2u-%2uT%2u:%2u:%2u%n", &year, &month, &day, &hour, &minute, &second, &used) != 6) {
        return -1;
    }
    const char *rest = text + used;
    rest += *rest == '.' ? 1 + strspn(rest + 1, "0123456789") : 0;
    if (strcmp(rest, "Z") != 0 || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
        minute > 59 || second > 60) {
        return -1;
    }
    return days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}
