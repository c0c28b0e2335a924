/* Runs psql, mariadb and mariadb-dump inside a database's container and reads what they answer. */
#include "database_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "events.h"
#include "exit_codes.h"
#include "secret.h"

#define SECRET_FILE_MAX (64 * 1024)

const char *server_product(const struct server *server)
{
    return server->kind == SECTION_POSTGRES ? "PostgreSQL" : "MariaDB";
}

/* The archive API reads a stopped container's files too; what it does not see (a tmpfs) a running one's shell does. */
static int read_container_file(void *context, const char *path, char **text, char *error, size_t error_size)
{
    struct server *server = context;
    size_t size;
    if (agent_read_file(server->agent, server->container, path, SECRET_FILE_MAX, text, &size) == 0) {
        return 0;
    }
    snprintf(error, error_size, "%s", server->agent->engine.error);
    if (strcmp(server->container->state, "running") != 0) {
        return -1;
    }
    const char *const argv[] = {"cat", "--", path, NULL};
    struct exec_request request = {.argv = argv};
    cleanup_exec_result struct exec_result result = {0};
    if (exec_run(server->agent, server->container, &request, NULL, 0, server->agent->timeout, &result) != 0 ||
        result.exit_code != 0 || result.cut) {
        return -1;
    }
    *text = strdup(result.out);
    return *text == NULL ? -1 : 0;
}

int server_open(struct agent *agent, uint64_t index, enum section_kind kind, struct server *server, unsigned *code,
                char *error, size_t error_size)
{
    *server = (struct server){.agent = agent, .index = (unsigned)index, .kind = kind};
    server->container = agent_container(agent, index);
    cleanup_environment struct environment environment = {0};
    if (server->container == NULL || agent_environment(agent, server->container, &environment) != 0) {
        *code = agent->engine.error_code;
        snprintf(error, error_size, "%s", agent->engine.error);
        return -1;
    }
    struct secret_reader reader = {read_container_file, server};
    if (credentials_find(kind, &environment, &reader, &server->credentials) != 0) {
        *code = EXIT_DATABASE;
        snprintf(error, error_size, "credentials of %s: %s", server->container->name, server->credentials.error);
        return -1;
    }
    return 0;
}

void server_close(struct server *server)
{
    credentials_clear(&server->credentials);
}

static int open_exec(struct client *client, const struct client_options *options, const struct login *login)
{
    struct server *server = client->server;
    cleanup_command struct command command = {0};
    if (command_build(&command, server->kind, options, login, client->head_size, server->port) != 0) {
        return engine_error(&server->agent->engine, EXIT_INTERNAL, "out of memory");
    }
    struct exec_request request = {.argv = command.argv, .input = true};
    return exec_open(server->agent, server->container, &request, &client->exec);
}

int client_open(struct server *server, const struct client_options *options, struct client *client)
{
    const struct login *login = options->login != NULL ? options->login : &server->credentials.superuser;
    char reason[256];
    *client = (struct client){.server = server, .program = options->program};
    client->head = credentials_file(server->kind, login, reason, sizeof reason);
    if (client->head == NULL) {
        return engine_error(&server->agent->engine, EXIT_DATABASE, "%s: %s", server->container->name, reason);
    }
    client->head_size = strlen(client->head);
    return open_exec(client, options, login);
}

void client_close(struct client *client)
{
    exec_close(client->exec);
    secret_wipe(client->head, client->head_size);
    free(client->head);
    secret_wipe(client->output, client->output_size);
    free(client->output);
    client->exec = NULL;
    client->head = NULL;
    client->output = NULL;
}

bool client_has_head(const struct client *client)
{
    return client->head_done < client->head_size;
}

ssize_t client_write(struct client *client, const void *data, size_t size)
{
    if (client_has_head(client)) {
        ssize_t put = exec_write(client->exec, client->head + client->head_done, client->head_size - client->head_done);
        if (put < 0) {
            return -1;
        }
        client->head_done += (size_t)put;
        if (client_has_head(client)) {
            return 0;
        }
        secret_wipe(client->head, client->head_size);
    }
    return size == 0 ? 0 : exec_write(client->exec, data, size);
}

