/*
 * Frames of bulk bytes to the stager: stream_data is filled up to what a frame holds before it is written; large blocks
 * are written from where they lie, behind a header of their own.
 */
#ifndef BULK_H
#define BULK_H

#include <stddef.h>
#include <stdint.h>

#include "messages.h"

#define BULK_HEADER_SIZE (FRAME_HEADER_SIZE + 8 + 4) /* header, stream, length of the bytes */

struct bulk {
    int fd;
    uint64_t stream;
    size_t used; /* bytes in the frame, behind its header */
    uint8_t frame[BULK_HEADER_SIZE + DATA_BYTES_MAX];
};

void bulk_init(struct bulk *bulk, int fd);

/* All return 0, or -1 with errno. */
int bulk_put(struct bulk *bulk, uint64_t stream, const void *data, size_t size);
int bulk_end_stream(struct bulk *bulk, uint64_t stream);
int bulk_end(struct bulk *bulk);

#endif
