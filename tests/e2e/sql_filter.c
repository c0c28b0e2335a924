/* The SQL lexer as a filter: sql_filter postgres|mariadb LOGIN PIECE <dump >sql; events and the reason on stderr. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/unpacker/sql_lexer.h"

static int write_sql(void *context, const void *data, size_t size)
{
    (void)context;
    return fwrite(data, 1, size, stdout) == size ? 0 : -1;
}

static int print_database(void *context, const char *name)
{
    (void)context;
    return fprintf(stderr, "database %s\n", name) < 0 ? -1 : 0;
}

static int print_role(void *context, const char *name)
{
    (void)context;
    return fprintf(stderr, "role %s\n", name) < 0 ? -1 : 0;
}

static int print_version(void *context, const char *text)
{
    (void)context;
    return fprintf(stderr, "version %s\n", text) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return 2;
    }
    enum section_kind kind = strcmp(argv[1], "postgres") == 0 ? SECTION_POSTGRES : SECTION_MARIADB;
    size_t piece = strtoul(argv[3], NULL, 10);
    struct sql_sink sink = {write_sql, print_database, print_role, print_version, NULL};
    struct sql_lexer *lexer = sql_lexer_new(kind, argv[2], &sink);
    char *buffer = malloc(piece);
    ssize_t got;
    int verdict = 0;
    while (verdict == 0 && (got = read(STDIN_FILENO, buffer, piece)) > 0) {
        verdict = sql_lexer_feed(lexer, buffer, (size_t)got);
    }
    if (verdict != 0 || sql_lexer_end(lexer) != 0 || fflush(stdout) != 0) {
        fprintf(stderr, "%s\n", sql_lexer_error(lexer));
        verdict = 1;
    }
    free(buffer);
    sql_lexer_free(lexer);
    return verdict;
}
