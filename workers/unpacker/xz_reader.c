/* xz, all streams in one decoder. */
#include "xz_reader.h"

#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "exit_codes.h"
#include "looks_like.h"
#include "window.h"

#define OUT_SIZE (256 * 1024)
#define MEMORY_SLACK (1024 * 1024) /* of the decoder, beside the dictionary */
#define MAGIC_SIZE 6

struct xz_reader {
    lzma_stream lzma;
    lzma_allocator allocator;
    struct window window;
    uint64_t memory_max;
    struct input *input;
    bool begun;
    bool ended;
    uint8_t out[OUT_SIZE];
};

static void *take_memory(void *window, size_t count, size_t size)
{
    size_t whole = 0;
    return __builtin_mul_overflow(count, size, &whole) ? NULL : window_take(window, whole);
}

static void give_memory_back(void *window, void *memory)
{
    window_give_back(window, memory);
}

struct xz_reader *xz_reader_new(unsigned window_log_max)
{
    struct xz_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || window_reserve(&reader->window, (uint64_t)1 << window_log_max) != 0) {
        free(reader);
        return NULL;
    }
    reader->memory_max = ((uint64_t)1 << window_log_max) + MEMORY_SLACK;
    reader->allocator = (lzma_allocator){take_memory, give_memory_back, &reader->window};
    reader->lzma = (lzma_stream)LZMA_STREAM_INIT;
    reader->lzma.allocator = &reader->allocator;
    return reader;
}

void xz_reader_free(struct xz_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    lzma_end(&reader->lzma);
    window_unmap(&reader->window);
    free(reader);
}

int xz_reader_start(struct xz_reader *reader, struct input *input, struct failure *failure)
{
    const uint32_t flags = LZMA_CONCATENATED | LZMA_TELL_NO_CHECK | LZMA_TELL_UNSUPPORTED_CHECK;
    reader->input = input;
    reader->begun = false;
    reader->ended = false;
    return lzma_stream_decoder(&reader->lzma, reader->memory_max, flags) == LZMA_OK
               ? 0
               : fail_with(failure, EXIT_INTERNAL, "no memory for xz");
}

static int check_magic(struct xz_reader *reader, struct failure *failure)
{
    static const uint8_t magic[MAGIC_SIZE] = {0xfd, '7', 'z', 'X', 'Z', 0};
    struct input *input = reader->input;
    if (input_gather(input, LOOKS_LIKE_BYTES, failure) != 0) {
        return -1;
    }
    reader->begun = true;
    if (input_left(input) < MAGIC_SIZE || memcmp(input->bytes, magic, MAGIC_SIZE) != 0) {
        return fail_integrity(failure, "the object is no xz archive: %s", looks_like(input->bytes, input_left(input)));
    }
    return 0;
}

static int refuse(const struct xz_reader *reader, lzma_ret result, struct failure *failure)
{
    switch (result) {
    case LZMA_NO_CHECK:
        return fail_integrity(failure, "it was made by xz without checks, so damage could not be seen; compress it "
                                       "again without --check=none");
    case LZMA_UNSUPPORTED_CHECK:
        return fail_integrity(failure, "it has xz checks of an unknown kind, so damage could not be seen");
    case LZMA_MEMLIMIT_ERROR:
    case LZMA_MEM_ERROR:
        return fail_integrity(failure,
                              "xz needs a dictionary of more memory than the %llu bytes allowed; compress it "
                              "with less than `xz -9`",
                              (unsigned long long)reader->memory_max);
    case LZMA_OPTIONS_ERROR:
        return fail_integrity(failure, "xz: it uses filters that are not known here");
    case LZMA_BUF_ERROR:
        return fail_integrity(failure, "an xz stream is not complete when the archive ends; the backup is truncated");
    default:
        return fail_integrity(failure, "xz: the data is corrupt, or something that is no xz stream follows one; the "
                                       "backup is damaged");
    }
}

/* Give liblzma what is at hand. Returns 1, with *size bytes in `out` (perhaps none), or -1. */
static int decompress(struct xz_reader *reader, size_t *size, struct failure *failure)
{
    struct input *input = reader->input;
    lzma_stream *lzma = &reader->lzma;
    lzma->next_in = input->bytes + input->at;
    lzma->avail_in = input_left(input);
    lzma->next_out = reader->out;
    lzma->avail_out = sizeof reader->out;
    lzma_ret result = lzma_code(lzma, input->ended ? LZMA_FINISH : LZMA_RUN);
    *size = sizeof reader->out - lzma->avail_out;
    input->at = input->have - lzma->avail_in;
    reader->ended = result == LZMA_STREAM_END;
    bool waits = result == LZMA_BUF_ERROR && !input->ended;
    return result == LZMA_OK || reader->ended || waits ? 1 : refuse(reader, result, failure);
}

int xz_reader_next(struct xz_reader *reader, const void **data, size_t *size, struct failure *failure)
{
    *data = reader->out;
    *size = 0;
    if (!reader->begun && check_magic(reader, failure) != 0) {
        return -1;
    }
    while (*size == 0) {
        if (reader->ended) {
            return 0;
        }
        if (input_left(reader->input) == 0 && input_more(reader->input, failure) < 0) {
            return -1;
        }
        if (decompress(reader, size, failure) < 0) {
            return -1;
        }
    }
    return 1;
}
