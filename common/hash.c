/* SHA-256 by libcrypto. */
#include "hash.h"

#include <openssl/evp.h>
#include <stdio.h>

int sha256_hex(const void *data, size_t size, char hex[SHA256_HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(data, size, digest, &length, EVP_sha256(), NULL) != 1 || length != 32) {
        return -1;
    }
    for (unsigned i = 0; i < length; i++) {
        snprintf(hex + 2 * (size_t)i, 3, "%02x", digest[i]);
    }
    return 0;
}
