/*
 * A minisign signature of the archive: over the archive itself, as `minisign -Sm ARCHIVE` makes it, or over a file that
 * holds nothing but the archive's SHA-256 in hex. The key's owner has to have signed the trusted comment as well.
 */
#ifndef SIGNATURE_H
#define SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_BLAKE2B_SIZE 64
#define SIGNATURE_COMMENT_MAX 1024
#define SIGNATURE_KEY_ID_SIZE 17 /* in hex, as minisign shows it */

struct signature {
    uint8_t public_key[32];
    bool hashed; /* made over the BLAKE2b-512 of what is signed, not over it itself */
    uint8_t signed_with[64];
    uint8_t global[64];
    char comment[SIGNATURE_COMMENT_MAX + 1];
    char key_id[SIGNATURE_KEY_ID_SIZE];
};

/* Uses libcrypto's Ed25519 and BLAKE2b once, before the lock-down. 0, or -1 where it lacks them. */
int signature_warm_up(void);

/*
 * The key as minisign prints it, and a .minisig file. Return NULL, or the reason for refusal. The key of a signature
 * has to be the one that was read before.
 */
const char *signature_take_key(struct signature *signature, const char *text);
const char *signature_take_file(struct signature *signature, const char *text, size_t size);

/* NULL where the signature is right for an archive with these digests, or the reason for refusal. */
const char *signature_check(const struct signature *signature, const char *sha256_hex,
                            const uint8_t blake2b[SIGNATURE_BLAKE2B_SIZE]);

#endif
