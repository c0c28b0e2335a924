/* zstd, frame by frame; see zstd_reader.h for what it promises about the end. */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_getFrameHeader and a memory of our own */
#include "zstd_reader.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "looks_like.h"
#include "window.h"

#define OUT_SIZE (256 * 1024)
#define SKIPPABLE_MAGIC_MASK 0xFFFFFFF0U

struct zstd_reader {
    ZSTD_DCtx *zstd;
    struct window window;
    uint64_t window_max;
    struct input *input;
    uint64_t frames;
    bool in_frame;
    uint8_t out[OUT_SIZE];
};

static void *window_alloc(void *window, size_t size)
{
    return window_take(window, size);
}

static void window_release(void *window, void *memory)
{
    window_give_back(window, memory);
}

struct zstd_reader *zstd_reader_new(unsigned window_log_max)
{
    struct zstd_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return NULL;
    }
    ZSTD_bounds bounds = ZSTD_dParam_getBounds(ZSTD_d_windowLogMax);
    int window_log = (int)window_log_max < bounds.lowerBound   ? bounds.lowerBound
                     : (int)window_log_max > bounds.upperBound ? bounds.upperBound
                                                               : (int)window_log_max;
    reader->window_max = (uint64_t)1 << window_log;
    if (window_reserve(&reader->window, reader->window_max) != 0) {
        zstd_reader_free(reader);
        return NULL;
    }
    reader->zstd = ZSTD_createDCtx_advanced((ZSTD_customMem){window_alloc, window_release, &reader->window});
    if (reader->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(reader->zstd, ZSTD_d_windowLogMax, window_log))) {
        zstd_reader_free(reader);
        return NULL;
    }
    return reader;
}

void zstd_reader_free(struct zstd_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    ZSTD_freeDCtx(reader->zstd);
    window_unmap(&reader->window);
    free(reader);
}

void zstd_reader_start(struct zstd_reader *reader, struct input *input)
{
    reader->input = input;
    reader->frames = 0;
    reader->in_frame = false;
    ZSTD_DCtx_reset(reader->zstd, ZSTD_reset_session_only);
}

uint64_t zstd_reader_frames(const struct zstd_reader *reader)
{
    return reader->frames;
}

static int refuse_magic(const struct input *input, struct failure *failure)
{
    uint64_t offset = input_offset(input);
    if (offset == 0) {
        return fail_integrity(failure, "the object is no zstd archive: %s",
                              looks_like(input->bytes + input->at, input_left(input)));
    }
    return fail_integrity(failure,
                          "what follows byte %llu is no zstd frame; the archive is damaged or has something "
                          "behind its end",
                          (unsigned long long)offset);
}

/* The window as zstd takes it from the header; a frame of one segment has its content's size as window. */
static int check_header(const struct zstd_reader *reader, const ZSTD_frameHeader *header, struct failure *failure)
{
    if (header->dictID != 0) {
        return fail_integrity(failure, "a frame needs a dictionary (%u), which backups do not use", header->dictID);
    }
    if (header->windowSize > reader->window_max) {
        return fail_integrity(failure,
                              "a frame needs a window of %llu bytes, allowed are %llu; compress it with less than "
                              "`zstd --long=27`, or allow more",
                              (unsigned long long)header->windowSize, (unsigned long long)reader->window_max);
    }
    return 0;
}

/* At the start of a frame. Returns 1 where one begins, 0 at the archive's end, or -1. */
static int begin_frame(struct zstd_reader *reader, struct failure *failure)
{
    struct input *input = reader->input;
    size_t wanted = input_offset(input) == 0 ? LOOKS_LIKE_BYTES : ZSTD_FRAMEHEADERSIZE_MAX;
    if (input_gather(input, wanted, failure) != 0) {
        return -1;
    }
    size_t have = input_left(input);
    if (have == 0 && reader->frames != 0) {
        return 0;
    }
    const uint8_t *bytes = input->bytes + input->at;
    uint32_t magic =
        have < 4 ? 0 : bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    if ((magic & SKIPPABLE_MAGIC_MASK) == ZSTD_MAGIC_SKIPPABLE_START) {
        return 1;
    }
    if (magic != ZSTD_MAGICNUMBER) {
        return refuse_magic(input, failure);
    }
    ZSTD_frameHeader header;
    size_t result = ZSTD_getFrameHeader(&header, bytes, have);
    if (ZSTD_isError(result)) {
        return fail_integrity(failure, "header of a zstd frame: %s", ZSTD_getErrorName(result));
    }
    reader->frames++;
    return result == 0 && check_header(reader, &header, failure) != 0 ? -1 : 1;
}

static int truncated(const struct zstd_reader *reader, struct failure *failure)
{
    return fail_integrity(failure, "zstd frame %llu is not complete when the archive ends; the backup is truncated",
                          (unsigned long long)reader->frames);
}

/* Give zstd what is at hand. Returns 1, with *size bytes in `out` (perhaps none), or -1. */
static int decompress(struct zstd_reader *reader, size_t *size, struct failure *failure)
{
    struct input *input = reader->input;
    ZSTD_inBuffer in = {input->bytes, input->have, input->at};
    ZSTD_outBuffer out = {reader->out, sizeof reader->out, 0};
    size_t result = ZSTD_decompressStream(reader->zstd, &out, &in);
    if (ZSTD_isError(result)) {
        return fail_integrity(failure, "zstd frame %llu: %s; the backup is damaged", (unsigned long long)reader->frames,
                              ZSTD_getErrorName(result));
    }
    bool moved = in.pos != input->at || out.pos != 0;
    input->at = in.pos;
    reader->in_frame = result != 0;
    *size = out.pos;
    return reader->in_frame && input->ended && input_left(input) == 0 && !moved ? truncated(reader, failure) : 1;
}

int zstd_reader_next(struct zstd_reader *reader, const void **data, size_t *size, struct failure *failure)
{
    *data = reader->out;
    *size = 0;
    while (*size == 0) {
        int result = 1;
        if (!reader->in_frame) {
            result = begin_frame(reader, failure);
        } else if (input_left(reader->input) == 0) {
            result = input_more(reader->input, failure) < 0 ? -1 : 1;
        }
        if (result <= 0 || decompress(reader, size, failure) < 0) {
            return result <= 0 ? result : -1;
        }
    }
    return 1;
}
