/*
 * A started helper container whose streams are ours: frames come out of its stdout, its stderr is its log. The frames
 * are found and measured here; what they may say is checked by whoever reads them.
 */
#ifndef ATTACHED_H
#define ATTACHED_H

#include "agent.h"
#include "demux.h"

#define ATTACHED_READ_SIZE (128 * 1024)
#define ATTACHED_LINE_MAX 1024

struct attached {
    int fd; /* non-blocking; -1 once it ended */
    char id[65];
    struct demux demux;
    uint8_t *raw;  /* ATTACHED_READ_SIZE bytes */
    uint8_t *out;  /* stdout of the helper that is not taken yet */
    size_t out_at; /* taken up to here */
    size_t out_size;
    char line[ATTACHED_LINE_MAX]; /* of its log */
    size_t line_size;
    const char *refusal; /* why the stream is refused */
};

/*
 * Attaches to the container and starts it, in this order, so that nothing is lost. 0, or -1 with engine->error.
 * Close in either case.
 */
int attached_open(struct agent *agent, const char *id, struct attached *attached);

/* Reads once. 1: more may come (also where it would block), 0: ended, -1: attached->refusal says why. Call it only when
 * attached_frame() has no frame left. */
int attached_fill(struct attached *attached);

/* The next whole frame, good until attached_fill(): 1, 0: none yet, -1: attached->refusal. */
int attached_frame(struct attached *attached, const uint8_t **frame, size_t *size);

/* Writes what the stream takes: bytes taken, 0 where it would block, -1 with errno. */
ssize_t attached_write(struct attached *attached, const uint8_t *data, size_t size);

/* No more input: the helper ends by itself. */
void attached_end_input(struct attached *attached);

void attached_close(struct attached *attached);

#endif
