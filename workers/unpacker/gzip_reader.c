/* gzip, member by member. */
#include "gzip_reader.h"

#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

#include "looks_like.h"

#define OUT_SIZE (256 * 1024)
#define GZIP_ALONE (15 + 16) /* the largest window, and gzip's wrapper, not zlib's */

struct gzip_reader {
    z_stream zlib;
    struct input *input;
    uint64_t members;
    bool in_member;
    uint8_t out[OUT_SIZE];
};

struct gzip_reader *gzip_reader_new(void)
{
    struct gzip_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || inflateInit2(&reader->zlib, GZIP_ALONE) != Z_OK) {
        free(reader);
        return NULL;
    }
    return reader;
}

void gzip_reader_free(struct gzip_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    inflateEnd(&reader->zlib);
    free(reader);
}

void gzip_reader_start(struct gzip_reader *reader, struct input *input)
{
    reader->input = input;
    reader->members = 0;
    reader->in_member = false;
}

uint64_t gzip_reader_members(const struct gzip_reader *reader)
{
    return reader->members;
}

/* At the start of a member. Returns 1 where one begins, 0 at the archive's end, or -1. */
static int begin_member(struct gzip_reader *reader, struct failure *failure)
{
    struct input *input = reader->input;
    if (input_gather(input, input_offset(input) == 0 ? LOOKS_LIKE_BYTES : 2, failure) != 0) {
        return -1;
    }
    const uint8_t *bytes = input->bytes + input->at;
    size_t have = input_left(input);
    if (have == 0 && reader->members != 0) {
        return 0;
    }
    if (have < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b) {
        return reader->members == 0
                   ? fail_integrity(failure, "the object is no gzip archive: %s", looks_like(bytes, have))
                   : fail_integrity(failure,
                                    "what follows byte %llu is no gzip member; the archive is damaged or has something "
                                    "behind its end",
                                    (unsigned long long)input_offset(input));
    }
    reader->members++;
    reader->in_member = true;
    inflateReset(&reader->zlib);
    return 1;
}

/* Give zlib what is at hand. Returns 1, with *size bytes in `out` (perhaps none), or -1. */
static int decompress(struct gzip_reader *reader, size_t *size, struct failure *failure)
{
    struct input *input = reader->input;
    z_stream *zlib = &reader->zlib;
    zlib->next_in = input->bytes + input->at;
    zlib->avail_in = (uInt)input_left(input);
    zlib->next_out = reader->out;
    zlib->avail_out = sizeof reader->out;
    int result = inflate(zlib, Z_NO_FLUSH);
    *size = sizeof reader->out - zlib->avail_out;
    bool moved = input_left(input) != zlib->avail_in || *size != 0;
    input->at = input->have - zlib->avail_in;
    if (result == Z_STREAM_END) {
        reader->in_member = false;
        return 1;
    }
    if (result == Z_MEM_ERROR) {
        return fail_integrity(failure, "gzip needs more memory than is given to it");
    }
    if (result != Z_OK && result != Z_BUF_ERROR) {
        return fail_integrity(failure, "gzip member %llu: %s; the backup is damaged",
                              (unsigned long long)reader->members, zlib->msg == NULL ? "it cannot be read" : zlib->msg);
    }
    if (!moved && input->ended) {
        return fail_integrity(failure,
                              "gzip member %llu is not complete when the archive ends; the backup is truncated",
                              (unsigned long long)reader->members);
    }
    return 1;
}

int gzip_reader_next(struct gzip_reader *reader, const void **data, size_t *size, struct failure *failure)
{
    *data = reader->out;
    *size = 0;
    while (*size == 0) {
        int result = 1;
        if (!reader->in_member) {
            result = begin_member(reader, failure);
        } else if (input_left(reader->input) == 0) {
            result = input_more(reader->input, failure) < 0 ? -1 : 1;
        }
        if (result <= 0 || decompress(reader, size, failure) < 0) {
            return result <= 0 ? result : -1;
        }
    }
    return 1;
}
