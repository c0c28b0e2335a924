/* Files of the run's own volume: spools and the note. */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "tree.h"

#define SPOOL_NAME_SIZE 32
#define NOTE_PART_MAX 12288

static const char *spool_name(unsigned stream, char out[SPOOL_NAME_SIZE])
{
    snprintf(out, SPOOL_NAME_SIZE, "spool/%u", stream);
    return out;
}

int spool_create(int run_volume, unsigned stream)
{
    char name[SPOOL_NAME_SIZE];
    if (mkdirat(run_volume, "spool", 0700) != 0 && errno != EEXIST) {
        return -1;
    }
    return tree_create(run_volume, spool_name(stream, name), O_WRONLY | O_TRUNC | O_NOFOLLOW, 0600);
}

int spool_open(int run_volume, unsigned stream)
{
    char name[SPOOL_NAME_SIZE];
    return tree_open(run_volume, spool_name(stream, name), O_RDONLY | O_NOFOLLOW);
}

int spool_write(int fd, const void *bytes, size_t size)
{
    return write_full(fd, bytes, size);
}

int spool_sync(int run_volume, int fd)
{
    cleanup_close int folder = tree_open(run_volume, "spool", O_RDONLY | O_DIRECTORY);
    return folder < 0 || fsync(fd) != 0 || fsync(folder) != 0 ? -1 : fsync(run_volume);
}

/* A data frame, encoded here: the channel's own buffer holds control frames alone. */
static int send_bytes(struct channel *channel, uint8_t *frame, const char *bytes, size_t size)
{
    struct msg_spool_bytes message = {{bytes, size}};
    size_t length = message_encode(MESSAGE_spool_bytes, &message, frame, DATA_FRAME_MAX);
    return length != 0 && write_full(channel->out, frame, length) == 0 ? 0 : -1;
}

int spool_send(struct channel *channel, int run_volume, unsigned stream, struct problem *problem)
{
    char name[SPOOL_NAME_SIZE];
    cleanup_close int fd = spool_open(run_volume, stream);
    cleanup_free char *bytes = malloc(DATA_BYTES_MAX);
    cleanup_free uint8_t *frame = malloc(DATA_FRAME_MAX);
    if (fd < 0 || bytes == NULL || frame == NULL) {
        return problem_errno(problem, "cannot open", spool_name(stream, name));
    }
    uint64_t total = 0;
    ssize_t size;
    while ((size = read_full(fd, bytes, DATA_BYTES_MAX)) > 0) {
        if (send_bytes(channel, frame, bytes, (size_t)size) != 0) {
            return problem_errno(problem, "cannot write", "frames");
        }
        total += (uint64_t)size;
    }
    if (size < 0) {
        return problem_errno(problem, "cannot read", spool_name(stream, name));
    }
    return SEND(channel, spool_end, .bytes = total) == IPC_OK ? 0 : problem_errno(problem, "cannot write", "frames");
}

static int finish_note(int run_volume, int part)
{
    if (fsync(part) != 0 || renameat(run_volume, "note.part", run_volume, "note") != 0) {
        return -1;
    }
    return fsync(run_volume);
}

int note_write(int run_volume, int *part, const char *text, size_t size, int last, struct problem *problem)
{
    if (*part < 0) {
        *part = tree_create(run_volume, "note.part", O_WRONLY | O_TRUNC | O_NOFOLLOW, 0600);
    }
    int result = *part < 0 ? -1 : write_full(*part, text, size);
    if (result == 0 && last != 0) {
        result = finish_note(run_volume, *part);
    }
    int error = errno;
    if (*part >= 0 && (result != 0 || last != 0)) {
        close(*part);
        *part = -1;
    }
    errno = error;
    return result == 0 ? 0 : problem_errno(problem, "cannot write", "the run's note");
}

int note_send(struct channel *channel, int run_volume, struct problem *problem)
{
    cleanup_close int fd = tree_open(run_volume, "note", O_RDONLY | O_NOFOLLOW);
    cleanup_free char *text = malloc(NOTE_PART_MAX);
    if ((fd < 0 && errno != ENOENT) || text == NULL) {
        return problem_errno(problem, "cannot read", "the run's note");
    }
    ssize_t size = 0;
    while (fd >= 0 && (size = read_full(fd, text, NOTE_PART_MAX)) > 0) {
        if (SEND(channel, note_part, .text = {text, (size_t)size}) != IPC_OK) {
            return problem_errno(problem, "cannot write", "frames");
        }
    }
    if (size < 0) {
        return problem_errno(problem, "cannot read", "the run's note");
    }
    return SEND(channel, note_end) == IPC_OK ? 0 : problem_errno(problem, "cannot write", "frames");
}
