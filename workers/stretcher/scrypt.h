/* The key of an age passphrase: scrypt with age's parameters. */
#ifndef SCRYPT_H
#define SCRYPT_H

#include <stddef.h>
#include <stdint.h>

#define SCRYPT_SALT_SIZE 16
#define SCRYPT_KEY_SIZE 32

/* Memory that a work factor (log2 of N) takes, in bytes. */
uint64_t scrypt_memory(unsigned work_factor);

/* 0, or -1 where there is not the memory for it. */
int scrypt_key(const char *passphrase, size_t size, const uint8_t salt[SCRYPT_SALT_SIZE], unsigned work_factor,
               uint8_t key[SCRYPT_KEY_SIZE]);

#endif
