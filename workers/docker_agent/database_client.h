/*
 * A database server's own client (psql, mariadb), run inside the server's container: the one way in which the agent
 * talks to a database. The password goes to it by a file that is gone before the client starts (the script in
 * database_client.c), never by argv or environment.
 */
#ifndef DATABASE_CLIENT_H
#define DATABASE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent.h"
#include "answer_rows.h"
#include "client_command.h"
#include "credentials.h"
#include "exec_stream.h"

#define CLIENT_ERROR_MAX 1024
#define CLIENT_OUTPUT_MAX (4 * 1024 * 1024)
#define LOOPBACK "127.0.0.1"

/* One database server of the stack while a verb works on it. End with server_close(), which wipes. */
struct server {
    struct agent *agent;
    const struct container *container;
    unsigned index;
    enum section_kind kind;
    struct credentials credentials;
    unsigned port; /* MariaDB: for TCP, where it is not the client's default; 0: that */
};

/*
 * Looks the container up and reads its credentials. 0, or -1 with one line in `error` and its exit code in *code; close
 * it either way.
 */
int server_open(struct agent *agent, uint64_t index, enum section_kind kind, struct server *server, unsigned *code,
                char *error, size_t error_size);
void server_close(struct server *server);
#define cleanup_server __attribute__((cleanup(server_close)))

/* "PostgreSQL" or "MariaDB". */
const char *server_product(const struct server *server);

/* Why a client failed, as far as its end tells. */
enum client_failure {
    CLIENT_OK,
    CLIENT_NO_SHELL,    /* the image has no sh */
    CLIENT_NO_PROGRAM,  /* no psql, mariadb or mysql, or no dd or rm for the hand-over */
    CLIENT_UNREACHABLE, /* no server answers where the client looked */
    CLIENT_ERROR,       /* the server answered: login refused, or an SQL error */
    CLIENT_ENGINE,      /* the Engine failed, or the deadline passed */
};

/* A client that runs. Poll client_fd() for input always, for output while client_has_input(). */
struct client {
    struct server *server;
    struct exec_stream *exec;
    enum client_program program;
    char *head; /* what goes before all other input: the password file; wiped once it is written */
    size_t head_size;
    size_t head_done;
    demux_sink *sink; /* CLIENT_DUMP: takes its output, or fails */
    void *sink_context;
    char *output; /* NUL-terminated */
    size_t output_size;
    bool output_cut; /* there was more than CLIENT_OUTPUT_MAX */
    uint64_t seen;   /* bytes of output and errors so far: a sign of life */
    char line[CLIENT_ERROR_MAX];
    size_t line_size;
    char error[CLIENT_ERROR_MAX]; /* first line of an error, with its DETAIL */
    char last[CLIENT_ERROR_MAX];  /* last line on stderr */
    bool no_file;                 /* no password file could be written in the container */
};

/* 0, or -1 with server->agent->engine.error or, where the password cannot be handed over, the same text there. */
int client_open(struct server *server, const struct client_options *options, struct client *client);
void client_close(struct client *client);
#define cleanup_client __attribute__((cleanup(client_close)))

/* Writes what is left of the head, then `data`: bytes of `data` taken (0: would block), or -1 with errno. */
ssize_t client_write(struct client *client, const void *data, size_t size);
bool client_has_head(const struct client *client);

/* Reads once: 1 more may come, 0 ended, -1 errno. */
int client_read(struct client *client);

/* After client_read() returned 0: how it ended. The reason is in client->error. */
enum client_failure client_end(struct client *client);

struct answer {
    enum client_failure failure;
    char error[CLIENT_ERROR_MAX]; /* one line; with CLIENT_OK empty */
    bool no_file;
    char *text; /* holds keys and values */
    size_t text_size;
    struct row *rows;
    size_t row_count;
};
/* Wipes, too: an answer may hold hashes of passwords. */
void answer_free(struct answer *answer);
#define cleanup_answer __attribute__((cleanup(answer_free)))

/*
 * Runs SQL and waits for its end, at most `deadline` seconds. CLIENT_OK and the rows, or why not. `options->program` is
 * CLIENT_QUERY.
 */
enum client_failure client_query(struct server *server, const struct client_options *options, const char *sql,
                                 unsigned deadline, struct answer *answer);

/* The same for any program, without parsing: answer->text is the output. */
enum client_failure client_run(struct server *server, const struct client_options *options, const char *input,
                               unsigned deadline, struct answer *answer);

/* The value of the first row with that key, or "". */
const char *answer_value(const struct answer *answer, const char *key);

#endif
