/* Signatures in the format of minisign, by libcrypto. */
#include "minisign.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "secret.h"

#define KEY_FILE_MAX 1024
#define SEED_SIZE 32
#define PUBLIC_SIZE 32
#define NUMBER_SIZE 8
#define SIGNATURE_SIZE 64
#define COMMENT_MAX 512

/* The secret key's file in binary: 2 bytes each of the algorithm ("Ed"), of how the key is encrypted (zeros: it is not)
 * and of the checksum ("B2"), 48 bytes of the encryption, then number, seed and public key, and a checksum. */
#define NUMBER_AT 54
#define SEED_AT (NUMBER_AT + NUMBER_SIZE)
#define PUBLIC_AT (SEED_AT + SEED_SIZE)
#define BINARY_SIZE (PUBLIC_AT + PUBLIC_SIZE + 32)

struct minisign_key {
    EVP_PKEY *pair;
    uint8_t number[NUMBER_SIZE];
};

static int sign(EVP_PKEY *pair, const void *data, size_t size, uint8_t signature[SIGNATURE_SIZE])
{
    size_t length = SIGNATURE_SIZE;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, pair) == 1 &&
                EVP_DigestSign(context, signature, &length, data, size) == 1 && length == SIGNATURE_SIZE;
    EVP_MD_CTX_free(context);
    return done ? 0 : -1;
}

/* The second line of the file, decoded: its size, or -1. */
static int decode_key(char *text, uint8_t binary[KEY_FILE_MAX])
{
    char *line = strchr(text, '\n');
    if (strncmp(text, "untrusted comment:", 18) != 0 || line == NULL) {
        return -1;
    }
    line++;
    line[strcspn(line, "\r\n")] = '\0';
    size_t size = strlen(line);
    int decoded = size == 0 || size % 4 != 0 ? -1 : EVP_DecodeBlock(binary, (const unsigned char *)line, (int)size);
    if (decoded < 0) {
        return -1;
    }
    return decoded - (line[size - 1] == '=' ? 1 : 0) - (size > 1 && line[size - 2] == '=' ? 1 : 0);
}

/* The file's own checksum is a BLAKE2b-256, which libcrypto lacks; that seed and public key belong together says more.
 */
static const char *take_key(const uint8_t *binary, struct minisign_key *key)
{
    static const uint8_t unencrypted[2] = {0, 0};
    uint8_t public_key[PUBLIC_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    size_t size = sizeof public_key;
    if (memcmp(binary, "Ed", 2) != 0) {
        return "is of another algorithm than Ed25519";
    }
    if (memcmp(binary + 2, unencrypted, 2) != 0) {
        return "is encrypted by a password: make one without (minisign -G -W)";
    }
    memcpy(key->number, binary + NUMBER_AT, sizeof key->number);
    key->pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, binary + SEED_AT, SEED_SIZE);
    if (key->pair == NULL || EVP_PKEY_get_raw_public_key(key->pair, public_key, &size) != 1 ||
        CRYPTO_memcmp(public_key, binary + PUBLIC_AT, PUBLIC_SIZE) != 0) {
        return "is damaged: its halves do not belong together";
    }
    /* once now: what libcrypto loads late is loaded before the lock-down */
    return sign(key->pair, "", 0, signature) == 0 && EVP_blake2b512() != NULL ? NULL : "cannot be used by libcrypto";
}

struct minisign_key *minisign_load(const char *path, char *error, size_t error_size)
{
    char text[KEY_FILE_MAX + 1];
    uint8_t binary[KEY_FILE_MAX];
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t size = fd < 0 ? -1 : read_full(fd, text, KEY_FILE_MAX);
    if (size < 0) {
        snprintf(error, error_size, "'%s' cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    text[size] = '\0';
    struct minisign_key *key = calloc(1, sizeof *key);
    const char *reason = key == NULL                               ? "does not fit into memory"
                         : decode_key(text, binary) != BINARY_SIZE ? "is no secret key of minisign"
                                                                   : take_key(binary, key);
    secret_wipe(text, sizeof text);
    secret_wipe(binary, sizeof binary);
    if (reason != NULL) {
        snprintf(error, error_size, "'%s' %s", path, reason);
        minisign_free(key);
        return NULL;
    }
    return key;
}

void minisign_free(struct minisign_key *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pair); /* wipes it */
        free(key);
    }
}

static void encode(const uint8_t *data, size_t size, char *out)
{
    EVP_EncodeBlock((unsigned char *)out, data, (int)size);
}

char *minisign_sign(const struct minisign_key *key, const char *text, const char *trusted_comment)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    uint8_t head[2 + NUMBER_SIZE + SIGNATURE_SIZE] = {'E', 'D'}; /* prehashed */
    uint8_t covered[SIGNATURE_SIZE + COMMENT_MAX];
    uint8_t over_comment[SIGNATURE_SIZE];
    char head_text[128];
    char comment_text[128];
    size_t comment = strlen(trusted_comment);
    memcpy(head + 2, key->number, NUMBER_SIZE);
    if (comment > COMMENT_MAX || EVP_Digest(text, strlen(text), digest, &digest_size, EVP_blake2b512(), NULL) != 1 ||
        sign(key->pair, digest, digest_size, head + 2 + NUMBER_SIZE) != 0) {
        return NULL;
    }
    memcpy(covered, head + 2 + NUMBER_SIZE, SIGNATURE_SIZE);
    memcpy(covered + SIGNATURE_SIZE, trusted_comment, comment);
    if (sign(key->pair, covered, SIGNATURE_SIZE + comment, over_comment) != 0) {
        return NULL;
    }
    encode(head, sizeof head, head_text);
    encode(over_comment, sizeof over_comment, comment_text);
    char *out = NULL;
    int size = asprintf(&out, "untrusted comment: signature of restore\n%s\ntrusted comment: %s\n%s\n", head_text,
                        trusted_comment, comment_text);
    return size < 0 ? NULL : out;
}
