/*
 * The header of an age file (version 1): stanzas, one a recipient, and a MAC over them. Taken by the letter of the
 * specification: what has another form is refused, since two readers could take it for two things. Pure.
 */
#ifndef AGE_HEADER_H
#define AGE_HEADER_H

#include <stddef.h>
#include <stdint.h>

#define AGE_RECIPIENTS_MAX 256
#define AGE_HEADER_MAX 65536
#define AGE_KEY_SIZE 32
#define AGE_SALT_SIZE 16
#define AGE_WRAPPED_SIZE 32 /* a file key of 16 bytes, and its tag */
#define AGE_MAC_SIZE 32
#define AGE_WORK_FACTOR_MAX 22 /* 4 GiB of memory */

/* The file key as it is wrapped for one X25519 recipient. */
struct age_recipient {
    uint8_t share[AGE_KEY_SIZE];
    uint8_t body[AGE_WRAPPED_SIZE];
};

struct age_header {
    struct age_recipient recipients[AGE_RECIPIENTS_MAX];
    size_t recipient_count;
    unsigned others;      /* stanzas of kinds that are not known here */
    unsigned work_factor; /* of the passphrase: log2 of scrypt's N; 0: there is no passphrase */
    uint8_t salt[AGE_SALT_SIZE];
    uint8_t passphrase_body[AGE_WRAPPED_SIZE];
    size_t mac_covers; /* bytes from the start */
    uint8_t mac[AGE_MAC_SIZE];
    size_t size; /* of the header; the payload follows */
};

/* NULL, or the reason for refusal. `bytes` may go on behind the header. */
const char *age_header_parse(const uint8_t *bytes, size_t size, struct age_header *header);

/* Unpadded, canonical base64: the bytes written to `out` (at most `room`), or -1. */
long age_base64(const uint8_t *text, size_t length, uint8_t *out, size_t room);

#endif
