/*
 * Credentials of a database server: found in the environment of its container, formatted for the server's own client,
 * and handed over so that they are never in argv, in an exec's environment, in a label, a log or a file that a crash
 * could leave behind.
 *
 * Source of behaviour: the official `postgres` and `mariadb` images (spec/archive-format.md, 'The containers').
 */
#ifndef CREDENTIALS_H
#define CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent.h"

/*
 * Reads a file inside the container for a *_FILE variable. Returns 0 and a string on the heap in *text (the caller
 * wipes and frees it), or -1 with one line in `error`.
 */
struct secret_reader {
    int (*read)(void *context, const char *path, char **text, char *error, size_t error_size);
    void *context;
};

/* Who logs in, and with what. Strings are on the heap and wiped by login_clear(). */
struct login {
    char *user;
    char *password;            /* NULL: none is configured (an empty one is one) */
    char *database;            /* that the application uses, or NULL */
    const char *password_name; /* variable that the password came from, for messages; NULL without one */
};

struct credentials {
    struct login superuser;   /* user is never NULL once found */
    struct login application; /* user NULL: none is configured */
    char warning[512];        /* a variable is set twice, or the like; empty without one */
    char error[512];          /* why credentials_find() returned -1 */
};

/*
 * Finds the superuser's login (PostgreSQL: POSTGRES_USER; MariaDB: root) and the application's. MARIADB_X wins over
 * MYSQL_X, a plain variable over its _FILE form; an ordinary user is never paired with root's password.
 * Returns 0, or -1 with credentials->error set (a _FILE that cannot be read). Clear it either way.
 */
int credentials_find(enum section_kind kind, const struct environment *environment, const struct secret_reader *reader,
                     struct credentials *credentials);

/* Only the superuser's name, without reading passwords: what a stopped container can tell. Heap; NULL with `error`. */
char *credentials_login_name(enum section_kind kind, const struct environment *environment,
                             const struct secret_reader *reader, char *error, size_t error_size);

void credentials_clear(struct credentials *credentials);
void login_clear(struct login *login);

/*
 * The client's password file for a login: a line for PGPASSFILE, or a [client] group for --defaults-extra-file.
 * Returns a string on the heap, to be wiped and freed, empty where there is no password and no file is needed; or NULL
 * with one line in `error` where the password cannot be written in such a file.
 */
char *credentials_file(enum section_kind kind, const struct login *login, char *error, size_t error_size);

#endif
