/* Input and its digests. */
#include "source.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exit_codes.h"

struct source {
    EVP_MD *digest;
    EVP_MD_CTX *hash;
    EVP_MD *blake2b;
    EVP_MD_CTX *second;
    bool two;
    int fd;
    uint64_t size;
    uint64_t bytes;
};

struct source *source_new(void)
{
    struct source *source = calloc(1, sizeof *source);
    if (source == NULL) {
        return NULL;
    }
    source->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    source->hash = EVP_MD_CTX_new();
    source->blake2b = EVP_MD_fetch(NULL, "BLAKE2B-512", NULL);
    source->second = EVP_MD_CTX_new();
    if (source->digest == NULL || source->hash == NULL || source->blake2b == NULL || source->second == NULL) {
        source_free(source);
        return NULL;
    }
    source_start(source, -1, 0, true);
    return source;
}

void source_free(struct source *source)
{
    if (source == NULL) {
        return;
    }
    EVP_MD_CTX_free(source->second);
    EVP_MD_free(source->blake2b);
    EVP_MD_CTX_free(source->hash);
    EVP_MD_free(source->digest);
    free(source);
}

void source_start(struct source *source, int fd, uint64_t size, bool blake2b)
{
    source->fd = fd;
    source->size = size;
    source->bytes = 0;
    EVP_DigestInit_ex2(source->hash, source->digest, NULL); /* a failure shows at the digest's end */
    source->two = blake2b;
    if (blake2b) {
        EVP_DigestInit_ex2(source->second, source->blake2b, NULL);
    }
}

ssize_t source_read(struct source *source, void *bytes, size_t room, struct failure *failure)
{
    uint64_t left = source->size - source->bytes;
    size_t wanted = left < room ? (size_t)left : room;
    ssize_t got = 0;
    if (wanted == 0) {
        return 0;
    }
    do {
        got = read(source->fd, bytes, wanted);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return fail_with(failure, EXIT_INTERNAL, "reading the archive from its pipe: %s", strerror(errno));
    }
    if (got == 0) {
        return fail_integrity(failure, "the archive ended after %llu of %llu bytes; download it again",
                              (unsigned long long)source->bytes, (unsigned long long)source->size);
    }
    EVP_DigestUpdate(source->hash, bytes, (size_t)got);
    if (source->two) {
        EVP_DigestUpdate(source->second, bytes, (size_t)got);
    }
    source->bytes += (uint64_t)got;
    return got;
}

uint64_t source_bytes(const struct source *source)
{
    return source->bytes;
}

int source_digest(struct source *source, char hex[SHA256_HEX_SIZE])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_DigestFinal_ex(source->hash, digest, &size) != 1 || 2 * size + 1 != SHA256_HEX_SIZE) {
        return -1;
    }
    for (unsigned i = 0; i < size; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[2 * size] = '\0';
    return 0;
}

int source_blake2b(struct source *source, uint8_t digest[BLAKE2B_SIZE])
{
    unsigned size = 0;
    return source->two && EVP_DigestFinal_ex(source->second, digest, &size) == 1 && size == BLAKE2B_SIZE ? 0 : -1;
}
