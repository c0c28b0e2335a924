/* The header's key, then the chunks. */
#include "age.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "age_crypto.h"
#include "age_identity.h"
#include "exit_codes.h"
#include "looks_like.h"
#include "secret.h"

#define CHUNK_SIZE 65536
#define SEALED_SIZE (CHUNK_SIZE + AGE_TAG_SIZE)
#define FILE_KEY_SIZE 16
#define PAYLOAD_NONCE_SIZE 16
#define ARMOR "-----BEGIN AGE ENCRYPTED FILE"

struct age {
    struct age_crypto *crypto;
    struct age_identities identities;
    struct age_header header;
    input_supply supply;
    void *context;
    struct age_stretcher stretcher;
    bool begun;
    bool last;  /* the chunk in `plain` is the last */
    bool ended; /* the supply told its end */
    uint8_t key[AGE_KEY_SIZE];
    uint64_t chunk; /* number of the next */
    size_t have;
    size_t plain_at;
    size_t plain_size;
    uint8_t sealed[SEALED_SIZE + 1]; /* one byte more, to see whether a chunk is the last */
    uint8_t plain[CHUNK_SIZE];
};

struct age *age_new(void)
{
    struct age *age = calloc(1, sizeof *age);
    if (age != NULL) {
        age->crypto = age_crypto_new();
    }
    if (age == NULL || age->crypto == NULL) {
        free(age);
        return NULL;
    }
    return age;
}

void age_free(struct age *age)
{
    if (age == NULL) {
        return;
    }
    age_crypto_free(age->crypto);
    secret_wipe(age, sizeof *age);
    free(age);
}

const char *age_take_identities(struct age *age, char *text, size_t size, unsigned *line)
{
    const char *refusal = age_identities_parse(text, size, &age->identities, line);
    secret_wipe(text, size);
    return refusal;
}

void age_start(struct age *age, input_supply supply, void *context, const struct age_stretcher *stretcher)
{
    age->supply = supply;
    age->context = context;
    age->stretcher = stretcher == NULL ? (struct age_stretcher){NULL, NULL} : *stretcher;
    age->begun = false;
    age->last = false;
    age->ended = false;
    age->chunk = 0;
    age->have = 0;
    age->plain_at = 0;
    age->plain_size = 0;
}

/* Read until `sealed` is full or all was read. 0 or -1. */
static int fill(struct age *age, struct failure *failure)
{
    while (!age->ended && age->have < sizeof age->sealed) {
        ssize_t got = age->supply(age->context, age->sealed + age->have, sizeof age->sealed - age->have, failure);
        if (got < 0) {
            return -1;
        }
        age->ended = got == 0;
        age->have += (size_t)got;
    }
    return 0;
}

static void drop(struct age *age, size_t size)
{
    memmove(age->sealed, age->sealed + size, age->have - size);
    age->have -= size;
}

static int unwrap(struct age *age, const uint8_t key[AGE_KEY_SIZE], const uint8_t body[AGE_WRAPPED_SIZE],
                  uint8_t file_key[FILE_KEY_SIZE])
{
    static const uint8_t nonce[AGE_NONCE_SIZE];
    return age_open(age->crypto, key, nonce, body, AGE_WRAPPED_SIZE, file_key);
}

/* 1: the identity opens it; 0: it is another's; -1: what the recipient's key holds is none. */
static int try_identity(struct age *age, const struct age_identity *identity, const struct age_recipient *recipient,
                        uint8_t file_key[FILE_KEY_SIZE])
{
    uint8_t shared[AGE_KEY_SIZE];
    uint8_t salt[2 * AGE_KEY_SIZE];
    uint8_t key[AGE_KEY_SIZE];
    if (age_x25519(identity->scalar, recipient->share, shared) != 0) {
        return -1;
    }
    memcpy(salt, recipient->share, AGE_KEY_SIZE);
    memcpy(salt + AGE_KEY_SIZE, identity->point, AGE_KEY_SIZE);
    int result = age_hkdf(shared, sizeof shared, salt, sizeof salt, "age-encryption.org/v1/X25519", key);
    result = result == 0 && unwrap(age, key, recipient->body, file_key) == 0 ? 1 : 0;
    secret_wipe(shared, sizeof shared);
    secret_wipe(key, sizeof key);
    return result;
}

static int find_identity(struct age *age, uint8_t file_key[FILE_KEY_SIZE], struct failure *failure)
{
    const struct age_header *header = &age->header;
    for (size_t i = 0; i < header->recipient_count; i++) {
        for (size_t j = 0; j < age->identities.count; j++) {
            int result = try_identity(age, &age->identities.items[j], &header->recipients[i], file_key);
            if (result < 0) {
                return fail_integrity(failure, "the archive's age header: the key of an X25519 recipient is no key");
            }
            if (result > 0) {
                return 0;
            }
        }
    }
    if (age->identities.count == 0) {
        return fail_with(failure, EXIT_USAGE,
                         "The backup is encrypted to %zu age recipients, and there is no identity to decrypt it: set "
                         "AGE_IDENTITY_FILE",
                         header->recipient_count + header->others);
    }
    return fail_with(failure, EXIT_USAGE,
                     "The backup is encrypted to %zu age recipients; none of the %zu identities in AGE_IDENTITY_FILE "
                     "is one of them",
                     header->recipient_count + header->others, age->identities.count);
}

