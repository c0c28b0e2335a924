/*
 * xz by liblzma: takes several streams and the padding that may stand between them, each stream to its end with its
 * index and checks. Streams without checks are refused: damage of their contents would pass. All memory, the largest
 * dictionary included, is set up before the lock-down.
 */
#ifndef XZ_READER_H
#define XZ_READER_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "input.h"

struct xz_reader;

/* NULL on failure. window_log_max: streams that need a larger dictionary are refused. */
struct xz_reader *xz_reader_new(unsigned window_log_max);
void xz_reader_free(struct xz_reader *reader);

/* As those of zstd_reader.h. 0, or -1 with the failure. */
int xz_reader_start(struct xz_reader *reader, struct input *input, struct failure *failure);
int xz_reader_next(struct xz_reader *reader, const void **data, size_t *size, struct failure *failure);

#endif
