/*
 * A stand-in for the stager that does what a broken or compromised one would do; the run's name says what:
 * odd-exit ends within the staging, odd-frame sends a frame of the supervisor's, odd-bytes sends no frame at all,
 * odd-talk speaks out of turn, odd-slow reads a byte at a time; everything else counts what it is given, as the stager
 * would, and keeps spools in the run's volume.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"
#include "messages.h"

static uint8_t frame[DATA_FRAME_MAX];
static size_t frame_size;
static char run[65];
static uint64_t entries[MAX_STREAMS + 1];
static uint64_t bytes[MAX_STREAMS + 1];

static void put(unsigned type, const void *message)
{
    static uint8_t out[DATA_FRAME_MAX];
    size_t size = message_encode(type, message, out, sizeof out);
    if (size == 0 || write_full(1, out, size) != 0) {
        exit(3);
    }
}
#define PUT(name, ...) put(MESSAGE_##name, &(struct msg_##name){__VA_ARGS__})

static void get(void)
{
    struct frame_header header;
    if (read_full(0, frame, FRAME_HEADER_SIZE) != FRAME_HEADER_SIZE) {
        exit(0);
    }
    if (frame_header_decode(frame, &header) != NULL ||
        read_full(0, frame + FRAME_HEADER_SIZE, header.length) != (ssize_t)header.length) {
        exit(4);
    }
    frame_size = header.length;
}

static void decode(unsigned type, void *message)
{
    if (frame[1] != type || message_decode(type, frame + FRAME_HEADER_SIZE, frame_size, message) != NULL) {
        exit(5);
    }
}

static bool is(const char *name)
{
    return strcmp(run, name) == 0;
}

static void stage(void)
{
    memset(entries, 0, sizeof entries);
    for (;;) {
        get();
        if (frame[1] == MESSAGE_streams_end) {
            break;
        }
        if (is("odd-exit")) {
            fprintf(stderr, "E the file system burns\n");
            exit(7);
        }
        if (frame[1] == MESSAGE_stream_data) {
            struct msg_stream_data data;
            decode(MESSAGE_stream_data, &data);
            entries[data.stream]++;
            bytes[data.stream] += data.bytes.size;
        }
        if (is("odd-slow")) {
            usleep(20000);
        }
    }
    for (unsigned i = 0; i <= MAX_STREAMS; i++) {
        if (entries[i] > 0) {
            PUT(staged, .stream = i, .entries = entries[i], .bytes = bytes[i]);
        }
    }
    PUT(stage_end);
}

static int spool(uint64_t stream, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/run-volume/odd-%llu", (unsigned long long)stream);
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        exit(8);
    }
    return fd;
}

static void spool_out(void)
{
    static char buffer[DATA_BYTES_MAX];
    struct msg_spool_send request;
    decode(MESSAGE_spool_send, &request);
    int fd = spool(request.stream, O_RDONLY);
    uint64_t total = 0;
    ssize_t got = 0;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        PUT(spool_bytes, .bytes = {buffer, (size_t)got});
        total += (uint64_t)got;
    }
    close(fd);
    PUT(spool_end, .bytes = total);
}

static void spool_in(void)
{
    struct msg_spool_receive request;
    decode(MESSAGE_spool_receive, &request);
    int fd = spool(request.stream, O_WRONLY | O_CREAT | O_TRUNC);
    uint64_t total = 0;
    for (get(); frame[1] == MESSAGE_spool_fill; get()) {
        struct msg_spool_fill fill;
        decode(MESSAGE_spool_fill, &fill);
        if (is("odd-full")) {
            PUT(stager_failed, .code = 7, .message = text_of("No space left on the run's volume"));
            sleep(60);
        }
        write_full(fd, fill.bytes.data, fill.bytes.size);
        total += fill.bytes.size;
    }
    close(fd);
    PUT(spool_end, .bytes = total);
}

int main(void)
{
    struct msg_stager_config config;
    get();
    decode(MESSAGE_stager_config, &config);
    snprintf(run, sizeof run, "%s", config.run.data);
    fprintf(stderr, "I hello of run %s\n", run);
    if (is("odd-talk")) {
        PUT(stage_end);
    }
    PUT(stager_ready, .layers = 31, .missing = text_of(""));
    for (;;) {
        get();
        if (is("odd-frame")) {
            PUT(commit);
        }
        if (is("odd-bytes")) {
            write_full(1, "this is no frame", 16);
        }
        switch (frame[1]) {
        case MESSAGE_stage:
            stage();
            break;
        case MESSAGE_spool_send:
            spool_out();
            break;
        case MESSAGE_spool_receive:
            spool_in();
            break;
        case MESSAGE_probe:
            PUT(probe_end, .run_volume_free = 1);
            break;
        default:
            break;
        }
    }
}
