/* Bech32 (BIP 173) in its capitals. */
#include "age_identity.h"

#include <stdbool.h>
#include <string.h>

#include "age_crypto.h"
#include "secret.h"

#define PREFIX "AGE-SECRET-KEY-"
#define CHECKSUM 6
#define KEY_DIGITS 52 /* 32 bytes in fives, four bits of padding */
#define LENGTH (sizeof PREFIX - 1 + 1 + KEY_DIGITS + CHECKSUM)

static uint32_t polymod_step(uint32_t check, unsigned value)
{
    static const uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    uint32_t top = check >> 25;
    check = (check & 0x1ffffff) << 5 ^ value;
    for (unsigned i = 0; i < 5; i++) {
        check ^= (top >> i & 1) != 0 ? generator[i] : 0;
    }
    return check;
}

static int digit_of(char character)
{
    static const char digits[] = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
    const char *found = character == '\0' ? NULL : strchr(digits, character);
    return found == NULL ? -1 : (int)(found - digits);
}

static bool decode(const char *text, size_t length, uint8_t scalar[32])
{
    size_t prefix = strlen(PREFIX);
    uint32_t check = 1;
    if (length != LENGTH || memcmp(text, PREFIX "1", prefix + 1) != 0) {
        return false;
    }
    for (size_t i = 0; i < 2 * prefix + 1; i++) { /* the prefix in small letters: high bits, a zero, low bits */
        unsigned character = (unsigned char)(i == prefix ? 0 : text[i < prefix ? i : i - prefix - 1]);
        character |= character >= 'A' && character <= 'Z' ? 0x20U : 0;
        check = polymod_step(check, i < prefix ? character >> 5 : character & 31);
    }
    unsigned held = 0;
    unsigned bits = 0;
    size_t size = 0;
    for (size_t i = prefix + 1; i < length; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0) {
            return false;
        }
        check = polymod_step(check, (unsigned)digit);
        if (i >= length - CHECKSUM) {
            continue;
        }
        held = (held << 5 | (unsigned)digit) & 0xfff;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            scalar[size++] = (uint8_t)(held >> bits);
        }
    }
    return check == 1 && (held & ((1U << bits) - 1)) == 0;
}

static const char *parse_line(const char *text, size_t length, struct age_identities *identities)
{
    if (length == 0 || text[0] == '#') {
        return NULL;
    }
    if (length > 11 && memcmp(text, "AGE-PLUGIN-", 11) == 0) {
        return "it is the identity of a plugin; only X25519 identities (age-keygen) are used here";
    }
    if (length > 10 && memcmp(text, "-----BEGIN", 10) == 0) {
        return "it is an SSH key or an encrypted file; only X25519 identities (age-keygen) are used here";
    }
    if (length > 19 && memcmp(text, "age-encryption.org/", 19) == 0) {
        return "the file is itself encrypted; decrypt it first (age -d)";
    }
    if (identities->count == AGE_IDENTITIES_MAX) {
        return "there are more identities than are read here";
    }
    struct age_identity *identity = &identities->items[identities->count];
    if (!decode(text, length, identity->scalar)) {
        return "it is no identity (AGE-SECRET-KEY-1...)";
    }
    identities->count++;
    return age_x25519_public(identity->scalar, identity->point) == 0 ? NULL : "libcrypto cannot use it";
}

const char *age_identities_parse(const char *text, size_t size, struct age_identities *identities, unsigned *line)
{
    identities->count = 0;
    *line = 0;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t whole = (end == NULL ? size : (size_t)(end - text)) - at;
        size_t length = whole > 0 && text[at + whole - 1] == '\r' ? whole - 1 : whole;
        ++*line;
        const char *refusal = parse_line(text + at, length, identities);
        if (refusal != NULL) {
            return refusal;
        }
        at += whole + 1;
    }
    return NULL;
}
