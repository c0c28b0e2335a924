/*
 * The Engine's multiplexed stream (attach and exec without a terminal): frames of {stream, 0, 0, 0, length as
 * big-endian u32} and the bytes. Pure: fed with bytes as they come, in pieces of any size; no frame is held back.
 */
#ifndef DEMUX_H
#define DEMUX_H

#include <stddef.h>
#include <stdint.h>

#define DEMUX_HEADER_SIZE 8

enum demux_stream { DEMUX_STDIN = 0, DEMUX_STDOUT = 1, DEMUX_STDERR = 2 };

/* A piece of output. Non-zero ends the feeding and is what demux_feed() returns. */
typedef int demux_sink(void *context, enum demux_stream stream, const uint8_t *data, size_t size);

struct demux {
    uint8_t header[DEMUX_HEADER_SIZE];
    size_t have;        /* bytes of the header */
    uint32_t remaining; /* bytes of the frame still to come */
};

/* 0, -1 for a header that is none (stream above 2, or non-zero filling), or what the sink returned. */
int demux_feed(struct demux *demux, const uint8_t *data, size_t size, demux_sink *sink, void *context);

/* Whether the stream may end here: not within a frame or its header. */
int demux_at_boundary(const struct demux *demux);

#endif
