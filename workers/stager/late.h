/*
 * What can only be set when all is written: owner, mode, time and ACLs of directories (making entries changes a
 * directory's time, a default ACL would be inherited), and setuid or setgid of files (whether they may stay depends on
 * owners that later entries decide). One record each in an unnamed-by-others file on the run's volume, so that memory
 * does not grow with the number of directories.
 */
#ifndef LATE_H
#define LATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "attributes.h"
#include "owners.h"
#include "tree.h"

struct late_record {
    uint32_t mapping; /* index of the stream's mapping */
    bool fixed;       /* take `attributes` as they are: they are not from the archive */
    bool directory;
    struct owner mapped; /* used while owners_are_mapped() */
    struct owner live;
    bool has_live;
    struct attributes attributes; /* owner: the archive's */
    char path[TREE_PATH_MAX];     /* within the mapping's area */
};

/* A new, empty list, removed from its directory at once. NULL with errno. */
FILE *late_open(int run_volume);

/* Returns 0, or -1 with errno. */
int late_add(FILE *list, const struct late_record *record);

/* Hands over all records in their order. Returns 0, what `apply` returned, or -1 with errno. */
int late_replay(FILE *list, int (*apply)(void *context, struct late_record *record), void *context);

#endif
