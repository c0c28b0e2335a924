/* Bulk frames; they are written by hand here, since messages.c would copy what they carry. */
#include "bulk.h"

#include "io.h"

#define DIRECT_SIZE (96 * 1024) /* from here on a second write costs less than a copy */

void bulk_init(struct bulk *bulk, int fd)
{
    bulk->fd = fd;
    bulk->stream = 0;
    bulk->used = 0;
}

static void put_little_endian(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static void put_header(uint8_t *out, uint64_t stream, size_t size)
{
    frame_header_encode(out, MESSAGE_stream_data, BULK_HEADER_SIZE - FRAME_HEADER_SIZE + size);
    put_little_endian(out + FRAME_HEADER_SIZE, stream, 8);
    put_little_endian(out + FRAME_HEADER_SIZE + 8, size, 4);
}

static int flush(struct bulk *bulk)
{
    if (bulk->used == 0) {
        return 0;
    }
    put_header(bulk->frame, bulk->stream, bulk->used);
    size_t size = BULK_HEADER_SIZE + bulk->used;
    bulk->used = 0;
    return write_full(bulk->fd, bulk->frame, size);
}

static int put_direct(struct bulk *bulk, const void *data, size_t size)
{
    uint8_t header[BULK_HEADER_SIZE];
    put_header(header, bulk->stream, size);
    if (write_full(bulk->fd, header, sizeof header) != 0) {
        return -1;
    }
    return write_full(bulk->fd, data, size);
}

static int put_buffered(struct bulk *bulk, const void *data, size_t size)
{
    if (size > DATA_BYTES_MAX - bulk->used && flush(bulk) != 0) {
        return -1;
    }
    memcpy(bulk->frame + BULK_HEADER_SIZE + bulk->used, data, size);
    bulk->used += size;
    return 0;
}

int bulk_put(struct bulk *bulk, uint64_t stream, const void *data, size_t size)
{
    if (stream != bulk->stream && flush(bulk) != 0) {
        return -1;
    }
    bulk->stream = stream;
    const uint8_t *at = data;
    while (size > 0) {
        size_t part = size < DATA_BYTES_MAX ? size : DATA_BYTES_MAX;
        int result = 0;
        if (part < DIRECT_SIZE) {
            result = put_buffered(bulk, at, part);
        } else {
            result = flush(bulk) != 0 ? -1 : put_direct(bulk, at, part);
        }
        if (result != 0) {
            return -1;
        }
        at += part;
        size -= part;
    }
    return 0;
}

int bulk_end_stream(struct bulk *bulk, uint64_t stream)
{
    uint8_t frame[FRAME_HEADER_SIZE + 8];
    size_t size = message_encode(MESSAGE_stream_end, &(struct msg_stream_end){stream}, frame, sizeof frame);
    return flush(bulk) != 0 ? -1 : write_full(bulk->fd, frame, size);
}

int bulk_end(struct bulk *bulk)
{
    uint8_t frame[FRAME_HEADER_SIZE];
    frame_header_encode(frame, MESSAGE_streams_end, 0);
    return flush(bulk) != 0 ? -1 : write_full(bulk->fd, frame, sizeof frame);
}
