/* Parses names of backups from their right-hand end. */
#include "backup_name.h"

#include <ctype.h>
#include <string.h>

#define PREFIX "backup_"
#define SUFFIX ".tar.zst"
#define STAMP_SIZE 15

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
    size_t length = strlen(name);
    size_t prefix = strlen(PREFIX);
    size_t suffix = strlen(SUFFIX);
    if (length <= prefix + suffix || strncmp(name, PREFIX, prefix) != 0 ||
        strcmp(name + length - suffix, SUFFIX) != 0) {
        return false;
    }
    size_t end = length - suffix;
    size_t identifier = last_part(name, end);
    if (!is_identifier(name + end - identifier, identifier)) {
        return false;
    }
    end -= identifier + 1;
    if (end < prefix + 1 + 1 + STAMP_SIZE || last_part(name, end) != STAMP_SIZE || !is_stamp(name + end - STAMP_SIZE)) {
        return false;
    }
    memcpy(parsed->stamp, name + end - STAMP_SIZE, STAMP_SIZE);
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
