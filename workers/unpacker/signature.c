/* minisign's format, and Ed25519 by libcrypto. */
#include "signature.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "age_header.h" /* its base64 */

#define KEY_SIZE 42 /* "Ed", the key's number of 8 bytes, the key */
#define KEY_ID 2
#define KEY_BYTES 10
#define SIGNED_SIZE 74 /* "Ed" or "ED", the key's number, the signature */
#define ID_SIZE 8
#define COMMENT_PREFIX "trusted comment: "

static bool verifies(const uint8_t key[32], const uint8_t signature[64], const void *data, size_t size)
{
    EVP_PKEY *public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, 32);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool right = public_key != NULL && context != NULL &&
                 EVP_DigestVerifyInit(context, NULL, NULL, NULL, public_key) == 1 &&
                 EVP_DigestVerify(context, signature, 64, data, size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(public_key);
    return right;
}

/* The first example of RFC 8032: it has to pass, and with a bit changed to fail. */
int signature_warm_up(void)
{
    static const uint8_t key[] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
                                  0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
                                  0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
    uint8_t signature[] = {0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72, 0x90, 0x86, 0xe2, 0xcc, 0x80,
                           0x6e, 0x82, 0x8a, 0x84, 0x87, 0x7f, 0x1e, 0xb8, 0xe5, 0xd9, 0x74, 0xd8, 0x73,
                           0xe0, 0x65, 0x22, 0x49, 0x01, 0x55, 0x5f, 0xb8, 0x82, 0x15, 0x90, 0xa3, 0x3b,
                           0xac, 0xc6, 0x1e, 0x39, 0x70, 0x1c, 0xf9, 0xb4, 0x6b, 0xd2, 0x5b, 0xf5, 0xf0,
                           0x59, 0x5b, 0xbe, 0x24, 0x65, 0x51, 0x41, 0x43, 0x8e, 0x7a, 0x10, 0x0b};
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    bool right = verifies(key, signature, "", 0) && EVP_Digest("", 0, digest, &size, EVP_blake2b512(), NULL) == 1 &&
                 size == SIGNATURE_BLAKE2B_SIZE;
    signature[0] ^= 1;
    return right && !verifies(key, signature, "", 0) ? 0 : -1;
}

/* Exactly `size` bytes of base64, with or without its padding. */
static bool decode(const char *text, size_t length, uint8_t *out, size_t size)
{
    while (length > 0 && text[length - 1] == '=') {
        length--;
    }
    return age_base64((const uint8_t *)text, length, out, size) == (long)size;
}

const char *signature_take_key(struct signature *signature, const char *text)
{
    uint8_t key[KEY_SIZE];
    if (!decode(text, strlen(text), key, sizeof key) || memcmp(key, "Ed", 2) != 0) {
        return "it is no public key of minisign (RW..., 56 characters)";
    }
    memcpy(signature->public_key, key + KEY_BYTES, sizeof signature->public_key);
    for (size_t i = 0; i < ID_SIZE; i++) { /* a number, lowest byte first */
        snprintf(signature->key_id + 2 * i, 3, "%02X", key[KEY_ID + ID_SIZE - 1 - i]);
    }
    return NULL;
}

/* The next line of the file, without its end. False where there is none. */
static bool next_line(const char **at, size_t *left, const char **line, size_t *length)
{
    if (*left == 0) {
        return false;
    }
    const char *end = memchr(*at, '\n', *left);
    size_t whole = end == NULL ? *left : (size_t)(end - *at);
    *line = *at;
    *length = whole > 0 && (*at)[whole - 1] == '\r' ? whole - 1 : whole;
    *at += end == NULL ? whole : whole + 1;
    *left -= end == NULL ? whole : whole + 1;
    return true;
}

const char *signature_take_file(struct signature *signature, const char *text, size_t size)
{
    static const char *const malformed = "the file beside the backup is no signature of minisign";
    const char *lines[4];
    size_t lengths[4];
    for (size_t i = 0; i < 4; i++) {
        if (!next_line(&text, &size, &lines[i], &lengths[i])) {
            return malformed;
        }
    }
    uint8_t made[SIGNED_SIZE];
    size_t prefix = strlen(COMMENT_PREFIX);
    if (!decode(lines[1], lengths[1], made, sizeof made) || lengths[2] < prefix ||
        memcmp(lines[2], COMMENT_PREFIX, prefix) != 0 || lengths[2] - prefix > SIGNATURE_COMMENT_MAX ||
        memchr(lines[2], '\0', lengths[2]) != NULL || size != 0 ||
        !decode(lines[3], lengths[3], signature->global, sizeof signature->global)) {
        return malformed;
    }
    char key_id[SIGNATURE_KEY_ID_SIZE];
    for (size_t i = 0; i < ID_SIZE; i++) {
        snprintf(key_id + 2 * i, 3, "%02X", made[KEY_ID + ID_SIZE - 1 - i]);
    }
    if (made[0] != 'E' || (made[1] != 'd' && made[1] != 'D')) {
        return malformed;
    }
    if (strcmp(key_id, signature->key_id) != 0) {
        return "the signature beside the backup was made with another key";
    }
    signature->hashed = made[1] == 'D';
    memcpy(signature->signed_with, made + KEY_BYTES, sizeof signature->signed_with);
    memcpy(signature->comment, lines[2] + prefix, lengths[2] - prefix);
    signature->comment[lengths[2] - prefix] = '\0';
    return NULL;
}

/* Over a file of this text. */
static bool signs_text(const struct signature *signature, const char *text, size_t size)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!signature->hashed) {
        return verifies(signature->public_key, signature->signed_with, text, size);
    }
    return EVP_Digest(text, size, digest, &length, EVP_blake2b512(), NULL) == 1 &&
           verifies(signature->public_key, signature->signed_with, digest, length);
}

const char *signature_check(const struct signature *signature, const char *sha256_hex,
                            const uint8_t blake2b[SIGNATURE_BLAKE2B_SIZE])
{
    char line[80];
    char signed_comment[sizeof signature->signed_with + sizeof signature->comment];
    size_t length = strlen(signature->comment);
    size_t line_length = (size_t)snprintf(line, sizeof line, "%s\n", sha256_hex);
    bool right =
        signs_text(signature, line, line_length) || signs_text(signature, line, line_length - 1) ||
        (signature->hashed && verifies(signature->public_key, signature->signed_with, blake2b, SIGNATURE_BLAKE2B_SIZE));
    if (!right) {
        return "the signature beside the backup is not one of this archive, nor of its SHA-256";
    }
    memcpy(signed_comment, signature->signed_with, sizeof signature->signed_with);
    memcpy(signed_comment + sizeof signature->signed_with, signature->comment, length);
    return verifies(signature->public_key, signature->global, signed_comment, sizeof signature->signed_with + length)
               ? NULL
               : "the signature's trusted comment was changed";
}
