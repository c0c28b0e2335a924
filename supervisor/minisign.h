/*
 * Signatures in the format of minisign (https://jedisct1.github.io/minisign/), which `minisign -V` verifies: Ed25519
 * over the BLAKE2b-512 of the file, and once more over that signature and the trusted comment.
 */
#ifndef MINISIGN_H
#define MINISIGN_H

#include <stddef.h>

struct minisign_key;

/* Reads a secret key that has no password (`minisign -G -W`). NULL: `error` says why. */
struct minisign_key *minisign_load(const char *path, char *error, size_t error_size);
void minisign_free(struct minisign_key *key);

/* The contents of the .minisig of `text`, owned by the caller; NULL where libcrypto or memory fails. */
char *minisign_sign(const struct minisign_key *key, const char *text, const char *trusted_comment);

#endif
