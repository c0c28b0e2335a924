/* Parses names of backups from their right-hand end. */
#include "backup_name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "backup_"
#define STAMP_SIZE 15

struct ending {
    const char *text;
    unsigned value;
};

static const struct ending encryptions[] = {
    {".age", ENCRYPTION_AGE}, {".gpg", ENCRYPTION_GPG}, {NULL, ENCRYPTION_NONE}};
static const struct ending formats[] = {
    {".tar.zst", FORMAT_ZSTD}, {".tar.gz", FORMAT_GZIP}, {".tar.xz", FORMAT_XZ}, {".tar", FORMAT_TAR}, {NULL, 0}};

/* Which of the endings name[0..*end) has; *end moves before it. NULL's is the answer where it has none of them. */
static const struct ending *take_ending(const char *name, size_t *end, const struct ending *endings)
{
    for (; endings->text != NULL; endings++) {
        size_t size = strlen(endings->text);
        if (*end > size && memcmp(name + *end - size, endings->text, size) == 0) {
            *end -= size;
            break;
        }
    }
    return endings;
}

/* The fetcher asks S3 for these alone (workers/fetcher/s3.c). */
static bool is_of_these_millennia(const char *stamp)
{
    return stamp[0] == '1' || stamp[0] == '2';
}

static bool is_stamp(const char *at)
{
    for (size_t i = 0; i < STAMP_SIZE; i++) {
        if (i == 8 ? at[i] != '-' : !isdigit((unsigned char)at[i])) {
            return false;
        }
    }
    int month = (at[4] - '0') * 10 + at[5] - '0';
    int day = (at[6] - '0') * 10 + at[7] - '0';
    int hour = (at[9] - '0') * 10 + at[10] - '0';
    int minute = (at[11] - '0') * 10 + at[12] - '0';
    int second = (at[13] - '0') * 10 + at[14] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour <= 23 && minute <= 59 && second <= 60;
}

/* Length of the last part of name[0..end) that follows a '_', or 0. */
static size_t last_part(const char *name, size_t end)
{
    size_t size = 0;
    while (size < end && name[end - size - 1] != '_') {
        size++;
    }
    return size == end ? 0 : size;
}

static bool is_identifier(const char *at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)at[i]) && at[i] != '-') {
            return false;
        }
    }
    return size > 0;
}

bool backup_name_parse(const char *name, struct backup_name *parsed)
{
    size_t prefix = strlen(PREFIX);
    size_t end = strlen(name);
    parsed->encryption = (enum encryption)take_ending(name, &end, encryptions)->value;
    const struct ending *format = take_ending(name, &end, formats);
    if (format->text == NULL || end <= prefix || strncmp(name, PREFIX, prefix) != 0) {
        return false;
    }
    parsed->format = (enum archive_format)format->value;
    size_t identifier = last_part(name, end);
    if (!is_identifier(name + end - identifier, identifier)) {
        return false;
    }
    end -= identifier + 1;
    if (end < prefix + 1 + 1 + STAMP_SIZE || last_part(name, end) != STAMP_SIZE) {
        return false;
    }
    const char *stamp = name + end - STAMP_SIZE;
    if (!is_stamp(stamp) || !is_of_these_millennia(stamp)) {
        return false;
    }
    memcpy(parsed->stamp, stamp, STAMP_SIZE);
    parsed->stamp[STAMP_SIZE] = '\0';
    parsed->project = name + prefix;
    parsed->project_size = end - STAMP_SIZE - 1 - prefix;
    return true;
}

bool backup_name_is_of(const char *name, const char *project, struct backup_name *parsed)
{
    return backup_name_parse(name, parsed) && parsed->project_size == strlen(project) &&
           memcmp(parsed->project, project, parsed->project_size) == 0;
}

/* "dddd-dd-dd dd:dd": every d is a digit, the rest stands as it is; a blank stands for T as well. */
static bool has_form(const char *text, const char *form)
{
    for (; *form != '\0'; form++, text++) {
        bool fits = *form == 'd'   ? isdigit((unsigned char)*text) != 0
                    : *form == ' ' ? *text == 'T' || *text == 't' || *text == ' '
                                   : *text == *form;
        if (!fits) {
            return false;
        }
    }
    return *text == '\0';
}

bool backup_stamp_parse(const char *text, char stamp[16])
{
    static const char *const forms[] = {"dddd-dd-dd", "dddd-dd-dd dd:dd", "dddd-dd-dd dd:dd:dd", "dddddddd-dddddd"};
    bool known = false;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        known = known || has_form(text, forms[i]);
    }
    if (!known) {
        return false;
    }
    char digits[15] = "00000000000000";
    for (size_t used = 0; *text != '\0'; text++) {
        if (isdigit((unsigned char)*text)) {
            digits[used++] = *text;
        }
    }
    snprintf(stamp, 16, "%.8s-%.6s", digits, digits + 8);
    return is_stamp(stamp);
}
