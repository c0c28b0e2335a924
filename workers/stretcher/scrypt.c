/* scrypt by libcrypto. */
#include "scrypt.h"

#include <openssl/evp.h>
#include <string.h>

#define LABEL "age-encryption.org/v1/scrypt"
#define BLOCKS 8 /* scrypt's r; its p is 1 */
#define BLOCK_BYTES (128 * BLOCKS)
#define SMALL_BYTES (64 * 1024) /* what libcrypto takes beside the large table */

uint64_t scrypt_memory(unsigned work_factor)
{
    return ((uint64_t)BLOCK_BYTES << work_factor) + SMALL_BYTES;
}

int scrypt_key(const char *passphrase, size_t size, const uint8_t salt[SCRYPT_SALT_SIZE], unsigned work_factor,
               uint8_t key[SCRYPT_KEY_SIZE])
{
    uint8_t labelled[sizeof LABEL - 1 + SCRYPT_SALT_SIZE];
    memcpy(labelled, LABEL, sizeof LABEL - 1);
    memcpy(labelled + sizeof LABEL - 1, salt, SCRYPT_SALT_SIZE);
    return EVP_PBE_scrypt(passphrase, size, labelled, sizeof labelled, (uint64_t)1 << work_factor, BLOCKS, 1,
                          scrypt_memory(work_factor), key, SCRYPT_KEY_SIZE) == 1
               ? 0
               : -1;
}