static int use_passphrase(struct age *age, uint8_t file_key[FILE_KEY_SIZE], struct failure *failure)
{
    const struct age_header *header = &age->header;
    uint8_t key[AGE_KEY_SIZE];
    if (age->stretcher.stretch == NULL) {
        return fail_with(failure, EXIT_USAGE,
                         "The backup is encrypted with a passphrase, and there is none to decrypt it: set "
                         "AGE_PASSPHRASE_FILE");
    }
    if (age->stretcher.stretch(age->stretcher.context, header->salt, header->work_factor, key, failure) != 0) {
        return -1;
    }
    int result = unwrap(age, key, header->passphrase_body, file_key);
    secret_wipe(key, sizeof key);
    return result == 0 ? 0
                       : fail_with(failure, EXIT_USAGE,
                                   "The passphrase in AGE_PASSPHRASE_FILE is not the one that the backup is encrypted "
                                   "with");
}

static int check_mac(const struct age *age, const uint8_t file_key[FILE_KEY_SIZE], struct failure *failure)
{
    uint8_t key[AGE_DIGEST_SIZE];
    uint8_t mac[AGE_DIGEST_SIZE];
    int result = age_hkdf(file_key, FILE_KEY_SIZE, NULL, 0, "header", key);
    result = result != 0 ? result : age_hmac(key, sizeof key, age->sealed, age->header.mac_covers, mac);
    secret_wipe(key, sizeof key);
    return result == 0 && CRYPTO_memcmp(mac, age->header.mac, sizeof mac) == 0
               ? 0
               : fail_integrity(failure, "the archive's age header was changed after it was made: its MAC is wrong");
}

static int refuse_start(const struct age *age, const char *refusal, struct failure *failure)
{
    static const char magic[] = "age-encryption.org/";
    if (age->have >= strlen(ARMOR) && memcmp(age->sealed, ARMOR, strlen(ARMOR)) == 0) {
        return fail_integrity(failure, "it is an age file in armor (age -a), which is text; encrypt it without -a");
    }
    if (age->have >= strlen(magic) && memcmp(age->sealed, magic, strlen(magic)) == 0) {
        return fail_integrity(failure, "the archive's age header: %s", refusal);
    }
    return fail_integrity(failure, "the object is no age file: %s", looks_like(age->sealed, age->have));
}

/* From the header to the key of the payload. */
static int open_header(struct age *age, struct failure *failure)
{
    uint8_t file_key[FILE_KEY_SIZE];
    if (fill(age, failure) != 0) {
        return -1;
    }
    const char *refusal = age_header_parse(age->sealed, age->have, &age->header);
    if (refusal != NULL) {
        return refuse_start(age, refusal, failure);
    }
    int result =
        age->header.work_factor != 0 ? use_passphrase(age, file_key, failure) : find_identity(age, file_key, failure);
    if (result != 0 || check_mac(age, file_key, failure) != 0) {
        secret_wipe(file_key, sizeof file_key);
        return -1;
    }
    drop(age, age->header.size);
    if (fill(age, failure) != 0 || age->have < PAYLOAD_NONCE_SIZE) {
        secret_wipe(file_key, sizeof file_key);
        return fail_integrity(failure, "the archive ends behind its age header; it is truncated");
    }
    result = age_hkdf(file_key, sizeof file_key, age->sealed, PAYLOAD_NONCE_SIZE, "payload", age->key);
    secret_wipe(file_key, sizeof file_key);
    drop(age, PAYLOAD_NONCE_SIZE);
    age->begun = true;
    return result == 0 ? 0 : fail_with(failure, EXIT_INTERNAL, "libcrypto cannot compute HKDF");
}

/* The next `size` bytes of `sealed` as a chunk that says that it is the last, or that it is not. */
static bool opens(struct age *age, size_t size, bool last)
{
    uint8_t nonce[AGE_NONCE_SIZE] = {0};
    for (unsigned i = 0; i < 8; i++) {
        nonce[10 - i] = (uint8_t)(age->chunk >> (8 * i));
    }
    nonce[11] = last ? 1 : 0;
    return age_open(age->crypto, age->key, nonce, age->sealed, size, age->plain) == 0;
}

static int open_chunk(struct age *age, struct failure *failure)
{
    unsigned long long number = age->chunk + 1;
    if (fill(age, failure) != 0) {
        return -1;
    }
    bool at_end = age->have <= SEALED_SIZE;
    size_t size = at_end ? age->have : SEALED_SIZE;
    if (size <= AGE_TAG_SIZE && (size < AGE_TAG_SIZE || age->chunk != 0)) { /* only an empty file has an empty chunk */
        return fail_integrity(failure, "the encrypted archive ends before its last chunk, %llu; it is truncated",
                              number);
    }
    bool middle = size == SEALED_SIZE && !at_end && opens(age, size, false);
    bool last = !middle && opens(age, size, true);
    middle = middle || (!last && at_end && size == SEALED_SIZE && opens(age, size, false));
    if (!middle && !last) {
        return fail_integrity(failure,
                              "chunk %llu of the encrypted archive is not as it was made: it is truncated, damaged or "
                              "has something behind its end",
                              number);
    }
    drop(age, size);
    age->last = last;
    age->chunk++;
    age->plain_at = 0;
    age->plain_size = size - AGE_TAG_SIZE;
    return 0;
}

ssize_t age_read(void *context, void *bytes, size_t room, struct failure *failure)
{
    struct age *age = context;
    if (!age->begun && open_header(age, failure) != 0) {
        return -1;
    }
    if (age->plain_at == age->plain_size) {
        if (age->last) {
            return age->have == 0 ? 0 : fail_integrity(failure, "something follows the encrypted archive's last chunk");
        }
        if (open_chunk(age, failure) != 0) {
            return -1;
        }
    }
    size_t left = age->plain_size - age->plain_at;
    size_t size = left < room ? left : room;
    memcpy(bytes, age->plain + age->plain_at, size);
    age->plain_at += size;
    return (ssize_t)size;
}
