/*
 * Identities: the private keys of an age identity file, as age-keygen writes it. Each line is empty, a comment or one
 * AGE-SECRET-KEY-1...; what belongs to plugins, to SSH or to a passphrase is refused by name.
 */
#ifndef AGE_IDENTITY_H
#define AGE_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#define AGE_IDENTITIES_MAX 64
#define AGE_IDENTITY_FILE_MAX 16384

struct age_identity {
    uint8_t scalar[32];
    uint8_t point[32]; /* the public key */
};

struct age_identities {
    struct age_identity items[AGE_IDENTITIES_MAX];
    size_t count;
};

/* NULL, or the reason for refusal; *line: where. The text is the caller's to wipe. */
const char *age_identities_parse(const char *text, size_t size, struct age_identities *identities, unsigned *line);

#endif
