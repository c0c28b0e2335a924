/* The queue of frames on their way to the stager; see bulk.h. */
#include "bulk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Below this much room a read is not worth its call, unless the frame at the end needs it. */
#define READ_LEAST (64 * 1024)

static bool is_bulk(unsigned type)
{
    return type == MESSAGE_stream_data || type == MESSAGE_stream_end || type == MESSAGE_streams_end;
}

/* Releases the whole frames that were read, up to and with streams_end. */
static int release(struct bulk *bulk)
{
    while (!bulk->ended && bulk->size - bulk->released >= FRAME_HEADER_SIZE) {
        struct frame_header header;
        bulk->refusal = frame_header_decode(bulk->data + bulk->released, &header);
        if (bulk->refusal == NULL && !is_bulk(header.type)) {
            bulk->refusal = "a frame that the unpacker may not send to the stager";
        }
        if (bulk->refusal != NULL) {
            return -1;
        }
        if (bulk->size - bulk->released < FRAME_HEADER_SIZE + header.length) {
            return 0;
        }
        bulk->released += FRAME_HEADER_SIZE + header.length;
        bulk->ended = header.type == MESSAGE_streams_end;
    }
    return 0;
}

/* Not before the control frame that begins the pass is on its way. */
bool bulk_wants(const struct bulk *bulk)
{
    return !bulk->ended && bulk->control_size == 0 && bulk->size - bulk->sent <= BULK_CAPACITY - READ_LEAST;
}

bool bulk_has(const struct bulk *bulk)
{
    return bulk->sent < bulk->released || bulk->control_sent < bulk->control_size;
}

static void make_room(struct bulk *bulk)
{
    if (bulk->sent == 0 || (bulk->sent < bulk->size && BULK_CAPACITY - bulk->size >= READ_LEAST)) {
        return;
    }
    memmove(bulk->data, bulk->data + bulk->sent, bulk->size - bulk->sent);
    bulk->size -= bulk->sent;
    bulk->released -= bulk->sent;
    bulk->sent = 0;
}

int bulk_read(struct bulk *bulk, int fd)
{
    bulk->refusal = NULL;
    make_room(bulk);
    ssize_t got = read(fd, bulk->data + bulk->size, BULK_CAPACITY - bulk->size);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 1 : -1;
    }
    if (got == 0) {
        return 0;
    }
    bulk->size += (size_t)got;
    return release(bulk) == 0 ? 1 : -1;
}

/* Control frames lie between two frames of bulk: they wait for what was released, but for the one that begins a pass.
 */
int bulk_write(struct bulk *bulk, int fd)
{
    bool control = bulk->sent == bulk->released || (bulk->control_first && bulk->control_size != 0);
    const uint8_t *from = control ? bulk->control + bulk->control_sent : bulk->data + bulk->sent;
    size_t size = control ? bulk->control_size - bulk->control_sent : bulk->released - bulk->sent;
    ssize_t put = write(fd, from, size);
    if (put < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    if (!control) {
        bulk->sent += (size_t)put;
        return 0;
    }
    bulk->control_sent += (size_t)put;
    if (bulk->control_sent == bulk->control_size) {
        bulk->control_sent = 0;
        bulk->control_size = 0;
        bulk->control_first = false;
    }
    return 0;
}

int bulk_control(struct bulk *bulk, unsigned type, const uint8_t *payload, size_t length)
{
    if (FRAME_HEADER_SIZE + length > BULK_CONTROL_CAPACITY - bulk->control_size) {
        return -1;
    }
    uint8_t *at = bulk->control + bulk->control_size;
    frame_header_encode(at, type, length);
    memcpy(at + FRAME_HEADER_SIZE, payload, length);
    bulk->control_size += FRAME_HEADER_SIZE + length;
    return 0;
}

int bulk_begin(struct bulk *bulk)
{
    bulk->refusal = NULL;
    bulk->ended = false;
    bulk->control_first = bulk->sent == bulk->released;
    return release(bulk);
}
