/* A process inside a container; see exec_stream.h. */
#include "exec_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "exit_codes.h"
#include "secret.h"

#define READ_SIZE (64 * 1024)
#define EXIT_CODE_TRIES 100
#define EXIT_CODE_PAUSE_MS 50

struct exec_stream {
    int fd;
    char *id; /* of the exec */
    struct demux demux;
    uint8_t *early; /* came with the answer's head */
    size_t early_size;
    uint8_t buffer[READ_SIZE];
};

static cJSON *describe(const struct exec_request *request)
{
    cJSON *body = cJSON_CreateObject();
    cJSON *argv = cJSON_AddArrayToObject(body, "Cmd");
    bool ok = argv != NULL && cJSON_AddBoolToObject(body, "AttachStdin", request->input) &&
              cJSON_AddTrueToObject(body, "AttachStdout") && cJSON_AddTrueToObject(body, "AttachStderr");
    for (size_t i = 0; ok && request->argv[i] != NULL; i++) {
        cJSON *argument = cJSON_CreateString(request->argv[i]);
        ok = argument != NULL && cJSON_AddItemToArray(argv, argument);
    }
    if (ok && request->user != NULL) {
        ok = cJSON_AddStringToObject(body, "User", request->user) != NULL;
    }
    if (!ok) {
        cJSON_Delete(body);
        return NULL;
    }
    return body;
}

static int create(struct agent *agent, const struct container *container, const struct exec_request *request, char **id)
{
    cleanup_json cJSON *body = describe(request);
    cleanup_json cJSON *answer = NULL;
    cleanup_free char *json = body == NULL ? NULL : cJSON_PrintUnformatted(body);
    cleanup_free char *path = NULL;
    if (json == NULL || engine_path(&agent->engine, &path, "/containers/%s/exec", container->id) != 0) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    char what[600];
    snprintf(what, sizeof what, "run %.255s in container %.255s", request->argv[0], container->name);
    const struct engine_request call = {.method = "POST", .path = path, .json = json, .what = what};
    if (engine_call(&agent->engine, &call, &answer) != 0) {
        return -1;
    }
    *id = strdup(json_text(answer, "Id"));
    return *id == NULL ? engine_error(&agent->engine, EXIT_INTERNAL, "no memory") : 0;
}

int exec_open(struct agent *agent, const struct container *container, const struct exec_request *request,
              struct exec_stream **out)
{
    *out = NULL;
    cleanup_exec struct exec_stream *stream = calloc(1, sizeof *stream);
    cleanup_free char *path = NULL;
    if (stream == NULL) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    stream->fd = -1;
    if (create(agent, container, request, &stream->id) != 0 ||
        engine_path(&agent->engine, &path, "/exec/%s/start", stream->id) != 0) {
        return -1;
    }
    char what[600];
    struct engine_stream taken;
    snprintf(what, sizeof what, "start %.255s in container %.255s", request->argv[0], container->name);
    if (engine_upgrade(&agent->engine, path, "{\"Detach\":false,\"Tty\":false}", what, &taken) != 0) {
        return -1;
    }
    stream->fd = taken.fd;
    stream->early = taken.early;
    stream->early_size = taken.early_size;
    *out = stream;
    stream = NULL;
    return 0;
}

int exec_fd(const struct exec_stream *stream)
{
    return stream->fd;
}

ssize_t exec_write(struct exec_stream *stream, const void *data, size_t size)
{
    if (stream->fd < 0) {
        errno = EPIPE;
        return -1;
    }
    ssize_t put = write(stream->fd, data, size);
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return put;
}

void exec_end_input(struct exec_stream *stream)
{
    if (stream->fd >= 0) {
        shutdown(stream->fd, SHUT_WR);
    }
}

static int feed(struct exec_stream *stream, const uint8_t *data, size_t size, demux_sink *sink, void *context)
{
    if (demux_feed(&stream->demux, data, size, sink, context) != 0) {
        errno = EPROTO;
        return -1;
    }
    return 1;
}

static int ended(struct exec_stream *stream)
{
    close(stream->fd);
    stream->fd = -1;
    if (!demux_at_boundary(&stream->demux)) {
        errno = EPROTO;
        return -1;
    }
    return 0;
}

int exec_read(struct exec_stream *stream, demux_sink *sink, void *context)
{
    if (stream->early != NULL) {
        cleanup_free uint8_t *early = stream->early;
        stream->early = NULL;
        return feed(stream, early, stream->early_size, sink, context);
    }
    if (stream->fd < 0) {
        return 0;
    }
    ssize_t got = read(stream->fd, stream->buffer, sizeof stream->buffer);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 1;
    }
    if (got < 0) {
        return -1;
    }
    return got == 0 ? ended(stream) : feed(stream, stream->buffer, (size_t)got, sink, context);
}

