/*
 * The Engine's multiplexed stream and single files of the archive API, in pieces whose sizes the input decides: no
 * more comes out than went in, and the same whatever the pieces are.
 */
#include <stdlib.h>
#include <string.h>

#include "workers/docker_agent/demux.h"
#include "workers/docker_agent/single_file.h"

struct sums {
    size_t size[3];
    uint64_t hash[3];
};

static int add(void *context, enum demux_stream stream, const uint8_t *data, size_t size)
{
    struct sums *sums = context;
    sums->size[stream] += size;
    for (size_t i = 0; i < size; i++) {
        sums->hash[stream] = sums->hash[stream] * 1099511628211U + data[i];
    }
    return 0;
}

static int feed_pieces(struct demux *demux, const uint8_t *data, size_t size, size_t piece, struct sums *sums)
{
    for (size_t at = 0; at < size; at += piece) {
        if (demux_feed(demux, data + at, piece < size - at ? piece : size - at, add, sums) != 0) {
            return -1;
        }
    }
    return 0;
}

static void try_demux(const uint8_t *data, size_t size, size_t piece)
{
    struct demux whole = {0};
    struct demux parts = {0};
    struct sums whole_sums = {0};
    struct sums parts_sums = {0};
    int whole_result = feed_pieces(&whole, data, size, size, &whole_sums);
    int parts_result = feed_pieces(&parts, data, size, piece, &parts_sums);
    if (whole_result != parts_result || memcmp(&whole_sums, &parts_sums, sizeof whole_sums) != 0 ||
        demux_at_boundary(&whole) != demux_at_boundary(&parts) ||
        whole_sums.size[0] + whole_sums.size[1] + whole_sums.size[2] > size) {
        abort();
    }
}

static void try_file(const uint8_t *data, size_t size, size_t piece)
{
    cleanup_single_file struct single_file file = {.limit = 4096};
    for (size_t at = 0; at < size; at += piece) {
        if (single_file_feed(&file, data + at, piece < size - at ? piece : size - at) != 0) {
            return;
        }
    }
    char *taken = NULL;
    size_t taken_size = 0;
    if (single_file_take(&file, &taken, &taken_size) == 0 && (taken_size > 4096 || taken[taken_size] != '\0')) {
        abort();
    }
    free(taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t piece = (size_t)data[0] + 1;
    if ((data[1] & 1) == 0) {
        try_demux(data + 2, size - 2, piece);
    } else {
        try_file(data + 2, size - 2, piece);
    }
    return 0;
}
