/* libcrypto, in the few shapes that age wants. */
#include "age_crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "secret.h"

#define CURVE_SIZE 32
#define INFO_MAX 64

struct age_crypto {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *context;
};

int age_hmac(const uint8_t *key, size_t key_size, const uint8_t *data, size_t size, uint8_t mac[AGE_DIGEST_SIZE])
{
    unsigned length = 0;
    return HMAC(EVP_sha256(), key, (int)key_size, data, size, mac, &length) != NULL && length == AGE_DIGEST_SIZE ? 0
                                                                                                                 : -1;
}

/* RFC 5869, of which one block of output is enough. */
int age_hkdf(const uint8_t *secret, size_t secret_size, const uint8_t *salt, size_t salt_size, const char *info,
             uint8_t key[AGE_DIGEST_SIZE])
{
    static const uint8_t zeros[AGE_DIGEST_SIZE];
    uint8_t extracted[AGE_DIGEST_SIZE];
    uint8_t expand[INFO_MAX + 1];
    size_t length = strlen(info);
    if (length > INFO_MAX) {
        return -1;
    }
    memcpy(expand, info, length);
    expand[length] = 1;
    int result = age_hmac(salt_size == 0 ? zeros : salt, salt_size == 0 ? sizeof zeros : salt_size, secret, secret_size,
                          extracted);
    result = result != 0 ? result : age_hmac(extracted, sizeof extracted, expand, length + 1, key);
    secret_wipe(extracted, sizeof extracted);
    return result;
}

int age_x25519(const uint8_t scalar[32], const uint8_t point[32], uint8_t shared[32])
{
    size_t size = CURVE_SIZE;
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, scalar, CURVE_SIZE);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, point, CURVE_SIZE);
    EVP_PKEY_CTX *context = own == NULL ? NULL : EVP_PKEY_CTX_new(own, NULL);
    int done = context != NULL && peer != NULL && EVP_PKEY_derive_init(context) == 1 &&
               EVP_PKEY_derive_set_peer(context, peer) == 1 && EVP_PKEY_derive(context, shared, &size) == 1 &&
               size == CURVE_SIZE;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    static const uint8_t zeros[CURVE_SIZE];
    return done && CRYPTO_memcmp(shared, zeros, CURVE_SIZE) != 0 ? 0 : -1;
}

int age_x25519_public(const uint8_t scalar[32], uint8_t point[32])
{
    size_t size = CURVE_SIZE;
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, scalar, CURVE_SIZE);
    int done = own != NULL && EVP_PKEY_get_raw_public_key(own, point, &size) == 1 && size == CURVE_SIZE;
    EVP_PKEY_free(own);
    return done ? 0 : -1;
}

int age_open(struct age_crypto *crypto, const uint8_t key[32], const uint8_t nonce[AGE_NONCE_SIZE],
             const uint8_t *sealed, size_t size, uint8_t *out)
{
    if (size < AGE_TAG_SIZE) {
        return -1;
    }
    int written = 0;
    int rest = 0;
    int inside = (int)(size - AGE_TAG_SIZE);
    uint8_t tag[AGE_TAG_SIZE];
    uint8_t none[AGE_TAG_SIZE];
    memcpy(tag, sealed + inside, sizeof tag);
    EVP_CIPHER_CTX *context = crypto->context;
    return EVP_DecryptInit_ex2(context, crypto->cipher, key, nonce, NULL) == 1 &&
                   EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AGE_TAG_SIZE, tag) == 1 &&
                   (inside == 0 || EVP_DecryptUpdate(context, out, &written, sealed, inside) == 1) &&
                   EVP_DecryptFinal_ex(context, inside == 0 ? none : out + written, &rest) == 1 &&
                   written + rest == inside
               ? 0
               : -1;
}

/* The first example of RFC 7748's Diffie-Hellman, and of RFC 5869's test cases the third: each thing once, and right.
 */
static int try_everything(struct age_crypto *crypto)
{
    static const uint8_t scalar[] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1,
                                     0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
                                     0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
    static const uint8_t own[] = {0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d,
                                  0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38,
                                  0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a};
    static const uint8_t peer[] = {0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61,
                                   0xc2, 0xec, 0xe4, 0x35, 0x37, 0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78,
                                   0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f};
    static const uint8_t both[] = {0x4a, 0x5d, 0x9d, 0x5b, 0xa4, 0xce, 0x2d, 0xe1, 0x72, 0x8e, 0x3b,
                                   0xf4, 0x80, 0x35, 0x0f, 0x25, 0xe0, 0x7e, 0x21, 0xc9, 0x47, 0xd1,
                                   0x9e, 0x33, 0x76, 0xf0, 0x9b, 0x3c, 0x1e, 0x16, 0x17, 0x42};
    static const uint8_t expanded[] = {0x8d, 0xa4, 0xe7, 0x75, 0xa5, 0x63, 0xc1, 0x8f, 0x71, 0x5f, 0x80,
                                       0x2a, 0x06, 0x3c, 0x5a, 0x31, 0xb8, 0xa1, 0x1f, 0x5c, 0x5e, 0xe1,
                                       0x87, 0x9e, 0xc3, 0x45, 0x4e, 0x5f, 0x3c, 0x73, 0x8d, 0x2d};
    uint8_t secret[22];
    uint8_t out[CURVE_SIZE];
    memset(secret, 0x0b, sizeof secret);
    if (age_x25519_public(scalar, out) != 0 || memcmp(out, own, sizeof own) != 0 ||
        age_x25519(scalar, peer, out) != 0 || memcmp(out, both, sizeof both) != 0 ||
        age_hkdf(secret, sizeof secret, NULL, 0, "", out) != 0 || memcmp(out, expanded, sizeof expanded) != 0) {
        return -1;
    }
    const uint8_t nonce[AGE_NONCE_SIZE] = {0};
    const uint8_t forged[AGE_TAG_SIZE + 1] = {0};
    return age_open(crypto, scalar, nonce, forged, sizeof forged, out) == -1 ? 0 : -1;
}

struct age_crypto *age_crypto_new(void)
{
    struct age_crypto *crypto = calloc(1, sizeof *crypto);
    if (crypto == NULL) {
        return NULL;
    }
    crypto->cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    crypto->context = EVP_CIPHER_CTX_new();
    if (crypto->cipher == NULL || crypto->context == NULL || try_everything(crypto) != 0) {
        age_crypto_free(crypto);
        return NULL;
    }
    return crypto;
}

void age_crypto_free(struct age_crypto *crypto)
{
    if (crypto == NULL) {
        return;
    }
    EVP_CIPHER_CTX_free(crypto->context);
    EVP_CIPHER_free(crypto->cipher);
    free(crypto);
}
