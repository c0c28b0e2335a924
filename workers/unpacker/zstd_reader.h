/*
 * zstd: takes several frames and skippable frames anywhere, and tells the end of the archive only where every frame was
 * complete with its checksum. All memory, the largest window included, is set up before the lock-down.
 */
#ifndef ZSTD_READER_H
#define ZSTD_READER_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "input.h"

struct zstd_reader;

/* NULL on failure. window_log_max: frames that need a larger window are refused. */
struct zstd_reader *zstd_reader_new(unsigned window_log_max);
void zstd_reader_free(struct zstd_reader *reader);

/* Begin with an input that was just started. */
void zstd_reader_start(struct zstd_reader *reader, struct input *input);

/*
 * The next decompressed bytes. Returns 1 with *data and *size (valid until the next call), 0 at the end of a sound
 * archive whose every byte was read, or -1 with the failure.
 */
int zstd_reader_next(struct zstd_reader *reader, const void **data, size_t *size, struct failure *failure);

/* Frames with data begun so far. */
uint64_t zstd_reader_frames(const struct zstd_reader *reader);

#endif
