/*
 * What age is made of, by libcrypto: HMAC and HKDF with SHA-256, X25519, ChaCha20-Poly1305. After age_crypto_new(),
 * which uses each once, none of it needs more of the kernel than the heap that was grown before the lock-down.
 */
#ifndef AGE_CRYPTO_H
#define AGE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#define AGE_TAG_SIZE 16
#define AGE_NONCE_SIZE 12
#define AGE_DIGEST_SIZE 32

struct age_crypto;

/* NULL where libcrypto lacks one of them, or computes it wrongly. */
struct age_crypto *age_crypto_new(void);
void age_crypto_free(struct age_crypto *crypto);

/* All return 0, or -1. */
int age_hmac(const uint8_t *key, size_t key_size, const uint8_t *data, size_t size, uint8_t mac[AGE_DIGEST_SIZE]);
int age_hkdf(const uint8_t *secret, size_t secret_size, const uint8_t *salt, size_t salt_size, const char *info,
             uint8_t key[AGE_DIGEST_SIZE]);
int age_x25519(const uint8_t scalar[32], const uint8_t point[32],
               uint8_t shared[32]); /* -1: a point of low order too */
int age_x25519_public(const uint8_t scalar[32], uint8_t point[32]);

/* Opens `size` bytes, tag included, into size - AGE_TAG_SIZE bytes. Nothing of them may be used where it returns -1. */
int age_open(struct age_crypto *crypto, const uint8_t key[32], const uint8_t nonce[AGE_NONCE_SIZE],
             const uint8_t *sealed, size_t size, uint8_t *out);

#endif
