/* Builds SQL text and takes the rows of an answer apart. */
#include "answer_rows.h"

#include <stdlib.h>
#include <string.h>

static int hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = digit == '\0' ? NULL : strchr(digits, digit >= 'A' && digit <= 'F' ? digit + 32 : digit);
    return at == NULL ? -1 : (int)(at - digits);
}

/* In place. */
static int decode_hex(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in += 2) {
        int high = hex_digit(in[0]);
        int low = high < 0 ? -1 : hex_digit(in[1]);
        if (low < 0 || (high == 0 && low == 0)) {
            return -1;
        }
        *out++ = (char)(high * 16 + low);
    }
    *out = '\0';
    return 0;
}

static int parse_row(char *line, struct row *row)
{
    char *tab = strchr(line, '\t');
    if (tab == NULL) {
        return -1;
    }
    *tab = '\0';
    row->key = line;
    row->value = tab + 1;
    if (strcmp(row->value, "NULL") == 0) {
        row->value[0] = '\0';
    }
    return decode_hex(row->value);
}

int rows_parse(char *text, struct row **rows, size_t *count)
{
    size_t lines = 0;
    for (const char *at = text; *at != '\0'; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    *count = 0;
    *rows = calloc(lines + 1, sizeof **rows);
    if (*rows == NULL) {
        return -1;
    }
    for (char *line = text; *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end == NULL) {
            return -1;
        }
        *end = '\0';
        if (parse_row(line, &(*rows)[*count]) != 0) {
            return -1;
        }
        (*count)++;
        line = end + 1;
    }
    return 0;
}

void sql_free(struct sql *sql)
{
    free(sql->text);
    sql->text = NULL;
}

static void add_bytes(struct sql *sql, const char *bytes, size_t size)
{
    if (sql->failed) {
        return;
    }
    if (sql->size + size + 1 > sql->capacity) {
        size_t capacity = 2 * (sql->size + size + 1);
        char *larger = realloc(sql->text, capacity);
        if (larger == NULL) {
            sql->failed = true;
            return;
        }
        sql->text = larger;
        sql->capacity = capacity;
    }
    memcpy(sql->text + sql->size, bytes, size);
    sql->size += size;
    sql->text[sql->size] = '\0';
}

void sql_add(struct sql *sql, const char *text)
{
    add_bytes(sql, text, strlen(text));
}

void sql_add_quoted(struct sql *sql, const char *text, char quote)
{
    add_bytes(sql, &quote, 1);
    for (const char *at = text; *at != '\0'; at++) {
        add_bytes(sql, at, 1);
        if (*at == quote) {
            add_bytes(sql, at, 1);
        }
    }
    add_bytes(sql, &quote, 1);
}
