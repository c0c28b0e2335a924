/*
 * The archive as it comes in: read from a descriptor, hashed, decompressed. It reads exactly the bytes announced, takes
 * several frames and skippable frames anywhere, and tells the end of the archive only where every frame was complete
 * with its checksum. All memory, the largest window included, is set up before the lock-down.
 */
#ifndef ZSTD_READER_H
#define ZSTD_READER_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

#define SHA256_HEX_SIZE 65

struct zstd_reader;

/* NULL on failure. window_log_max: frames that need a larger window are refused. */
struct zstd_reader *zstd_reader_new(unsigned window_log_max);
void zstd_reader_free(struct zstd_reader *reader);

/* Begin with an archive of `size` bytes at `fd`; no end of file is needed behind it. */
void zstd_reader_start(struct zstd_reader *reader, int fd, uint64_t size);

/*
 * The next decompressed bytes. Returns 1 with *data and *size (valid until the next call), 0 at the end of a sound
 * archive whose every byte was read, or -1 with the failure.
 */
int zstd_reader_next(struct zstd_reader *reader, const void **data, size_t *size, struct failure *failure);

/* Of the archive so far: compressed bytes read, bytes decompressed, frames with data begun. */
uint64_t zstd_reader_bytes_in(const struct zstd_reader *reader);
uint64_t zstd_reader_bytes_out(const struct zstd_reader *reader);
uint64_t zstd_reader_frames(const struct zstd_reader *reader);

/* SHA-256 of the archive in lower-case hex, once the end was told. Returns 0, or -1 where the library fails. */
int zstd_reader_digest(struct zstd_reader *reader, char hex[SHA256_HEX_SIZE]);

#endif
