/*
 * The archive's bytes as they come in: exactly as many as were announced, read from a descriptor and hashed. What it
 * reads is what lies in S3, so that the digest can be compared with that of the object.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"

#define SHA256_HEX_SIZE 65
#define BLAKE2B_SIZE 64

struct source;

/* NULL on failure. */
struct source *source_new(void);
void source_free(struct source *source);

/* Begin with an archive of `size` bytes at `fd`; no end of file is needed behind it. */
/* blake2b: hash with BLAKE2b-512 as well. */
void source_start(struct source *source, int fd, uint64_t size, bool blake2b);

/* At most `room` of the next bytes: how many, 0 where all were read, or -1 with the failure. */
ssize_t source_read(struct source *source, void *bytes, size_t room, struct failure *failure);

/* Bytes read so far. */
uint64_t source_bytes(const struct source *source);

/* SHA-256 in lower-case hex, once all was read. Returns 0, or -1 where the library fails. */
int source_digest(struct source *source, char hex[SHA256_HEX_SIZE]);

/* BLAKE2b-512, likewise, where it was asked for. */
int source_blake2b(struct source *source, uint8_t digest[BLAKE2B_SIZE]);

#endif
