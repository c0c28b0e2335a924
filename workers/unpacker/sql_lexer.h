/*
 * The filter that a dump passes on its way to psql or mariadb: lets SQL through, keeps client commands out.
 *
 * A dump is untrusted text for a client with meta-commands. The lexer reads it as that client would (psqlscan.l of
 * psql, client/mysql.cc of mariadb) and refuses what the client would take for a command, so that what is left is SQL.
 * It streams: a statement, row or string of any length passes in a few kilobytes of memory, and the output does not
 * depend on how the input was cut into pieces. It makes no system call.
 *
 * PostgreSQL (pg_dumpall --clean --if-exists, 9.6 and later; to be run by psql -X -w -v ON_ERROR_STOP=1, connected to
 * the database postgres as `login`):
 *   passes    SQL, `COPY ... FROM stdin;` with its rows and `\.`, `\connect` to a database and to nothing else
 *   drops     \restrict and \unrestrict (an older psql has no such command)
 *   rewrites  DROP ROLE x      revokes its memberships, drops it, and where that is impossible (it owns objects in a
 *                              database that the dump does not know) keeps it, with settings, limit, password and
 *                              comment cleared: the CREATE, ALTER and GRANT that follow make it equal the dump.
 *                              `login` is never dropped and keeps its password until its ALTER ROLE.
 *             CREATE ROLE x;   creates it where it does not exist
 *             DROP DATABASE x  clears datistemplate before (a template cannot be dropped)
 *             DROP TABLESPACE  is left out, and CREATE TABLESPACE made to create only what does not exist: the database
 *                              postgres, which is dropped later, may still have tables there
 *             Each becomes one line, so that line numbers in psql's errors are those of the dump.
 *   refuses   every other backslash command, COPY with a program, a server file or options, :NAME of a psql variable,
 *             client encodings in which a byte of a character can look like a backslash, and, where the encoding and
 *             standard_conforming_strings have not been set since the last \connect, text that depends on them
 * MariaDB (mariadb-dump or mysqldump --all-databases; to be run by mariadb --binary-mode without --force):
 *   passes    SQL, versioned comments, DELIMITER lines
 *   drops     the sandbox line
 *   refuses   \X outside of strings, statements that begin with a client command, LOAD DATA, and client character sets
 *             as above
 * Both: a dump without its trailer line or with SQL after it.
 */
#ifndef SQL_LEXER_H
#define SQL_LEXER_H

#include <stddef.h>

#include "messages.h"

/* Each returns 0, or -1 to stop (the lexer then fails too). Strings live until the function returns. */
struct sql_sink {
    int (*sql)(void *context, const void *data, size_t size); /* what is to be loaded, in order */
    int (*database)(void *context, const char *name);         /* a database that the dump creates (MariaDB: or uses) */
    int (*role)(void *context, const char *name);             /* a role that the dump creates; PostgreSQL alone */
    int (*version)(void *context, const char *text);          /* of the dumped server, once, as the dump says it */
    void *context;
};

struct sql_lexer;

/* kind: SECTION_POSTGRES or SECTION_MARIADB. login and sink are copied. NULL: out of memory, or no such kind. */
struct sql_lexer *sql_lexer_new(enum section_kind kind, const char *login, const struct sql_sink *sink);

/* Returns 0, or -1: sql_lexer_error() says why, and every later call fails too. */
int sql_lexer_feed(struct sql_lexer *lexer, const void *data, size_t size);

/* The dump has ended: 0 if its trailer was there and nothing is left open, or -1. */
int sql_lexer_end(struct sql_lexer *lexer);

/* One line with the line number of the dump; empty where nothing failed. Lives as long as the lexer. */
const char *sql_lexer_error(const struct sql_lexer *lexer);

/* NULL is allowed. */
void sql_lexer_free(struct sql_lexer *lexer);

#endif
