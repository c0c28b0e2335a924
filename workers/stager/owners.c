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
        return 0;
    }
    if (look_at(survey, fd, name, &status) != 0) {
        return 1;
    }
    cleanup_close int child = S_ISDIR(status.st_mode) ? tree_open(fd, name, O_RDONLY | O_DIRECTORY) : -1;
    return child < 0 ? 0 : tree_walk(child, look_at, survey);
}

static void survey_tree(struct survey *survey, int fd)
{
    cleanup_closedir DIR *list = tree_list(fd);
    struct dirent *entry;
    int stop = 0;
    while (list != NULL && stop == 0 && (entry = tree_next(list)) != NULL) {
        bool ours = strncmp(entry->d_name, WORK_PREFIX, sizeof WORK_PREFIX - 1) == 0;
        if (!ours && strcmp(entry->d_name, "lost+found") != 0) {
            stop = look_at_top(survey, fd, entry->d_name);
        }
    }
}

static struct owner top_owner(const struct owners *owners, struct live_tree *tree, struct owner root)
{
    if (!is_root(root)) {
        return root;
    }
    if (!tree->surveyed) {
        struct survey survey = {0};
        survey_tree(&survey, tree->fd);
        tree->top = survey.entries == 0 ? owners->fallback : prevailing(&survey);
        tree->surveyed = true;
    }
    return tree->top;
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

void owners_open_parent(const struct owners *owners, struct live_tree *tree, const char *path,
                        struct live_parent *parent)
{
    char at[TREE_PATH_MAX], above[TREE_PATH_MAX];
    *parent = (struct live_parent){-1, owners->fallback};
    if (tree->fd < 0 || tree_join(at, path, "") != 0) {
        return;
    }
    bool exact = true;
    for (;;) {
        int fd = tree_open(tree->fd, at, O_PATH | O_DIRECTORY);
        struct stat status;
        if (fd >= 0 && fstat(fd, &status) == 0) {
            parent->nearest = (struct owner){status.st_uid, status.st_gid};
            if (*at == '\0') {
                parent->nearest = top_owner(owners, tree, parent->nearest);
            }
            parent->fd = exact ? fd : -1;
            if (!exact) {
                close(fd);
            }
            return;
        }
        if (*at == '\0') {
            return;
        }
        exact = false;
        tree_split(at, above);
        memcpy(at, above, sizeof above);
    }
}

struct owner owners_choose(const struct owners *owners, const struct live_parent *parent, const char *name,
                           struct owner archived)
{
    if (!owners_are_mapped(owners)) {
        return archived;
    }
    struct stat status;
    if (parent->fd >= 0 && fstatat(parent->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        return (struct owner){status.st_uid, status.st_gid};
    }
    return parent->nearest;
}

bool owners_keep_special(const struct owners *owners, mode_t mode, struct owner given, const struct owner *live)
{
    bool as_archived = owners->ownership != OWNERSHIP_EXISTING && owners->archive_knows;
    bool setuid_stays = (mode & S_ISUID) == 0 || given.uid != 0 || (live != NULL && live->uid == 0);
    bool setgid_stays = (mode & S_ISGID) == 0 || given.gid != 0 || (live != NULL && live->gid == 0);
    return as_archived || (setuid_stays && setgid_stays);
}