static void keep_output(struct client *client, const uint8_t *data, size_t size)
{
    if (client->program == CLIENT_LOAD) {
        return;
    }
    if (client->output_size + size > CLIENT_OUTPUT_MAX) {
        client->output_cut = true;
        return;
    }
    char *larger = realloc(client->output, client->output_size + size + 1);
    if (larger == NULL) {
        client->output_cut = true;
        return;
    }
    memcpy(larger + client->output_size, data, size);
    client->output = larger;
    client->output_size += size;
    client->output[client->output_size] = '\0';
}

/* psql says ERROR:, FATAL: or "psql: error:"; mariadb and mariadb-dump say "ERROR 1045 (28000)" or "Got error:". */
static bool line_is_error(const char *line)
{
    return strstr(line, "ERROR") != NULL || strstr(line, "FATAL") != NULL || strstr(line, "PANIC") != NULL ||
           strstr(line, "rror:") != NULL;
}

static void take_error_line(struct client *client)
{
    const char *line = client->line;
    client->line[client->line_size] = '\0';
    client->line_size = 0;
    if (strcmp(line, "restore: no password file") == 0) {
        client->no_file = true;
        return;
    }
    if (client->error[0] == '\0' && line_is_error(line)) {
        snprintf(client->error, sizeof client->error, "%s", line);
    } else if (client->error[0] != '\0' && strncmp(line, "DETAIL:", 7) == 0 &&
               strstr(client->error, "DETAIL:") == NULL) {
        size_t used = strlen(client->error);
        snprintf(client->error + used, sizeof client->error - used, " %s", line);
    }
    if (line[0] != '\0') {
        snprintf(client->last, sizeof client->last, "%s", line);
    }
}

static void keep_errors(struct client *client, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n') {
            take_error_line(client);
        } else if (client->line_size < sizeof client->line - 1 && data[i] != '\0') {
            client->line[client->line_size++] = (char)data[i];
        }
    }
}

static int take_output(void *context, enum demux_stream stream, const uint8_t *data, size_t size)
{
    struct client *client = context;
    client->seen += size;
    if (stream == DEMUX_STDERR) {
        keep_errors(client, data, size);
    } else if (client->sink != NULL) {
        return client->sink(client->sink_context, stream, data, size);
    } else {
        keep_output(client, data, size);
    }
    return 0;
}

int client_read(struct client *client)
{
    return exec_read(client->exec, take_output, client);
}

/* Connecting failed before a server answered; both clients run with LC_ALL=C. */
static bool is_unreachable(const struct client *client)
{
    static const char *const signs[] = {
        "Connection refused", "No such file or directory",  "timeout expired", "timed out", "ERROR 2002",
        "ERROR 2003",         "could not connect to server"};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (strstr(client->error, signs[i]) != NULL) {
            return strstr(client->error, "psql:<stdin>") == NULL;
        }
    }
    return false;
}

/* A process that the Engine could not start: it says so on stdout. */
static bool is_without_shell(const struct client *client)
{
    return client->output != NULL && strstr(client->output, "exec failed") != NULL;
}