/* The streams end a moment before the Engine has noted the process's end. */
int exec_exit_code(struct agent *agent, struct exec_stream *stream, int *exit_code)
{
    cleanup_free char *path = NULL;
    if (engine_path(&agent->engine, &path, "/exec/%s/json", stream->id) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "GET", .path = path, .what = "ask for a process's exit code"};
    for (int i = 0; i < EXIT_CODE_TRIES; i++) {
        cleanup_json cJSON *answer = NULL;
        if (engine_call(&agent->engine, &request, &answer) != 0) {
            return -1;
        }
        const cJSON *code = json_member(answer, "ExitCode");
        if (!json_true(answer, "Running") && cJSON_IsNumber(code)) {
            *exit_code = code->valueint;
            return 0;
        }
        poll(NULL, 0, EXIT_CODE_PAUSE_MS);
    }
    return engine_error(&agent->engine, EXIT_DOCKER, "ask for a process's exit code: it closed its output and goes on");
}

void exec_close(struct exec_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    if (stream->fd >= 0) {
        close(stream->fd);
    }
    free(stream->id);
    free(stream->early);
    secret_wipe(stream->buffer, sizeof stream->buffer);
    free(stream);
}

void exec_result_free(struct exec_result *result)
{
    secret_wipe(result->out, result->out_size);
    secret_wipe(result->err, result->err_size);
    free(result->out);
    free(result->err);
    *result = (struct exec_result){0};
}

static int collect(void *context, enum demux_stream stream, const uint8_t *data, size_t size)
{
    struct exec_result *result = context;
    char *into = stream == DEMUX_STDERR ? result->err : result->out;
    size_t *used = stream == DEMUX_STDERR ? &result->err_size : &result->out_size;
    size_t part = size < EXEC_OUTPUT_MAX - *used ? size : EXEC_OUTPUT_MAX - *used;
    memcpy(into + *used, data, part);
    *used += part;
    into[*used] = '\0';
    result->cut = result->cut || part < size;
    return 0;
}

/* Input on its way; where the process no longer reads, the rest is dropped. */
struct feeding {
    const char *data;
    size_t size;
    bool open;
};

static void feed_input(struct exec_stream *stream, struct feeding *input)
{
    ssize_t put = exec_write(stream, input->data, input->size);
    input->data += put < 0 ? 0 : put;
    input->size -= put < 0 ? input->size : (size_t)put;
    if (input->size == 0) {
        exec_end_input(stream);
        input->open = false;
    }
}

/* 0: both outputs ended, -1: errno (ETIMEDOUT). */
static int converse(struct exec_stream *stream, struct feeding *input, unsigned deadline, struct exec_result *result)
{
    int64_t end = now_ms() + (int64_t)deadline * 1000;
    int more = stream->early != NULL ? exec_read(stream, collect, result) : 1;
    while (more == 1) {
        int64_t now = now_ms();
        if (now >= end) {
            errno = ETIMEDOUT;
            return -1;
        }
        struct pollfd fd = {stream->fd, (short)(POLLIN | (input->open ? POLLOUT : 0)), 0};
        int64_t left = end - now;
        poll(&fd, 1, left > 1000 ? 1000 : (int)left);
        if ((fd.revents & POLLOUT) != 0 && input->open) {
            feed_input(stream, input);
        }
        if ((fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            more = exec_read(stream, collect, result);
        }
    }
    return more;
}

int exec_run(struct agent *agent, const struct container *container, const struct exec_request *request,
             const void *input, size_t input_size, unsigned deadline, struct exec_result *result)
{
    *result = (struct exec_result){.out = calloc(1, EXEC_OUTPUT_MAX + 1), .err = calloc(1, EXEC_OUTPUT_MAX + 1)};
    if (result->out == NULL || result->err == NULL) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    struct exec_request with_input = *request;
    with_input.input = request->input || input_size > 0;
    cleanup_exec struct exec_stream *stream = NULL;
    if (exec_open(agent, container, &with_input, &stream) != 0) {
        return -1;
    }
    struct feeding feeding = {input, input_size, with_input.input};
    if (converse(stream, &feeding, deadline, result) != 0) {
        if (errno == ETIMEDOUT) {
            return engine_error(&agent->engine, EXIT_DOCKER, "run %.255s in container %.255s: no end within %u s",
                                request->argv[0], container->name, deadline);
        }
        return engine_error(&agent->engine, EXIT_DOCKER, "run %.255s in container %.255s: the stream broke: %s",
                            request->argv[0], container->name, strerror(errno));
    }
    return exec_exit_code(agent, stream, &result->exit_code);
}
