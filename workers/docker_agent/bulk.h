/*
 * The queue of frames on their way to the stager: bulk of the unpacker, read in large pieces, checked header by header
 * and released frame by frame, and control frames, which go out when no released bulk is left. Pure but for read() and
 * write() on the descriptors given. A pass that failed leaves the unpacker's pipe within a frame: no further pass can
 * follow it in this process.
 */
#ifndef BULK_H
#define BULK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messages.h"

#define BULK_CAPACITY (1024 * 1024)
#define BULK_CONTROL_CAPACITY (8 * CONTROL_FRAME_MAX)

struct bulk {
    uint8_t data[BULK_CAPACITY];
    size_t sent;     /* written to the stager */
    size_t released; /* whole frames that may be written */
    size_t size;     /* read */
    bool ended;      /* streams_end was released: what follows belongs to the next pass */
    const char *refusal;
    uint8_t control[BULK_CONTROL_CAPACITY];
    bool control_first; /* `stage` has to be there before the bulk of its pass */
    size_t control_sent;
    size_t control_size;
};

/* Whether there is room to read, and something to write. */
bool bulk_wants(const struct bulk *bulk);
bool bulk_has(const struct bulk *bulk);

/* Reads once. 1: read, or it would block; 0: end of file; -1: bulk->refusal (a frame that may not come) or errno where
 * it is NULL. */
int bulk_read(struct bulk *bulk, int fd);

/* Writes once. 0, or -1 with errno. */
int bulk_write(struct bulk *bulk, int fd);

/* Queues a control frame. 0, or -1 where there is no room. */
int bulk_control(struct bulk *bulk, unsigned type, const uint8_t *payload, size_t length);

/* A new pass, whose control frame is queued next: frames behind the last streams_end are released. 0, or -1 with
 * bulk->refusal. */
int bulk_begin(struct bulk *bulk);

#endif
