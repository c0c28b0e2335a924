/* The sections of an archive: what the supervisor wants of it, and what was found with its totals. */
#ifndef SECTIONS_H
#define SECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The old interface of SHA-256: its state is a struct, so that thousands of sections need no heap after the lock-down.
 */
#define OPENSSL_API_COMPAT 0x10101000L
#include <openssl/sha.h>

#include "messages.h"

#define MAX_WANTS (MAX_STREAMS + 1)
#define MAX_SECTIONS 4096

struct want {
    uint64_t stream;
    enum section_kind kind;
    char service[256];
    char name[256]; /* of a volume; "" for a dump */
    char login[129];
};

struct section {
    const struct want *want; /* NULL: verified and dropped */
    enum section_kind kind;
    char service[256];
    char name[256];
    uint64_t entries; /* all but the volume's root */
    uint64_t bytes;   /* of regular files' contents, or of SQL as it will be loaded */
    SHA256_CTX hash;  /* of what was put out, where the supervisor asked for it */
    bool warned;      /* that attributes were left out */
};

struct sections {
    size_t want_count;
    size_t count;
    size_t last; /* found last: entries of a section follow each other */
    struct want wants[MAX_WANTS];
    struct section found[MAX_SECTIONS];
};

/* 0, or -1 where there are too many. The texts are within the bounds that messages.def gives them. */
int sections_want(struct sections *sections, const struct msg_want *want);

/* Forget all, at the end of a pass. */
void sections_clear(struct sections *sections);

/* The section, new (*is_new) where it was not seen before; NULL where there are too many. */
struct section *sections_find(struct sections *sections, enum section_kind kind, const char *service, const char *name,
                              bool *is_new);

#endif
