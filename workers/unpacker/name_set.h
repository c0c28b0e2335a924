/*
 * Which names an archive has brought so far, as a set of keyed 62-bit hashes: 8 bytes a name in a table that grows in
 * place, in address space reserved before the lock-down, so that it never asks for memory afterwards and only what
 * is used becomes resident. The key is random, so no archive can be made to collide.
 */
#ifndef NAME_SET_H
#define NAME_SET_H

#include <stddef.h>
#include <stdint.h>

enum name_kind {
    NAME_SKIPPED, /* an entry that was left out by rule */
    NAME_DIRECTORY,
    NAME_LEAF, /* anything else */
    NAME_ABSENT,
};

struct name_set;

/* Room for up to `most` names, less where the address space is not to be had. NULL on failure. Before the lock-down. */
struct name_set *name_set_new(uint64_t most);
void name_set_free(struct name_set *set);

/* Forget all names; the key stays. */
void name_set_clear(struct name_set *set);

enum name_kind name_set_get(struct name_set *set, const char *name, size_t size);

/* Adds a name that is absent. Returns 0, or -1 where the set is full. */
int name_set_put(struct name_set *set, const char *name, size_t size, enum name_kind kind);

#endif
