/* SHA-256 by libcrypto. */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>

#define SHA256_HEX_SIZE 65

/* The digest of `size` bytes in lower-case hexadecimal, with a NUL. Returns 0, or -1. */
int sha256_hex(const void *data, size_t size, char hex[SHA256_HEX_SIZE]);

/* The same of a whole file, by its path. Returns 0, or -1 with errno where it cannot be read. */
int sha256_file(const char *path, char hex[SHA256_HEX_SIZE]);

#endif
