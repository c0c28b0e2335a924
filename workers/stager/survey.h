/*
 * What a directory held before the restore, as one number: SHA-256 over names and attributes, not over contents.
 * Entries come in the order of their names' bytes, each as
 *
 *   name NUL type-and-mode " " uid " " gid " " size " " mtime "." nanoseconds NUL [link target NUL]
 *
 * with type and mode in octal, the size of regular files (0 for others), the target of symbolic links alone; those of a
 * directory follow it and end in one more NUL. Mount points and what vanishes meanwhile are passed over.
 */
#ifndef SURVEY_H
#define SURVEY_H

#include <stdint.h>

struct survey {
    uint64_t entries;
    uint64_t bytes; /* of regular files */
    char sha256[65];
};

/* Returns 0, or -1 with errno. */
int survey_tree(int dir, struct survey *survey);

#endif
