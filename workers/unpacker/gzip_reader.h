/*
 * gzip by zlib: takes several members one behind the other, as pigz and `cat` make them, each to its end with its CRC
 * and length. Anything else behind a member, zeros included, is refused.
 */
#ifndef GZIP_READER_H
#define GZIP_READER_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "input.h"

struct gzip_reader;

/* NULL on failure. */
struct gzip_reader *gzip_reader_new(void);
void gzip_reader_free(struct gzip_reader *reader);

/* As those of zstd_reader.h; a member is what a frame is there. */
void gzip_reader_start(struct gzip_reader *reader, struct input *input);
int gzip_reader_next(struct gzip_reader *reader, const void **data, size_t *size, struct failure *failure);
uint64_t gzip_reader_members(const struct gzip_reader *reader);

#endif
