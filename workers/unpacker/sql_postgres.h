/* Between the two files of the PostgreSQL lexer: sql_postgres.c reads, sql_postgres_statements.c decides. */
#ifndef SQL_POSTGRES_H
#define SQL_POSTGRES_H

#include "sql_parts.h"

/* Each is called when something has ended at `at`. Returns `at`, or NULL after sql_fail(). */
const unsigned char *sql_postgres_token(struct sql_lexer *lexer, const unsigned char *at, enum sql_token_kind kind);
const unsigned char *sql_postgres_statement(struct sql_lexer *lexer, const unsigned char *at); /* after its semicolon */
const unsigned char *sql_postgres_comment(struct sql_lexer *lexer, const unsigned char *at);   /* `--`, in text */
const unsigned char *sql_postgres_command(struct sql_lexer *lexer, const unsigned char *at);   /* `\`, in text */

#endif
