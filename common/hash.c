/* SHA-256 by libcrypto. */
#include "hash.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "cleanup.h"
#include "io.h"

#define SHA256_SIZE 32
#define FILE_BLOCK 65536

static void print_hex(const unsigned char digest[SHA256_SIZE], char hex[SHA256_HEX_SIZE])
{
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
}

int sha256_hex(const void *data, size_t size, char hex[SHA256_HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(data, size, digest, &length, EVP_sha256(), NULL) != 1 || length != SHA256_SIZE) {
        return -1;
    }
    print_hex(digest, hex);
    return 0;
}

static int hash_descriptor(int fd, EVP_MD_CTX *context, unsigned char digest[EVP_MAX_MD_SIZE])
{
    static unsigned char block[FILE_BLOCK];
    ssize_t got;
    if (EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        return -1;
    }
    while ((got = read_full(fd, block, sizeof block)) > 0) {
        if (EVP_DigestUpdate(context, block, (size_t)got) != 1) {
            return -1;
        }
    }
    return got == 0 && EVP_DigestFinal_ex(context, digest, NULL) == 1 ? 0 : -1;
}

int sha256_file(const char *path, char hex[SHA256_HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    EVP_MD_CTX *context = fd < 0 ? NULL : EVP_MD_CTX_new();
    int result = context == NULL ? -1 : hash_descriptor(fd, context, digest);
    EVP_MD_CTX_free(context);
    if (result == 0) {
        print_hex(digest, hex);
    }
    return result;
}
