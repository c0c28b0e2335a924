/*
 * Linked around the shipped objects of a worker or the supervisor (Makefile: its own link line, and --wrap for two
 * functions), so that its own main runs, is locked down like the shipped one and serves; at one message that it sends,
 * it does what a script says instead of, or after, what it should. The script, written by attacks.py, is the file
 * `attack` beside the executable, read before the lock-down and taken away, so that a worker started again is honest:
 * the number of the message, 1 for `instead`, then steps of a letter, a length (32 bits) and that many bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "descriptors.h"
#include "io.h"
#include "ipc.h"
#include "log.h"
#include "sandbox.h"

#define SCRIPT_MOST (4U << 20)
#define DONE 99

enum argument { ARGUMENT_NUMBER, ARGUMENT_TEXT, ARGUMENT_SUPERVISOR, ARGUMENT_PROC, ARGUMENT_RESULT };

static uint8_t script[SCRIPT_MOST];
static size_t script_size;
static pid_t supervisor;
static bool fired;
static long result; /* of the last call */

int __real_sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report);
int __wrap_sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report);
enum ipc_result __real_channel_send(struct channel *channel, enum message_type type, const void *message);
enum ipc_result __wrap_channel_send(struct channel *channel, enum message_type type, const void *message);

/* A stager cannot take a file out of its image: it leaves a mark on the run's volume. */
static bool is_first(const char *path)
{
    return unlink(path) == 0 || open("/run-volume/attacked", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0;
}

int __wrap_sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof "attack");
    path[length < 0 ? 0 : length] = '\0';
    strcpy(strrchr(path, '/') + 1, "attack");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read_full(fd, script, sizeof script);
    if (fd >= 0) {
        close(fd);
    }
    script_size = size > 2 && is_first(path) ? (size_t)size : 0;
    supervisor = getppid();
    return __real_sandbox_lock(plan, report);
}

/* Writes all, whether or not the descriptor blocks. */
static void put(int fd, const uint8_t *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t written = write(fd, bytes + done, size - done);
        if (written >= 0) {
            done += (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {fd, POLLOUT, 0};
            poll(&writable, 1, -1);
        } else {
            _exit(DONE);
        }
    }
}

static _Noreturn void put_for_ever(int fd, const uint8_t *bytes, size_t size)
{
    for (;;) {
        if (write(fd, bytes, size) < 0 && errno != EAGAIN) {
            _exit(DONE);
        }
    }
}

static void take(int fd, uint8_t *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, bytes + done, size - done);
        if (got > 0) {
            done += (size_t)got;
        } else if (got < 0 && errno == EAGAIN) {
            struct pollfd readable = {fd, POLLIN, 0};
            poll(&readable, 1, -1);
        } else {
            _exit(DONE);
        }
    }
}

/* Reads the supervisor's frames up to one of this type; 0: for ever. */
static void await(int fd, unsigned type)
{
    static uint8_t frame[DATA_FRAME_MAX];
    struct frame_header header;
    do {
        take(fd, frame, FRAME_HEADER_SIZE);
        if (frame_header_decode(frame, &header) != NULL) {
            _exit(DONE);
        }
        take(fd, frame + FRAME_HEADER_SIZE, header.length);
    } while (type == 0 || frame[1] != type);
}

/* A number, the last call's result, bytes of the script, the supervisor's number, or a path below its folder in /proc.
 */
static long argument_of(const uint8_t **at)
{
    static char paths[6][64];
    static unsigned used;
    uint64_t value;
    enum argument kind = (enum argument)(*at)[0];
    memcpy(&value, *at + 1, sizeof value);
    *at += 1 + sizeof value;
    if (kind == ARGUMENT_NUMBER) {
        return (long)value;
    }
    if (kind == ARGUMENT_RESULT) {
        return result;
    }
    if (kind == ARGUMENT_SUPERVISOR) {
        return supervisor;
    }
    const uint8_t *text = *at;
    *at += value;
    if (kind == ARGUMENT_TEXT) {
        return (long)text;
    }
    snprintf(paths[used], sizeof paths[used], "/proc/%d/%s", (int)supervisor, (const char *)text);
    return (long)paths[used++];
}

static void call(const uint8_t *at, bool tell)
{
    long arguments[7];
    for (int i = 0; i < 7; i++) {
        arguments[i] = argument_of(&at);
    }
    result = syscall(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5], arguments[6]);
    if (!tell) {
        return;
    }
    if (result >= 0) {
        log_error("attack SUCCEEDED: %ld", result);
    } else {
        log_error("attack refused: errno %d", errno);
    }
}

static void step(const struct channel *channel, char letter, const uint8_t *bytes, size_t size)
{
    switch (letter) {
    case 'w':
        put(channel->out, bytes, size);
        break;
    case 'd':
        put(FD_DATA_OUT, bytes, size);
        break;
    case 'l':
        put(FD_LOG, bytes, size);
        break;
    case 'f':
        put_for_ever(channel->out, bytes, size);
    case 'L':
        put_for_ever(FD_LOG, bytes, size);
    case 'u':
        await(channel->in, bytes[0]);
        break;
    case 'h':
        await(channel->in, 0);
        break;
    case 'c':
        close(channel->out);
        break;
    case 's':
        call(bytes, true);
        break;
    case 'q':
        call(bytes, false);
        break;
    default:
        _exit(size > 0 ? bytes[0] : DONE);
    }
}

static void play(const struct channel *channel)
{
    for (size_t at = 2; at + 5 <= script_size;) {
        uint32_t size;
        memcpy(&size, script + at + 1, sizeof size);
        step(channel, (char)script[at], script + at + 5, size);
        at += 5 + size;
    }
}

enum ipc_result __wrap_channel_send(struct channel *channel, enum message_type type, const void *message)
{
    if (fired || script_size == 0 || type != (enum message_type)script[0]) {
        return __real_channel_send(channel, type, message);
    }
    fired = true;
    if (script[1] != 0) {
        const struct message_rule *rule = message_rule(type);
        channel->direct.state = rule->next == STATE_KEEP ? channel->direct.state : rule->next;
        play(channel);
        return IPC_OK;
    }
    enum ipc_result sent = __real_channel_send(channel, type, message);
    play(channel);
    return sent;
}
