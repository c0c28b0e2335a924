/* Input, SHA-256 and zstd in one loop; see zstd_reader.h for what it promises about the end. */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_getFrameHeader and a memory of our own */
#include "zstd_reader.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "exit_codes.h"
#include "looks_like.h"

#define IN_SIZE (256 * 1024)
#define OUT_SIZE (256 * 1024)
#define SMALL_SIZE (1024 * 1024)   /* what zstd asks for beside its window goes to the heap */
#define WINDOW_SLACK (1024 * 1024) /* its own margins around the window */
#define SKIPPABLE_MAGIC_MASK 0xFFFFFFF0U

/* The one large block that zstd asks for, the window, lives in address space of its own: reserved once, resident only
 * as far as it was used, and used again by the next frame. */
struct window {
    uint8_t *memory;
    size_t size;
    bool taken;
};

struct zstd_reader {
    ZSTD_DCtx *zstd;
    struct window window;
    uint64_t window_max;
    EVP_MD *digest;
    EVP_MD_CTX *hash;
    int fd;
    uint64_t size;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t frames;
    bool in_frame;
    size_t at;   /* next byte of `in` */
    size_t have; /* bytes in `in` */
    uint8_t in[IN_SIZE];
    uint8_t out[OUT_SIZE];
};

static void *window_alloc(void *opaque, size_t size)
{
    struct window *window = opaque;
    if (size <= SMALL_SIZE) {
        return malloc(size);
    }
    if (window->taken || size > window->size) {
        return NULL;
    }
    window->taken = true;
    return window->memory;
}

static void window_release(void *opaque, void *memory)
{
    struct window *window = opaque;
    if (memory == window->memory) {
        window->taken = false;
    } else {
        free(memory);
    }
}

static bool reserve_window(struct zstd_reader *reader)
{
    size_t size = (size_t)reader->window_max + WINDOW_SLACK;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return false;
    }
    reader->window.memory = memory;
    reader->window.size = size;
    return true;
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
    reader->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    reader->hash = EVP_MD_CTX_new();
    if (reader->digest == NULL || reader->hash == NULL || !reserve_window(reader)) {
        zstd_reader_free(reader);
        return NULL;
    }
    reader->zstd = ZSTD_createDCtx_advanced((ZSTD_customMem){window_alloc, window_release, &reader->window});
    if (reader->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(reader->zstd, ZSTD_d_windowLogMax, window_log))) {
        zstd_reader_free(reader);
        return NULL;
    }
    zstd_reader_start(reader, -1, 0);
    return reader;
}

void zstd_reader_free(struct zstd_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    ZSTD_freeDCtx(reader->zstd);
    if (reader->window.memory != NULL) {
        munmap(reader->window.memory, reader->window.size);
    }
    EVP_MD_CTX_free(reader->hash);
    EVP_MD_free(reader->digest);
    free(reader);
}

void zstd_reader_start(struct zstd_reader *reader, int fd, uint64_t size)
{
    reader->fd = fd;
    reader->size = size;
    reader->bytes_in = 0;
    reader->bytes_out = 0;
    reader->frames = 0;
    reader->in_frame = false;
    reader->at = 0;
    reader->have = 0;
    ZSTD_DCtx_reset(reader->zstd, ZSTD_reset_session_only);
    EVP_DigestInit_ex2(reader->hash, reader->digest, NULL); /* a failure shows at the digest's end */
}

uint64_t zstd_reader_bytes_in(const struct zstd_reader *reader)
{
    return reader->bytes_in;
}

uint64_t zstd_reader_bytes_out(const struct zstd_reader *reader)
{
    return reader->bytes_out;
}

uint64_t zstd_reader_frames(const struct zstd_reader *reader)
{
    return reader->frames;
}

int zstd_reader_digest(struct zstd_reader *reader, char hex[SHA256_HEX_SIZE])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_DigestFinal_ex(reader->hash, digest, &size) != 1 || 2 * size + 1 != SHA256_HEX_SIZE) {
        return -1;
    }
    for (unsigned i = 0; i < size; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[2 * size] = '\0';
    return 0;
}

