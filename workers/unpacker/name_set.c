/*
 * A hash table whose slots are ordered by hash: a name's place is given by the highest bits of its hash, and names that
 * collide follow each other in order. So the table can double in place: what it holds is moved to the far end of the
 * larger table and laid down again from the start, and what is written never overtakes what is still to be read.
 */
#include "name_set.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define FIRST_BITS 12
#define MOST_BITS 27
#define KIND_MASK 3ULL
#define KEY_SIZE 32

struct name_set {
    uint64_t *slots; /* hash with the kind in its two lowest bits; 0: free */
    unsigned bits;   /* the table has 1 << bits places and some behind them, see slot_count() */
    unsigned most_bits;
    size_t used;
    EVP_MD *digest;
    EVP_MD_CTX *context;
    uint8_t key[KEY_SIZE];
};

/* Names that run over the end find room behind it: a sixteenth, far beyond the longest run that random hashes make. */
static size_t slot_count(unsigned bits)
{
    return ((size_t)1 << bits) + ((size_t)1 << (bits - 4));
}

static size_t place_of(const struct name_set *set, uint64_t hash)
{
    return (size_t)(hash >> (64 - set->bits));
}

static uint64_t hash_of(struct name_set *set, const char *name, size_t size)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (EVP_DigestInit_ex2(set->context, set->digest, NULL) != 1 ||
        EVP_DigestUpdate(set->context, set->key, sizeof set->key) != 1 ||
        EVP_DigestUpdate(set->context, name, size) != 1 || EVP_DigestFinal_ex(set->context, digest, NULL) != 1) {
        abort(); /* no input makes SHA-256 fail; going on without a hash would void every check */
    }
    uint64_t hash;
    memcpy(&hash, digest, sizeof hash);
    return (hash & ~KIND_MASK) == 0 ? KIND_MASK + 1 : hash & ~KIND_MASK;
}

static bool reserve(struct name_set *set, uint64_t most)
{
    unsigned bits = FIRST_BITS;
    while (bits < MOST_BITS && ((uint64_t)1 << bits) / 4 * 3 < most) {
        bits++;
    }
    for (; bits >= FIRST_BITS; bits--) {
        void *memory = mmap(NULL, slot_count(bits) * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory != MAP_FAILED) {
            madvise(memory, slot_count(bits) * sizeof(uint64_t), MADV_NOHUGEPAGE);
            set->slots = memory;
            set->most_bits = bits;
            return true;
        }
    }
    return false;
}

struct name_set *name_set_new(uint64_t most)
{
    struct name_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return NULL;
    }
    set->bits = FIRST_BITS;
    set->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    set->context = EVP_MD_CTX_new();
    if (set->digest == NULL || set->context == NULL || !reserve(set, most) ||
        getrandom(set->key, sizeof set->key, 0) != (ssize_t)sizeof set->key) {
        name_set_free(set);
        return NULL;
    }
    return set;
}

void name_set_free(struct name_set *set)
{
    if (set == NULL) {
        return;
    }
    if (set->slots != NULL) {
        munmap(set->slots, slot_count(set->most_bits) * sizeof(uint64_t));
    }
    EVP_MD_CTX_free(set->context);
    EVP_MD_free(set->digest);
    free(set);
}

void name_set_clear(struct name_set *set)
{
    memset(set->slots, 0, slot_count(set->bits) * sizeof(uint64_t));
    set->bits = FIRST_BITS;
    set->used = 0;
}

/* The slot that holds the hash, or before which it would have to stand. */
static size_t find(const struct name_set *set, uint64_t hash)
{
    size_t end = slot_count(set->bits);
    size_t at = place_of(set, hash);
    while (at < end && set->slots[at] != 0 && (set->slots[at] & ~KIND_MASK) < hash) {
        at++;
    }
    return at;
}

enum name_kind name_set_get(struct name_set *set, const char *name, size_t size)
{
    uint64_t hash = hash_of(set, name, size);
    size_t at = find(set, hash);
    if (at < slot_count(set->bits) && (set->slots[at] & ~KIND_MASK) == hash) {
        return (enum name_kind)(set->slots[at] & KIND_MASK);
    }
    return NAME_ABSENT;
}

static void grow(struct name_set *set)
{
    size_t from = slot_count(set->bits);
    set->bits++;
    size_t end = slot_count(set->bits);
    size_t to = end;
    while (from-- > 0) {
        uint64_t value = set->slots[from];
        set->slots[from] = 0;
        if (value != 0) {
            set->slots[--to] = value;
        }
    }
    for (size_t next = 0; to < end; to++, next++) {
        uint64_t value = set->slots[to];
        set->slots[to] = 0;
        size_t place = place_of(set, value);
        next = next < place ? place : next;
        set->slots[next] = value;
    }
}

/* Shift what follows by one up to the next free slot. Returns -1 where there is none. */
static int insert_at(struct name_set *set, size_t at, uint64_t value)
{
    size_t end = slot_count(set->bits);
    size_t free_slot = at;
    while (free_slot < end && set->slots[free_slot] != 0) {
        free_slot++;
    }
    if (free_slot == end) {
        return -1;
    }
    memmove(set->slots + at + 1, set->slots + at, (free_slot - at) * sizeof(uint64_t));
    set->slots[at] = value;
    set->used++;
    return 0;
}

int name_set_put(struct name_set *set, const char *name, size_t size, enum name_kind kind)
{
    size_t limit = ((size_t)1 << set->bits) / 4 * 3;
    if (set->used >= limit) {
        if (set->bits == set->most_bits) {
            return -1;
        }
        grow(set);
    }
    uint64_t hash = hash_of(set, name, size);
    return insert_at(set, find(set, hash), hash | (uint64_t)kind);
}
