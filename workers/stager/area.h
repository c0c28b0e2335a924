/*
 * Areas: the directories that a run may change, as the journal knows them. A root of the plan (mount and subpath)
 * becomes an area; where its subpath does not exist yet, the deepest directory that does becomes one, to which the
 * missing name is added (`only`). Mount points below an area are kept: never renamed, and the directories on the way
 * to them are swapped inside, entry by entry. Each area has one folder `.restore-RUN` of ours with `new` and `old`.
 */
#ifndef AREA_H
#define AREA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "attributes.h"
#include "journal.h"
#include "problem.h"
#include "tree.h"

#define AREAS_MAX 2048
#define WORK_PREFIX ".restore-"
#define WORK_NAME_MAX 80 /* the prefix and a run's name */

/* Paths that belong to an area: kept mount points, or names to be added. */
struct path_list {
    char **paths;
    size_t count;
};

/* A directory's attributes before the change. */
struct former {
    char *path;
    struct attributes attributes;
    struct former *next;
};

struct area {
    unsigned number;
    unsigned mount;
    char *path; /* within the mount; empty for the mount itself */
    uint64_t device;
    uint64_t inode;
    uint64_t work_inode; /* of .restore-RUN; 0: not made, or intended alone */
    bool work;           /* .restore-RUN is ours */
    bool staged;
    bool copying;
    bool copy_unsettled; /* copied by this process, neither synced nor in the journal yet */
    bool copied;
    struct path_list keeps;
    struct path_list onlys;
    struct former *formers;
    struct former *comings; /* what a commit will set; not journalled: a commit is never resumed, only undone */
};

/* A mount below /mounts, from /proc/self/mountinfo. */
struct mount_point {
    char *path;   /* relative to /mounts */
    char *source; /* device and path within its file system: what it shows, whatever it is mounted as */
};

struct areas {
    int mounts;     /* /mounts; -1 where only the run's volume is mounted */
    int run_volume; /* /run-volume */
    char work_name[WORK_NAME_MAX];
    struct journal journal;
    struct area *list[AREAS_MAX];
    size_t count;
    struct mount_point *points;
    size_t point_count;
};

enum keep { KEEP_NOT, KEEP_WAY, KEEP_POINT };

/* Read /proc/self/mountinfo; before the lock-down. Returns 0, or -1 with errno. */
int areas_read_mounts(struct areas *areas);

/* The area of that number from the journal, made where it is new. NULL: no memory, or too many. */
struct area *areas_add(struct areas *areas, unsigned number);

/*
 * Find the area of a root, and in `base` where the root lies in it (empty: the root is the area). A new one is added
 * to the journal's batch; the caller commits. -1: problem.
 */
int areas_resolve(struct areas *areas, unsigned mount, const char *subpath, struct area **area,
                  char base[TREE_PATH_MAX], struct problem *problem);

/* Open the deepest directory of a root that exists; `existing` is its path, `rest` what is missing. -1: problem. */
int areas_open_root(const struct areas *areas, unsigned mount, const char *subpath, char existing[TREE_PATH_MAX],
                    char rest[TREE_PATH_MAX], struct problem *problem);

/* Open an area's directory and check that it is the one that the journal means. -1: problem. */
int area_open(const struct areas *areas, const struct area *area, struct problem *problem);

/* Open .restore-RUN in the open area, checked likewise. -1: problem; -2: it is not there. */
int area_open_work(const struct areas *areas, const struct area *area, int live, struct problem *problem);

/* Make .restore-RUN in the open area, journalled. Returns a descriptor, or -1: problem. */
int area_make_work(struct areas *areas, struct area *area, int live, struct problem *problem);

/* Mount points below the area become keeps, in the journal's batch. Returns 0, or -1: problem. */
int area_keep_inner_mounts(struct areas *areas, struct area *area, struct problem *problem);
/* Add one kept path, or one name to be added. Known ones are no error. Returns 0, or -1: problem. */
int area_add_keep(struct areas *areas, struct area *area, const char *path, struct problem *problem);
int area_add_only(struct areas *areas, struct area *area, const char *name, struct problem *problem);

/* Remember the attributes of an open directory in one of the area's lists. Returns 0, or -1 with errno. */
int former_remember(struct former **list, const char *path, int fd);

/* Whether a path within the area is a kept mount point, a directory on the way to one, or neither. */
enum keep area_keeps(const struct area *area, const char *path);

/* Whether a top-level name of the area is never touched: .restore-*, lost+found, or not among `onlys`. */
bool area_passes_over(const struct area *area, const char *name);

/* Remember a directory's attributes, and add them to the journal's batch. Returns 0, or -1: problem. */
int area_add_former(struct areas *areas, struct area *area, const char *path, int fd, struct problem *problem);

/* `mount 3, "a/b"`: how messages name an area. The text lives in `out`. */
const char *area_name(const struct area *area, char out[TREE_PATH_MAX]);

/* The list's own records, for the journal's reader: 0 where the record was one of these and sound, 1: another, -1. */
int areas_read_record(struct areas *areas, char **words, size_t count);

/* Write the batch. Returns 0, or -1: problem. */
int areas_commit(struct areas *areas, struct problem *problem);

/* Device and path within its file system of a directory below /mounts: equal for the same directory seen through two
 * mounts. -1: too long. */
int areas_source_of(const struct areas *areas, unsigned mount, const char *path, char out[2 * TREE_PATH_MAX]);

/* Records are added through this, so that running out of memory is named. */
#define areas_record(areas, problem, ...)                                                                              \
    (journal_add(&(areas)->journal, __VA_ARGS__, NULL) == 0                                                            \
         ? 0                                                                                                           \
         : problem_errno((problem), "cannot write", "the run's journal"))

/* A number as a word of the journal, in a compound literal. */
#define NUMBER_SIZE 24
const char *number_word(char out[NUMBER_SIZE], uint64_t number);
#define NUMBER(value) number_word((char[NUMBER_SIZE]){0}, (uint64_t)(value))

#endif
