/*
 * Directory trees by descriptor: nothing here follows a symlink, leaves the directory it was given or crosses into
 * another mount. Errors are -1 with errno unless said otherwise.
 */
#ifndef TREE_H
#define TREE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#define TREE_PATH_MAX 4096
/* Deeper trees end in ENAMETOOLONG: each level of a walk costs a descriptor. */
#define TREE_DEPTH_MAX 900

/* openat2 below `dir`: BENEATH, NO_SYMLINKS, NO_MAGICLINKS, NO_XDEV. An empty path is `dir` itself. */
int tree_open(int dir, const char *path, int flags);
/* The same, for making a file. */
int tree_create(int dir, const char *path, int flags, mode_t mode);
/* The same as tree_open, but mount points on the way may be entered: for the roots below /mounts alone. */
int tree_open_mount(int dir, const char *path, int flags);

/* A stream of the directory's entries; `dir` stays the caller's. NULL with errno. */
DIR *tree_list(int dir);
/* The next entry but `.` and `..`; NULL with errno 0 at the end. */
struct dirent *tree_next(DIR *list);

static inline void cleanup_closedir_value(DIR **list)
{
    if (*list != NULL) {
        closedir(*list);
    }
}
#define cleanup_closedir __attribute__((cleanup(cleanup_closedir_value)))

/* Called for every entry below, children before their directory. Anything but 0 ends the walk with that value. */
typedef int (*tree_visitor)(void *context, int parent, const char *name, const struct stat *status);
/* Entries that vanish meanwhile and mount points are passed over. */
int tree_walk(int dir, tree_visitor visit, void *context);

/* Remove an entry with all below it; one that is not there is no error. */
int tree_remove(int parent, const char *name);

/* The directory `name` of `parent`, made with mode 700 where it is missing. Returns a descriptor. */
int tree_make(int parent, const char *name);

/* Splits a path at its last slash: returns the name within it, and the parent (empty at the top) in `parent`. */
const char *tree_split(const char *path, char parent[TREE_PATH_MAX]);
/* `first/second`, where either may be empty. Returns 0, or -1 with ENAMETOOLONG. */
int tree_join(char out[TREE_PATH_MAX], const char *first, const char *second);
/* Whether `path` is `prefix` or below it; *rest is what follows (empty where they are the same). */
bool tree_below(const char *path, const char *prefix, const char **rest);
/* Relative, of names of 1 to 255 bytes other than `.` and `..`. An empty path is sound. */
bool tree_path_is_sound(const char *path);

#endif