/* One read behind what is left in `in`, which is moved to its start. Returns 1, 0 where all was read, or -1. */
static int read_more(struct zstd_reader *reader, struct failure *failure)
{
    uint64_t left = reader->size - reader->bytes_in;
    if (left == 0) {
        return 0;
    }
    memmove(reader->in, reader->in + reader->at, reader->have - reader->at);
    reader->have -= reader->at;
    reader->at = 0;
    size_t room = sizeof reader->in - reader->have;
    size_t wanted = left < room ? (size_t)left : room;
    ssize_t got = 0;
    do {
        got = read(reader->fd, reader->in + reader->have, wanted);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return fail_with(failure, EXIT_INTERNAL, "reading the archive from its pipe: %s", strerror(errno));
    }
    if (got == 0) {
        return fail_integrity(failure, "the archive ended after %llu of %llu bytes; download it again",
                              (unsigned long long)reader->bytes_in, (unsigned long long)reader->size);
    }
    EVP_DigestUpdate(reader->hash, reader->in + reader->have, (size_t)got);
    reader->have += (size_t)got;
    reader->bytes_in += (uint64_t)got;
    return 1;
}

/* Read until `wanted` bytes are at hand or all was read. Returns 0 or -1. */
static int gather(struct zstd_reader *reader, size_t wanted, struct failure *failure)
{
    while (reader->have - reader->at < wanted) {
        int result = read_more(reader, failure);
        if (result <= 0) {
            return result;
        }
    }
    return 0;
}

static int refuse_magic(const struct zstd_reader *reader, size_t have, struct failure *failure)
{
    uint64_t offset = reader->bytes_in - have;
    if (offset == 0) {
        return fail_integrity(failure, "the object is no zstd archive: %s", looks_like(reader->in + reader->at, have));
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
    size_t wanted = reader->bytes_in == reader->have ? LOOKS_LIKE_BYTES : ZSTD_FRAMEHEADERSIZE_MAX;
    if (gather(reader, wanted, failure) != 0) {
        return -1;
    }
    size_t have = reader->have - reader->at;
    if (have == 0 && reader->frames != 0) {
        return 0;
    }
    const uint8_t *bytes = reader->in + reader->at;
    uint32_t magic =
        have < 4 ? 0 : bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    if ((magic & SKIPPABLE_MAGIC_MASK) == ZSTD_MAGIC_SKIPPABLE_START) {
        return 1;
    }
    if (magic != ZSTD_MAGICNUMBER) {
        return refuse_magic(reader, have, failure);
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
    ZSTD_inBuffer in = {reader->in, reader->have, reader->at};
    ZSTD_outBuffer out = {reader->out, sizeof reader->out, 0};
    size_t result = ZSTD_decompressStream(reader->zstd, &out, &in);
    if (ZSTD_isError(result)) {
        return fail_integrity(failure, "zstd frame %llu: %s; the backup is damaged", (unsigned long long)reader->frames,
                              ZSTD_getErrorName(result));
    }
    bool moved = in.pos != reader->at || out.pos != 0;
    reader->at = in.pos;
    reader->in_frame = result != 0;
    reader->bytes_out += out.pos;
    *size = out.pos;
    bool all_read = reader->at == reader->have && reader->bytes_in == reader->size;
    return reader->in_frame && all_read && !moved ? truncated(reader, failure) : 1;
}

int zstd_reader_next(struct zstd_reader *reader, const void **data, size_t *size, struct failure *failure)
{
    *data = reader->out;
    *size = 0;
    while (*size == 0) {
        int result = 1;
        if (!reader->in_frame) {
            result = begin_frame(reader, failure);
        } else if (reader->at == reader->have) {
            result = read_more(reader, failure) < 0 ? -1 : 1;
        }
        if (result <= 0 || decompress(reader, size, failure) < 0) {
            return result <= 0 ? result : -1;
        }
    }
    return 1;
}