enum client_failure client_end(struct client *client)
{
    struct agent *agent = client->server->agent;
    int exit_code;
    if (client->line_size > 0) {
        take_error_line(client);
    }
    if (exec_exit_code(agent, client->exec, &exit_code) != 0) {
        snprintf(client->error, sizeof client->error, "%s", agent->engine.error);
        return CLIENT_ENGINE;
    }
    if (exit_code == 0) {
        client->error[0] = '\0';
        return CLIENT_OK;
    }
    if ((exit_code == 126 || exit_code == 127) && client->last[0] == '\0' && is_without_shell(client)) {
        snprintf(client->error, sizeof client->error, "the image has no shell (sh), which starts the client");
        return CLIENT_NO_SHELL;
    }
    if (exit_code == 127) {
        snprintf(client->error, sizeof client->error, "%s",
                 client->last[0] != '\0' ? client->last : "the image lacks dd or rm, which hand over the password");
        return CLIENT_NO_PROGRAM;
    }
    if (client->error[0] == '\0' && client->last[0] != '\0') {
        snprintf(client->error, sizeof client->error, "%s", client->last);
    } else if (client->error[0] == '\0') {
        snprintf(client->error, sizeof client->error, "the client ended with code %d and no message", exit_code);
    }
    return is_unreachable(client) ? CLIENT_UNREACHABLE : CLIENT_ERROR;
}

/* Feeds the input and collects output until the client ends. 0, or -1 with client->error. */
static int run_to_end(struct client *client, const char *input, int64_t end)
{
    size_t left = strlen(input);
    bool open = true;
    for (;;) {
        if (open) {
            ssize_t put = client_write(client, input, left);
            if (put > 0) {
                input += put;
                left -= (size_t)put;
            }
            if (put < 0 || (left == 0 && !client_has_head(client))) {
                exec_end_input(client->exec);
                open = false;
            }
        }
        int result = client_read(client);
        if (result == 0) {
            return 0;
        }
        if (result < 0) {
            snprintf(client->error, sizeof client->error, "output of the client: %s", strerror(errno));
            return -1;
        }
        int64_t left_ms = end - now_ms();
        if (left_ms <= 0) {
            snprintf(client->error, sizeof client->error, "no answer of the database client in time");
            return -1;
        }
        struct pollfd ready[2] = {{exec_fd(client->exec), (short)(open ? POLLIN | POLLOUT : POLLIN), 0}, {-1, 0, 0}};
        events_poll(client->server->agent, ready, 1, left_ms > 1000 ? 1000 : (int)left_ms);
    }
}

enum client_failure client_run(struct server *server, const struct client_options *options, const char *input,
                               unsigned deadline, struct answer *answer)
{
    cleanup_client struct client client = {0};
    *answer = (struct answer){.failure = CLIENT_ENGINE};
    int64_t end = now_ms() + (int64_t)deadline * 1000;
    if (client_open(server, options, &client) != 0) {
        snprintf(answer->error, sizeof answer->error, "%s", server->agent->engine.error);
        return answer->failure;
    }
    if (run_to_end(&client, input, end) == 0) {
        answer->failure = client_end(&client);
    }
    snprintf(answer->error, sizeof answer->error, "%s", client.error);
    answer->no_file = client.no_file;
    if (answer->failure == CLIENT_OK && client.output_cut) {
        answer->failure = CLIENT_ENGINE;
        snprintf(answer->error, sizeof answer->error, "the answer is longer than %d bytes", CLIENT_OUTPUT_MAX);
    }
    answer->text = client.output;
    answer->text_size = client.output_size;
    client.output = NULL;
    return answer->failure;
}

enum client_failure client_query(struct server *server, const struct client_options *options, const char *sql,
                                 unsigned deadline, struct answer *answer)
{
    if (client_run(server, options, sql, deadline, answer) != CLIENT_OK || answer->text == NULL) {
        return answer->failure;
    }
    if (rows_parse(answer->text, &answer->rows, &answer->row_count) != 0) {
        answer->failure = CLIENT_ERROR;
        snprintf(answer->error, sizeof answer->error, "the client's answer is malformed");
    }
    return answer->failure;
}

void answer_free(struct answer *answer)
{
    free(answer->rows);
    secret_wipe(answer->text, answer->text_size);
    free(answer->text);
    answer->rows = NULL;
    answer->text = NULL;
}

const char *answer_value(const struct answer *answer, const char *key)
{
    for (size_t i = 0; i < answer->row_count; i++) {
        if (strcmp(answer->rows[i].key, key) == 0) {
            return answer->rows[i].value;
        }
    }
    return "";
}
