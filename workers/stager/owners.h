/*
 * Owners of what is restored (design, 'Owners'): archives of the sidecar say root:root for everything.
 *
 * auto      an entry of 0:0 takes the owner of the live entry of the same path, else of its nearest existing parent.
 *           The first entry with another owner shows that the archive knows owners: from there on, and for all before,
 *           the archive's stand.
 * existing  the live owners, whatever the archive says.
 * archive   the archive's.
 *
 * Where the nearest existing parent is the root itself and belongs to root: if the root is empty, the container's
 * configured user is taken; else the owner of most live entries (a volume whose root is root's, with an application's
 * files in it).
 */
#ifndef OWNERS_H
#define OWNERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "messages.h"

struct owner {
    uid_t uid;
    gid_t gid;
};

struct owners {
    enum ownership ownership;
    struct owner fallback; /* the container's configured user */
    bool archive_knows;    /* an entry that is not 0:0 was seen */
};

/* The live tree that owners are taken from, and what was found out about it. */
struct live_tree {
    int fd; /* not owned; -1: there is none */
    bool surveyed;
    struct owner top; /* for new entries directly below the root */
};

/* Where an entry's owner is looked up: the live directory that would hold it. */
struct live_parent {
    int fd;               /* -1: it does not exist; owned */
    struct owner nearest; /* of it, or of the nearest parent that exists */
};

/* Whether live owners apply now, or the archive's. */
bool owners_are_mapped(const struct owners *owners);

/* Take notice of an entry's owner. Returns true where this entry shows that what was mapped so far was not right. */
bool owners_learn(struct owners *owners, struct owner archived);

/* Find the directory `path` of the live tree. Returns 0, or -1 with errno where it cannot be looked at. */
int owners_open_parent(const struct owners *owners, struct live_tree *tree, const char *path,
                       struct live_parent *parent);

/* The owner that the entry `name` below `parent` gets, into `owner`. Returns 0, or -1 with errno as above. */
int owners_choose(const struct owners *owners, const struct live_parent *parent, const char *name,
                  struct owner archived, struct owner *owner);

/*
 * Whether setuid and setgid may stay: not where the restore itself would make the file root's. `live`: the owner that
 * the live entry of the same path has, or NULL.
 */
bool owners_keep_special(const struct owners *owners, mode_t mode, struct owner given, const struct owner *live);

#endif
