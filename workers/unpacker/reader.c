/* Source, decryption, input and decompressor of one archive. */
#include "reader.h"

#include <stdbool.h>
#include <stdlib.h>

#include "age.h"
#include "gzip_reader.h"
#include "input.h"
#include "looks_like.h"
#include "xz_reader.h"
#include "zstd_reader.h"

#define TAR_BLOCK 512
#define TAR_CHECKSUM 148 /* eight bytes of it, in octal */

struct reader {
    struct source *source;
    struct age *age;
    struct zstd_reader *zstd;
    struct gzip_reader *gzip;
    struct xz_reader *xz;
    enum archive_format format;
    uint64_t bytes_out;
    bool begun;
    bool blake2b; /* wanted of the next archive */
    struct input input;
};

static ssize_t supply_source(void *source, void *bytes, size_t room, struct failure *failure)
{
    return source_read(source, bytes, room, failure);
}

struct reader *reader_new(unsigned window_log_max)
{
    struct reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return NULL;
    }
    reader->source = source_new();
    reader->age = age_new();
    reader->zstd = zstd_reader_new(window_log_max);
    reader->gzip = gzip_reader_new();
    reader->xz = xz_reader_new(window_log_max);
    if (reader->source == NULL || reader->age == NULL || reader->zstd == NULL || reader->gzip == NULL ||
        reader->xz == NULL) {
        reader_free(reader);
        return NULL;
    }
    return reader;
}

void reader_free(struct reader *reader)
{
    if (reader == NULL) {
        return;
    }
    xz_reader_free(reader->xz);
    gzip_reader_free(reader->gzip);
    zstd_reader_free(reader->zstd);
    age_free(reader->age);
    source_free(reader->source);
    free(reader);
}

struct age *reader_age(struct reader *reader)
{
    return reader->age;
}

int reader_start(struct reader *reader, int fd, const struct msg_unpack *unpack, const struct age_stretcher *stretcher,
                 struct failure *failure)
{
    reader->format = (enum archive_format)unpack->format;
    reader->bytes_out = 0;
    reader->begun = false;
    source_start(reader->source, fd, unpack->size, reader->blake2b);
    reader->blake2b = false;
    if (unpack->encrypted != 0) {
        age_start(reader->age, supply_source, reader->source, unpack->passphrase != 0 ? stretcher : NULL);
        input_start(&reader->input, age_read, reader->age);
    } else {
        input_start(&reader->input, supply_source, reader->source);
    }
    switch (reader->format) {
    case FORMAT_GZIP:
        gzip_reader_start(reader->gzip, &reader->input);
        return 0;
    case FORMAT_XZ:
        return xz_reader_start(reader->xz, &reader->input, failure);
    case FORMAT_TAR:
        return 0;
    default:
        zstd_reader_start(reader->zstd, &reader->input);
        return 0;
    }
}

/* Whether a tar's first header adds up; an empty tar begins with zeros. */
static bool is_tar_header(const uint8_t *block, size_t size)
{
    unsigned sum = 0;
    unsigned told = 0;
    bool zeros = true;
    if (size < TAR_BLOCK) {
        return false;
    }
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        sum += i >= TAR_CHECKSUM && i < TAR_CHECKSUM + 8 ? ' ' : block[i];
        zeros = zeros && block[i] == 0;
    }
    size_t at = TAR_CHECKSUM;
    while (at < TAR_CHECKSUM + 8 && block[at] == ' ') {
        at++;
    }
    for (; at < TAR_CHECKSUM + 8 && block[at] >= '0' && block[at] <= '7'; at++) {
        told = told * 8 + (unsigned)(block[at] - '0');
    }
    return zeros || sum == told;
}

static int next_plain(struct reader *reader, const void **data, size_t *size, struct failure *failure)
{
    struct input *input = &reader->input;
    if (!reader->begun) {
        reader->begun = true;
        if (input_gather(input, LOOKS_LIKE_BYTES, failure) != 0) {
            return -1;
        }
        if (!is_tar_header(input->bytes, input->have)) {
            return fail_integrity(failure, "the object is no tar: %s", looks_like(input->bytes, input->have));
        }
    } else {
        input->at = input->have; /* what the last call gave is used up */
        int result = input_more(input, failure);
        if (result <= 0) {
            return result;
        }
    }
    *data = input->bytes + input->at;
    *size = input_left(input);
    return 1;
}

int reader_next(struct reader *reader, const void **data, size_t *size, struct failure *failure)
{
    int result = 0;
    *size = 0;
    switch (reader->format) {
    case FORMAT_GZIP:
        result = gzip_reader_next(reader->gzip, data, size, failure);
        break;
    case FORMAT_XZ:
        result = xz_reader_next(reader->xz, data, size, failure);
        break;
    case FORMAT_TAR:
        result = next_plain(reader, data, size, failure);
        break;
    default:
        result = zstd_reader_next(reader->zstd, data, size, failure);
    }
    reader->bytes_out += *size;
    return result;
}

uint64_t reader_bytes_in(const struct reader *reader)
{
    return source_bytes(reader->source);
}

uint64_t reader_bytes_out(const struct reader *reader)
{
    return reader->bytes_out;
}

uint64_t reader_frames(const struct reader *reader)
{
    return reader->format == FORMAT_ZSTD   ? zstd_reader_frames(reader->zstd)
           : reader->format == FORMAT_GZIP ? gzip_reader_members(reader->gzip)
                                           : 0;
}

int reader_digest(struct reader *reader, char hex[SHA256_HEX_SIZE])
{
    return source_digest(reader->source, hex);
}

void reader_want_blake2b(struct reader *reader)
{
    reader->blake2b = true;
}

int reader_blake2b(struct reader *reader, uint8_t digest[BLAKE2B_SIZE])
{
    return source_blake2b(reader->source, digest);
}
