/*
 * What an archive may hold: the one place that decides on each entry, from its name, type, link and sizes. It touches
 * neither libarchive nor a descriptor. Source of the rules: the design, 'Untrusted archives'.
 *
 *   SERVICE/volumes/NAME/...                                    a volume
 *   SERVICE/database/pg_dumpall.sql, pg_dumpall.errors          PostgreSQL's dump, and what pg_dumpall complained of
 *   SERVICE/mariadb_dump/all_databases.sql, mariadb_dump.errors MariaDB's
 *   the directories above these, with or without a leading `./`
 *
 * Names are relative, without `..`, `.` or empty components (a slash at the end aside), at most 4095 bytes in
 * components of at most 255, at most 512 deep. A name comes once (directories may repeat) and nothing comes below what
 * is no directory. Hard links lead to an earlier entry of the same volume. What a volume's root holds may not be called
 * .restore-*, as our own staging is.
 */
#ifndef ENTRY_POLICY_H
#define ENTRY_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"
#include "messages.h"
#include "name_set.h"

#define ENTRY_PATH_SIZE 4096
#define ENTRY_COMPONENT_MAX 255
#define ENTRY_DEPTH_MAX 512

enum entry_place {
    PLACE_ABOVE, /* a directory above volumes and dumps: nothing to restore */
    PLACE_VOLUME,
    PLACE_DUMP,
    PLACE_DUMP_ERRORS,
};

struct entry_facts {
    const char *path;
    const char *hardlink; /* target as the archive names it, or NULL */
    const char *symlink;  /* of S_IFLNK */
    mode_t type;          /* S_IFMT bits; of no meaning with a hard link */
    uint64_t size;        /* of a regular file's contents */
    int64_t uid;
    int64_t gid;
};

struct entry_ruling {
    enum entry_place place;
    bool skip;               /* leave it out, for the reason given */
    const char *reason;      /* static text */
    enum section_kind kind;  /* of a volume or dump */
    char service[256];       /* "" for the archive's own root */
    char name[256];          /* of a volume */
    const char *inside;      /* path relative to the volume's root, "" for the root; lives in the policy */
    const char *link_inside; /* the hard link's target in the same way, or NULL */
};

struct entry_policy {
    struct name_set *names; /* not owned */
    uint64_t max_entries;
    uint64_t max_bytes;
    bool restore_devices;
    uint64_t entries; /* seen so far, of every place */
    uint64_t bytes;   /* of regular files, holes of sparse ones included */
    size_t path_size;
    char path[ENTRY_PATH_SIZE]; /* of the entry in hand, as it is remembered: no `./`, no slash at its end */
    char link[ENTRY_PATH_SIZE];
    char parent[ENTRY_PATH_SIZE]; /* found to be a directory last */
    size_t parent_size;
};

/* Ready for a new archive. */
void entry_policy_start(struct entry_policy *policy);

/* Decide on one entry. Returns 0 with *ruling, or -1 with the failure that refuses the archive. */
int entry_policy_judge(struct entry_policy *policy, const struct entry_facts *facts, struct entry_ruling *ruling,
                       struct failure *failure);

/* Of extended attributes, user.* and POSIX ACLs are restored; capabilities, trusted.* and labels of a security module
 * are not: they are privileges or belong to the host that was backed up. */
bool entry_policy_keeps_xattr(const char *name);

#endif
