/* SQL for a database client and the rows of its answer. Pure: no process, no descriptor. */
#ifndef ANSWER_ROWS_H
#define ANSWER_ROWS_H

#include <stdbool.h>
#include <stddef.h>

/* A row of a query's answer: value is NUL-terminated and may hold any byte but NUL. */
struct row {
    const char *key;
    char *value;
};

/*
 * Splits the lines `key TAB hexadecimal` of `text` into rows, in place; other lines are an error (-1). Rows are on the
 * heap. An empty value or NULL is the empty string.
 */
int rows_parse(char *text, struct row **rows, size_t *count);

/* Text that grows; NULL text is the empty one. `failed` is set where memory ran out, and kept. */
struct sql {
    char *text;
    size_t size;
    size_t capacity;
    bool failed;
};
void sql_free(struct sql *sql);
#define cleanup_sql __attribute__((cleanup(sql_free)))
void sql_add(struct sql *sql, const char *text);
/* Quoted with `quote` around it and doubled inside: ' for PostgreSQL's literals, ` for MariaDB's identifiers. */
void sql_add_quoted(struct sql *sql, const char *text, char quote);

#endif
