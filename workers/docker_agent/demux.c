/* The Engine's multiplexed stream; see demux.h. */
#include "demux.h"

#include <string.h>

static int take_header(struct demux *demux)
{
    const uint8_t *header = demux->header;
    if (header[0] > DEMUX_STDERR || header[1] != 0 || header[2] != 0 || header[3] != 0) {
        return -1;
    }
    demux->remaining = (uint32_t)header[4] << 24 | (uint32_t)header[5] << 16 | (uint32_t)header[6] << 8 | header[7];
    if (demux->remaining == 0) {
        demux->have = 0;
    }
    return 0;
}

int demux_feed(struct demux *demux, const uint8_t *data, size_t size, demux_sink *sink, void *context)
{
    while (size > 0) {
        if (demux->have < DEMUX_HEADER_SIZE) {
            size_t part = DEMUX_HEADER_SIZE - demux->have;
            part = size < part ? size : part;
            memcpy(demux->header + demux->have, data, part);
            demux->have += part;
            data += part;
            size -= part;
            if (demux->have == DEMUX_HEADER_SIZE && take_header(demux) != 0) {
                return -1;
            }
            continue;
        }
        size_t part = size < demux->remaining ? size : demux->remaining;
        int result = sink(context, (enum demux_stream)demux->header[0], data, part);
        if (result != 0) {
            return result;
        }
        data += part;
        size -= part;
        demux->remaining -= (uint32_t)part;
        if (demux->remaining == 0) {
            demux->have = 0;
        }
    }
    return 0;
}

int demux_at_boundary(const struct demux *demux)
{
    return demux->have == 0;
}
