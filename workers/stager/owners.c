/* Who owns what is restored. */
#include "owners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "area.h"
#include "cleanup.h"
#include "tree.h"

#define SURVEY_MAX 50000 /* entries looked at: enough to tell, bounded for huge volumes */

#define OWNERS_MAX 16 /* different ones that are counted */

/* How many live entries each owner has. */
struct survey {
    uint64_t entries;
    struct {
        struct owner owner;
        uint64_t entries;
    } counts[OWNERS_MAX];
    size_t count;
};

/* There is no such live entry: nothing else may pass for that, or what is restored gets another's owner. */
static bool is_absent(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == EXDEV;
}

static bool is_root(struct owner owner)
{
    return owner.uid == 0 && owner.gid == 0;
}

static int look_at(void *context, int parent, const char *name, const struct stat *status)
{
    (void)parent;
    (void)name;
    struct survey *survey = context;
    size_t at = 0;
    while (at < survey->count &&
           (survey->counts[at].owner.uid != status->st_uid || survey->counts[at].owner.gid != status->st_gid)) {
        at++;
    }
    if (at == survey->count && at < OWNERS_MAX) {
        survey->counts[survey->count++].owner = (struct owner){status->st_uid, status->st_gid};
    }
    if (at < OWNERS_MAX) {
        survey->counts[at].entries++;
    }
    return ++survey->entries >= SURVEY_MAX;
}

/* The owner of most entries. */
static struct owner prevailing(const struct survey *survey)
{
    size_t most = 0;
    for (size_t i = 1; i < survey->count; i++) {
        most = survey->counts[i].entries > survey->counts[most].entries ? i : most;
    }
    return survey->counts[most].owner;
}

static int look_at_top(struct survey *survey, int fd, const char *name)
{
    struct stat status;
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return is_absent(errno) ? 0 : -1;
    }
    if (look_at(survey, fd, name, &status) != 0) {
        return 1;
    }
    if (!S_ISDIR(status.st_mode)) {
        return 0;
    }
    cleanup_close int child = tree_open(fd, name, O_RDONLY | O_DIRECTORY);
    if (child < 0) {
        return is_absent(errno) ? 0 : -1;
    }
    return tree_walk(child, look_at, survey);
}

static int survey_tree(struct survey *survey, int fd)
{
    cleanup_closedir DIR *list = tree_list(fd);
    struct dirent *entry;
    int stop = list == NULL ? -1 : 0;
    while (stop == 0 && (entry = tree_next(list)) != NULL) {
        bool ours = strncmp(entry->d_name, WORK_PREFIX, sizeof WORK_PREFIX - 1) == 0;
        if (!ours && strcmp(entry->d_name, "lost+found") != 0) {
            stop = look_at_top(survey, fd, entry->d_name);
        }
    }
    return stop < 0 ? -1 : 0;
}

/* For new entries directly below the root, whose owner is `root`. */
static int top_owner(const struct owners *owners, struct live_tree *tree, struct owner root, struct owner *top)
{
    *top = root;
    if (!is_root(root)) {
        return 0;
    }
    if (!tree->surveyed) {
        struct survey survey = {0};
        if (survey_tree(&survey, tree->fd) != 0) {
            return -1;
        }
        tree->top = survey.entries == 0 ? owners->fallback : prevailing(&survey);
        tree->surveyed = true;
    }
    *top = tree->top;
    return 0;
}

bool owners_are_mapped(const struct owners *owners)
{
    return owners->ownership == OWNERSHIP_EXISTING || (owners->ownership == OWNERSHIP_AUTO && !owners->archive_knows);
}

bool owners_learn(struct owners *owners, struct owner archived)
{
    if (is_root(archived) || owners->archive_knows) {
        return false;
    }
    owners->archive_knows = true;
    return owners->ownership == OWNERSHIP_AUTO;
}

/* The nearest directory of the live tree at or above `at`, which is cut down to its path. Returns a descriptor, or -1.
 */
static int open_nearest(int tree, char at[TREE_PATH_MAX], bool *exact)
{
    char above[TREE_PATH_MAX];
    *exact = true;
    for (;;) {
        int fd = tree_open(tree, at, O_PATH | O_DIRECTORY);
        if (fd >= 0 || !is_absent(errno) || *at == '\0') {
            return fd;
        }
        *exact = false;
        tree_split(at, above);
        memcpy(at, above, sizeof above);
    }
}

int owners_open_parent(const struct owners *owners, struct live_tree *tree, const char *path,
                       struct live_parent *parent)
{
    char at[TREE_PATH_MAX];
    bool exact;
    struct stat status;
    *parent = (struct live_parent){-1, owners->fallback};
    if (tree->fd < 0) {
        return 0;
    }
    if (tree_join(at, path, "") != 0) {
        return -1;
    }
    cleanup_close int fd = open_nearest(tree->fd, at, &exact);
    if (fd < 0 || fstat(fd, &status) != 0) {
        return -1;
    }
    parent->nearest = (struct owner){status.st_uid, status.st_gid};
    if (*at == '\0' && top_owner(owners, tree, parent->nearest, &parent->nearest) != 0) {
        return -1;
    }
    if (exact) {
        parent->fd = fd;
        fd = -1;
    }
    return 0;
}

int owners_choose(const struct owners *owners, const struct live_parent *parent, const char *name,
                  struct owner archived, struct owner *owner)
{
    struct stat status;
    *owner = owners_are_mapped(owners) ? parent->nearest : archived;
    if (!owners_are_mapped(owners) || parent->fd < 0) {
        return 0;
    }
    if (fstatat(parent->fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return is_absent(errno) ? 0 : -1;
    }
    *owner = (struct owner){status.st_uid, status.st_gid};
    return 0;
}

bool owners_keep_special(const struct owners *owners, mode_t mode, struct owner given, const struct owner *live)
{
    bool as_archived = owners->ownership != OWNERSHIP_EXISTING && owners->archive_knows;
    bool setuid_stays = (mode & S_ISUID) == 0 || given.uid != 0 || (live != NULL && live->uid == 0);
    bool setgid_stays = (mode & S_ISGID) == 0 || given.gid != 0 || (live != NULL && live->gid == 0);
    return as_archived || (setuid_stays && setgid_stays);
}
