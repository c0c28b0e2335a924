/* Takes the lines of some roles out of pg_dumpall's output; see undo_filter.h. */
#include "undo_filter.h"

#include <string.h>

static int add_line(struct undo_filter *filter, const char *statement, const char *role)
{
    char *line = filter->wanted[filter->left];
    size_t used = strlen(statement);
    memcpy(line, statement, used);
    line[used++] = '"';
    for (; *role != '\0'; role++) {
        if (used + 5 > UNDO_FILTER_LINE) {
            return -1;
        }
        if (*role == '"') {
            line[used++] = '"';
        }
        line[used++] = *role;
    }
    memcpy(line + used, "\";", 3);
    filter->left++;
    return 0;
}

int undo_filter_add(struct undo_filter *filter, const char *role)
{
    if (filter->left + 2 > 2 * UNDO_FILTER_ROLES) {
        return -1;
    }
    return add_line(filter, "DROP ROLE IF EXISTS ", role) != 0 ? -1 : add_line(filter, "CREATE ROLE ", role);
}

/* A doubled quote leaves and enters again: the same. */
static void follow(struct undo_filter *filter, char byte)
{
    if (filter->within == '-') {
        filter->within = byte == '\n' ? '\0' : '-';
    } else if (filter->within != '\0') {
        filter->within = byte == filter->within ? '\0' : filter->within;
    } else if (byte == '\'' || byte == '"') {
        filter->within = byte;
    } else if (byte == '-' && filter->last == '-') {
        filter->within = '-';
    }
    filter->last = byte;
}

static bool take_out(struct undo_filter *filter)
{
    if (filter->line_long || filter->line_quoted) {
        return false;
    }
    for (unsigned i = 0; i < 2 * UNDO_FILTER_ROLES; i++) {
        char *wanted = filter->wanted[i];
        if (wanted[0] != '\0' && strlen(wanted) == filter->line_size &&
            memcmp(wanted, filter->line, filter->line_size) == 0) {
            wanted[0] = '\0';
            filter->left--;
            return true;
        }
    }
    return false;
}

static int pass_line(struct undo_filter *filter)
{
    size_t size = filter->line_size;
    filter->line_size = 0;
    return size == 0 ? 0 : filter->sink(filter->context, (const uint8_t *)filter->line, size);
}

static int end_line(struct undo_filter *filter)
{
    int result = 0;
    if (take_out(filter)) {
        filter->line_size = 0;
    } else {
        result = pass_line(filter);
        result = result != 0 ? result : filter->sink(filter->context, (const uint8_t *)"\n", 1);
    }
    filter->line_long = false;
    filter->line_quoted = filter->within != '\0';
    return result;
}

int undo_filter_feed(struct undo_filter *filter, const uint8_t *data, size_t size)
{
    int result = 0;
    while (size > 0 && result == 0 && filter->left > 0) {
        char byte = (char)*data;
        follow(filter, byte);
        data++;
        size--;
        if (byte == '\n') {
            result = end_line(filter);
            continue;
        }
        if (filter->line_size == sizeof filter->line) {
            filter->line_long = true;
            result = pass_line(filter);
        }
        filter->line[filter->line_size++] = byte;
    }
    return result != 0 || size == 0 ? result : filter->sink(filter->context, data, size);
}

int undo_filter_end(struct undo_filter *filter)
{
    int result = pass_line(filter);
    return result != 0 ? result : filter->left > 0 ? -1 : 0;
}
