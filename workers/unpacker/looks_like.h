/* What bytes that are no zstd archive look like, so that the message can say what to do. */
#ifndef LOOKS_LIKE_H
#define LOOKS_LIKE_H

#include <stddef.h>
#include <stdint.h>

#define LOOKS_LIKE_BYTES 512 /* as many of an object's first bytes as help */

/* A clause that follows 'the object is no zstd archive: '. Static text. */
const char *looks_like(const uint8_t *bytes, size_t size);

#endif
