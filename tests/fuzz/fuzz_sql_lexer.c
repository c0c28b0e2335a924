/*
 * Fuzzes the SQL lexer. First byte: the kind of dump and the size of the pieces it is fed in; the rest is the dump.
 * Besides crashes, a difference between feeding it whole and in pieces is a finding: verdict, reason, SQL and events
 * must be the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/unpacker/sql_lexer.h"

/* The SQL and, marked, the events, in order of each. */
struct output {
    char *data[2];
    size_t size[2];
};

static void append(struct output *output, int which, const void *data, size_t size)
{
    output->data[which] = realloc(output->data[which], output->size[which] + size + 1);
    memcpy(output->data[which] + output->size[which], data, size);
    output->size[which] += size;
}

static int take_sql(void *context, const void *data, size_t size)
{
    append(context, 0, data, size);
    return 0;
}

static int take_event(void *context, const char *text)
{
    append(context, 1, text, strlen(text) + 1);
    return 0;
}

static int run(enum section_kind kind, const uint8_t *data, size_t size, size_t piece, struct output *output,
               char error[512])
{
    struct sql_sink sink = {take_sql, take_event, take_event, take_event, output};
    struct sql_lexer *lexer = sql_lexer_new(kind, "postgres", &sink);
    int verdict = 0;
    for (size_t at = 0; at < size && verdict == 0; at += piece) {
        size_t length = size - at < piece ? size - at : piece;
        uint8_t *copy = malloc(length);
        memcpy(copy, data + at, length);
        verdict = sql_lexer_feed(lexer, copy, length);
        free(copy);
    }
    verdict = verdict == 0 ? sql_lexer_end(lexer) : verdict;
    strncpy(error, sql_lexer_error(lexer), 511);
    sql_lexer_free(lexer);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    enum section_kind kind = data[0] & 1 ? SECTION_POSTGRES : SECTION_MARIADB;
    size_t piece = 1 + (data[0] >> 1);
    struct output whole = {0}, cut = {0};
    char error[2][512] = {{0}};
    int verdict = run(kind, data + 1, size - 1, size, &whole, error[0]);
    if (run(kind, data + 1, size - 1, piece, &cut, error[1]) != verdict || strcmp(error[0], error[1]) != 0) {
        abort();
    }
    for (int i = 0; verdict == 0 && i < 2; i++) {
        if (whole.size[i] != cut.size[i] ||
            (whole.size[i] > 0 && memcmp(whole.data[i], cut.data[i], whole.size[i]) != 0)) {
            abort();
        }
    }
    for (int i = 0; i < 2; i++) {
        free(whole.data[i]);
        free(cut.data[i]);
    }
    return 0;
}
