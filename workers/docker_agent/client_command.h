/*
 * How a database client is started in a container: `sh` with a script that takes the password file from the first bytes
 * of its input, then becomes the client. Nothing secret is in the command itself.
 */
#ifndef CLIENT_COMMAND_H
#define CLIENT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "answer_rows.h"
#include "credentials.h"
#include "messages.h"

#define CLIENT_ARGUMENTS_MAX 32

enum client_program {
    CLIENT_QUERY,  /* rows of two columns: a key and a value in hexadecimal */
    CLIENT_LOAD,   /* a dump; its output is dropped */
    CLIENT_EVENTS, /* mariadb-dump: the events of `database` as SQL */
    CLIENT_DUMP,   /* pg_dumpall or mariadb-dump: all that the server has, to client->sink */
    CLIENT_TRIAL,  /* the same program, saying its version alone: whether the image has it */
};

struct client_options {
    enum client_program program;
    const struct login *login; /* NULL: the superuser */
    const char *host;          /* NULL: the unix socket */
    const char *database;      /* NULL: `postgres`, or none */
    bool history;              /* mariadb-dump: with the history of versioned tables */
    const char *first;         /* psql: SQL before the input, which line numbers in errors do not count; or NULL */
};

/* An argv and the texts that it points into; command_free() it, whatever command_build() returned. */
struct command {
    const char *argv[CLIENT_ARGUMENTS_MAX];
    size_t count;
    char secret_size[24];
    char port[24];
    struct sql connection;
    struct sql user;
    struct sql host;
};
#define cleanup_command __attribute__((cleanup(command_free)))

/*
 * The argv for a client of `kind` that logs in as `login`; the first `secret_size` bytes of its input are the password
 * file (credentials_file()). `port`: for TCP, 0 for the client's default. 0, or -1 (no memory).
 */
int command_build(struct command *command, enum section_kind kind, const struct client_options *options,
                  const struct login *login, size_t secret_size, unsigned port);
void command_free(struct command *command);

#endif
