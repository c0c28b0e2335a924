/* Times as S3 writes them. Pure: no time zone file is read. */
#ifndef S3_TIME_H
#define S3_TIME_H

#include <stdint.h>

/* "2023-11-05T12:00:00.000Z", as in lists. Returns seconds since 1970, or -1. */
int64_t s3_time_iso(const char *text);

#endif
