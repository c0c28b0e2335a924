/* A started helper container whose streams are ours; see attached.h. */
#include "attached.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "log.h"
#include "run_objects.h"

/* One frame that is not whole yet, and what a read can add to it. */
#define OUT_CAPACITY (DATA_FRAME_MAX + ATTACHED_READ_SIZE)

static int sink(void *context, enum demux_stream stream, const uint8_t *data, size_t size);

static int attach(struct agent *agent, struct attached *attached)
{
    cleanup_free char *path = NULL;
    struct engine_stream stream;
    if (engine_path(&agent->engine, &path, "/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1", attached->id) !=
            0 ||
        engine_upgrade(&agent->engine, path, NULL, "attach to a helper container", &stream) != 0) {
        return -1;
    }
    cleanup_free uint8_t *early = stream.early;
    attached->fd = stream.fd;
    if (stream.early_size > ATTACHED_READ_SIZE ||
        demux_feed(&attached->demux, early, stream.early_size, sink, attached) != 0) {
        return engine_error(&agent->engine, EXIT_DOCKER, "attach to a helper container: the stream is malformed");
    }
    return 0;
}

int attached_open(struct agent *agent, const char *id, struct attached *attached)
{
    *attached = (struct attached){.fd = -1};
    snprintf(attached->id, sizeof attached->id, "%s", id);
    attached->raw = malloc(ATTACHED_READ_SIZE);
    attached->out = malloc(OUT_CAPACITY);
    if (attached->raw == NULL || attached->out == NULL) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    return attach(agent, attached) != 0 ? -1 : container_start(agent, id, "start a helper container");
}

static void flush_line(struct attached *attached)
{
    static const char levels[] = "EWIDS";
    size_t size = attached->line_size;
    attached->line_size = 0;
    if (size == 0) {
        return;
    }
    bool levelled = size > 2 && strchr(levels, attached->line[0]) != NULL && attached->line[1] == ' ';
    enum log_level level = levelled ? (enum log_level)attached->line[0] : LOG_LEVEL_ERROR;
    size_t skip = levelled ? 2 : 0;
    if (level == LOG_LEVEL_SYSCALL) {
        log_line(level, "%.*s stager", (int)(size - skip), attached->line + skip);
        return;
    }
    log_line(level, "stager: %.*s", (int)(size - skip), attached->line + skip);
}

static void take_log(struct attached *attached, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n' || attached->line_size == sizeof attached->line) {
            flush_line(attached);
        }
        if (data[i] != '\n' && data[i] != '\0') {
            attached->line[attached->line_size++] = (char)data[i];
        }
    }
}

static int sink(void *context, enum demux_stream stream, const uint8_t *data, size_t size)
{
    struct attached *attached = context;
    if (stream != DEMUX_STDOUT) {
        take_log(attached, data, size);
        return 0;
    }
    if (size > OUT_CAPACITY - attached->out_size) {
        return -1; /* cannot happen: out holds less than a frame when a read begins */
    }
    memcpy(attached->out + attached->out_size, data, size);
    attached->out_size += size;
    return 0;
}

static int refuse(struct attached *attached, const char *reason)
{
    attached->refusal = reason;
    return -1;
}

static int ended(struct attached *attached)
{
    flush_line(attached);
    close(attached->fd);
    attached->fd = -1;
    return 0;
}

int attached_fill(struct attached *attached)
{
    memmove(attached->out, attached->out + attached->out_at, attached->out_size - attached->out_at);
    attached->out_size -= attached->out_at;
    attached->out_at = 0;
    ssize_t got = read(attached->fd, attached->raw, ATTACHED_READ_SIZE);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 1;
    }
    if (got <= 0) {
        return ended(attached); /* a reset is the Engine's way to say that the container is gone */
    }
    if (demux_feed(&attached->demux, attached->raw, (size_t)got, sink, attached) != 0) {
        return refuse(attached, "the Engine's stream is malformed");
    }
    return 1;
}

int attached_frame(struct attached *attached, const uint8_t **frame, size_t *size)
{
    size_t have = attached->out_size - attached->out_at;
    if (have < FRAME_HEADER_SIZE) {
        return 0;
    }
    struct frame_header header;
    const char *reason = frame_header_decode(attached->out + attached->out_at, &header);
    if (reason != NULL) {
        return refuse(attached, reason);
    }
    *size = FRAME_HEADER_SIZE + header.length;
    if (have < *size) {
        return 0;
    }
    *frame = attached->out + attached->out_at;
    attached->out_at += *size;
    return 1;
}

ssize_t attached_write(struct attached *attached, const uint8_t *data, size_t size)
{
    ssize_t put = write(attached->fd, data, size);
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return put;
}

void attached_end_input(struct attached *attached)
{
    if (attached->fd >= 0) {
        shutdown(attached->fd, SHUT_WR);
    }
}

void attached_close(struct attached *attached)
{
    if (attached->fd >= 0) {
        close(attached->fd);
    }
    free(attached->raw);
    free(attached->out);
    *attached = (struct attached){.fd = -1};
}
