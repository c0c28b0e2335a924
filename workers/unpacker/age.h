/*
 * Decrypts an age file as it streams by: the header is opened with one of the identities or with the stretched
 * passphrase, then chunk after chunk. A byte is passed on only after the tag of its chunk was found right; the end is
 * told only where the last chunk says that it is the last and nothing follows it.
 */
#ifndef AGE_H
#define AGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "age_header.h"
#include "failure.h"
#include "input.h"

struct age;

/* Where the key of a passphrase comes from: it is stretched with this salt elsewhere. 0, or -1 with the failure. */
struct age_stretcher {
    int (*stretch)(void *context, const uint8_t salt[AGE_SALT_SIZE], unsigned work_factor, uint8_t key[AGE_KEY_SIZE],
                   struct failure *failure);
    void *context;
};

/* All memory, and libcrypto warmed up. NULL on failure. */
struct age *age_new(void);
void age_free(struct age *age);

/* The identities in the text of a file; the text is wiped. Returns NULL, or the reason for refusal and its line. */
const char *age_take_identities(struct age *age, char *text, size_t size, unsigned *line);

/* Begin with a file that `supply` gives. stretcher: NULL where there is no passphrase. */
void age_start(struct age *age, input_supply supply, void *context, const struct age_stretcher *stretcher);

/* An input_supply: the decrypted bytes. */
ssize_t age_read(void *age, void *bytes, size_t room, struct failure *failure);

#endif
