/*
 * Merging for a path in a container's own layer. The saved tree is laid down in the run's volume as a skeleton (its
 * directories and owners, empty files), so that owners are chosen by the same code as for volumes, and memory does not
 * grow with it. A name that the archive has too is marked by its time.
 */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "spool.h"
#include "stage.h"
#include "tar.h"

#define SKELETON "skeleton"
#define WARNINGS_SHOWN 20
#define MERGED_TIME 2 /* seconds since 1970: the name is in the archive as well */

struct merge {
    struct channel *channel;
    struct problem *problem;
    struct owners owners;
    struct live_tree live;
    struct archive *out;
    int skeleton;
    struct swap_counts *counts;
    uint64_t alone; /* names that saved alone has */
};

/* Returns 0, or -1 with errno. The tar has directories before what they hold. */
static int add_bone(int skeleton, const char *path, bool directory, struct owner owner)
{
    char parent[TREE_PATH_MAX];
    const char *name = tree_split(path, parent);
    cleanup_close int fd = tree_open(skeleton, parent, O_PATH | O_DIRECTORY);
    if (fd < 0) {
        return -1;
    }
    int result = directory ? mkdirat(fd, name, 0700) : mknodat(fd, name, S_IFREG | 0600, 0);
    if (result != 0 && errno != EEXIST) {
        return -1;
    }
    return fchownat(fd, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
}

static int add_saved_entry(struct merge *merge, struct archive_entry *entry)
{
    char path[TREE_PATH_MAX];
    if (entry_path(entry, path, merge->problem) == NULL) {
        return -1;
    }
    struct owner owner = {(uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)};
    bool done = *path == '\0' ? fchown(merge->skeleton, owner.uid, owner.gid) == 0
                              : add_bone(merge->skeleton, path, archive_entry_filetype(entry) == AE_IFDIR, owner) == 0;
    return done ? 0 : problem_errno(merge->problem, "cannot note the saved", path);
}

static int read_saved(struct merge *merge, int run_volume, unsigned stream)
{
    cleanup_close int fd = spool_open(run_volume, stream);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        return problem_errno(merge->problem, "cannot open", "the saved layer");
    }
    if (status.st_size == 0) {
        return 0; /* there was nothing at the path */
    }
    cleanup_archive struct archive *archive = tar_open_file(&fd, merge->problem);
    cleanup_entry struct archive_entry *entry = NULL;
    int result = archive == NULL ? -1 : 1;
    while (result == 1 && (result = tar_next(archive, &entry, merge->problem)) == 1) {
        if (add_saved_entry(merge, entry) != 0) {
            return -1;
        }
    }
    return result;
}

static int write_out(struct merge *merge, const void *bytes, size_t size)
{
    if (archive_write_data(merge->out, bytes, size) != (la_ssize_t)size) {
        return problem_set(merge->problem, EXIT_INTERNAL, "cannot write the merged layer: %s",
                           archive_error_string(merge->out));
    }
    merge->counts->bytes += size;
    return 0;
}

/* The Engine reads no sparse tars: holes are written out. */
static int fill_hole(struct merge *merge, int64_t size)
{
    static const char zeros[4096];
    while (size > 0) {
        size_t now = size < (int64_t)sizeof zeros ? (size_t)size : sizeof zeros;
        if (write_out(merge, zeros, now) != 0) {
            return -1;
        }
        size -= (int64_t)now;
    }
    return 0;
}

static int copy_data(struct merge *merge, struct archive *in, int64_t total)
{
    const void *bytes;
    size_t size;
    int64_t offset, at = 0;
    int result;
    while ((result = archive_read_data_block(in, &bytes, &size, &offset)) == ARCHIVE_OK || result == ARCHIVE_WARN) {
        if (fill_hole(merge, offset - at) != 0 || write_out(merge, bytes, size) != 0) {
            return -1;
        }
        at = offset + (int64_t)size;
    }
    if (result != ARCHIVE_EOF) {
        return problem_set(merge->problem, EXIT_INTEGRITY, "a volume's tar cannot be read: %s",
                           archive_error_string(in));
    }
    return fill_hole(merge, total - at);
}

static int choose_owner(struct merge *merge, struct archive_entry *entry, const char *path)
{
    char parent[TREE_PATH_MAX];
    const char *name = tree_split(path, parent);
    struct owner archived = {(uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)};
    struct live_parent live;
    struct stat status;
    struct owner owner = archived;
    if (owners_open_parent(&merge->owners, &merge->live, parent, &live) != 0 ||
        (*path != '\0' && owners_choose(&merge->owners, &live, name, archived, &owner) != 0)) {
        cleanup_close_value(&live.fd);
        return problem_errno(merge->problem, "cannot find out the owner of", path);
    }
    if (*path == '\0' && owners_are_mapped(&merge->owners) && fstat(merge->skeleton, &status) == 0) {
        owner = (struct owner){status.st_uid, status.st_gid};
    }
    struct owner was = {0, 0};
    bool has_live = live.fd >= 0 && *path != '\0' && fstatat(live.fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (has_live) {
        was = (struct owner){status.st_uid, status.st_gid};
        const struct timespec times[2] = {{0, UTIME_OMIT}, {MERGED_TIME, 0}};
        utimensat(live.fd, name, times, AT_SYMLINK_NOFOLLOW);
    }
    mode_t mode = archive_entry_perm(entry);
    bool file = archive_entry_filetype(entry) == AE_IFREG;
    if (file && !owners_keep_special(&merge->owners, mode, owner, has_live ? &was : NULL)) {
        channel_warn(merge->channel, "%.1000s lost its setuid or setgid bit: the restore would have made it root's",
                     path);
        archive_entry_set_perm(entry, mode & 01777);
    }
    archive_entry_set_uid(entry, owner.uid);
    archive_entry_set_gid(entry, owner.gid);
    cleanup_close_value(&live.fd);
    return 0;
}

static int merge_entry(struct merge *merge, struct archive *in, struct archive_entry *entry)
{
    char path[TREE_PATH_MAX];
    if (entry_path(entry, path, merge->problem) == NULL) {
        return -1;
    }
    merge->counts->entries += *path == '\0' ? 0 : 1;
    if (choose_owner(merge, entry, path) != 0) {
        return -1;
    }
    archive_entry_set_uname(entry, NULL);
    archive_entry_set_gname(entry, NULL);
    archive_entry_sparse_clear(entry);
    bool file = archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == NULL;
    if (archive_write_header(merge->out, entry) < ARCHIVE_WARN) {
        return problem_set(merge->problem, EXIT_INTERNAL, "cannot write the merged layer: %s",
                           archive_error_string(merge->out));
    }
    return file ? copy_data(merge, in, archive_entry_size(entry)) : 0;
}

typedef int (*entry_step)(struct merge *merge, struct archive *in, struct archive_entry *entry);

static int for_each_entry(struct merge *merge, int run_volume, unsigned stream, entry_step step)
{
    cleanup_close int fd = spool_open(run_volume, stream);
    if (fd < 0) {
        return problem_errno(merge->problem, "cannot open", "a volume's spool");
    }
    cleanup_archive struct archive *in = tar_open_file(&fd, merge->problem);
    cleanup_entry struct archive_entry *entry = NULL;
    int result = in == NULL ? -1 : 1;
    while (result == 1 && (result = tar_next(in, &entry, merge->problem)) == 1) {
        if (step(merge, in, entry) != 0) {
            return -1;
        }
    }
    return result;
}

/* Here the whole archive is at hand: whether it knows owners is known before the first is chosen. */
static int learn_owner(struct merge *merge, struct archive *in, struct archive_entry *entry)
{
    (void)in;
    owners_learn(&merge->owners, (struct owner){(uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)});
    return 0;
}

static void warn_alone(struct merge *merge, const char *path)
{
    if (merge->alone++ < WARNINGS_SHOWN) {
        channel_warn(merge->channel, "%.1000s is not in the backup and stays: it lies in the container's own layer",
                     path);
    }
}

/* Names that were not marked; below a directory that saved alone has, the directory's name says it all. */
static int find_alone(struct merge *merge, int dir, const char *path, unsigned depth)
{
    cleanup_closedir DIR *list = depth > TREE_DEPTH_MAX ? NULL : tree_list(dir);
    struct dirent *entry;
    while (list != NULL && (entry = tree_next(list)) != NULL) {
        char below[TREE_PATH_MAX];
        struct stat status;
        if (tree_join(below, path, entry->d_name) != 0 ||
            fstatat(dir, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
            return problem_errno(merge->problem, "cannot look at the saved", entry->d_name);
        }
        if (status.st_mtim.tv_sec != MERGED_TIME) {
            warn_alone(merge, below);
            continue;
        }
        cleanup_close int child = S_ISDIR(status.st_mode) ? tree_open(dir, entry->d_name, O_RDONLY | O_DIRECTORY) : -1;
        if (child >= 0 && find_alone(merge, child, below, depth + 1) != 0) {
            return -1;
        }
    }
    return list == NULL || errno != 0 ? problem_errno(merge->problem, "cannot list the saved", path) : 0;
}

static int write_merged(struct merge *merge, int run_volume, const struct msg_layer_merge *message)
{
    cleanup_close int fd = spool_create(run_volume, (unsigned)message->merged);
    if (fd < 0) {
        return problem_errno(merge->problem, "cannot make", "a spool on the run's volume");
    }
    cleanup_archive struct archive *out = tar_create_file(&fd, merge->problem);
    merge->out = out;
    if (out == NULL || for_each_entry(merge, run_volume, (unsigned)message->stream, learn_owner) != 0 ||
        for_each_entry(merge, run_volume, (unsigned)message->stream, merge_entry) != 0) {
        return -1;
    }
    if (archive_write_close(out) != ARCHIVE_OK || fsync(fd) != 0) {
        return problem_errno(merge->problem, "cannot write", "the merged layer");
    }
    return 0;
}

int layer_merge(struct channel *channel, int run_volume, const struct msg_layer_merge *message,
                struct swap_counts *counts, struct problem *problem)
{
    if (tree_remove(run_volume, SKELETON) != 0) {
        return problem_errno(problem, "cannot clear", SKELETON);
    }
    cleanup_close int skeleton = tree_make(run_volume, SKELETON);
    if (skeleton < 0) {
        return problem_errno(problem, "cannot make", SKELETON);
    }
    struct merge merge = {.channel = channel, .problem = problem, .skeleton = skeleton, .counts = counts};
    merge.live.fd = skeleton;
    merge.owners.ownership = (enum ownership)message->ownership;
    merge.owners.fallback = (struct owner){(uid_t)message->default_uid, (gid_t)message->default_gid};
    if (read_saved(&merge, run_volume, (unsigned)message->saved) != 0 ||
        write_merged(&merge, run_volume, message) != 0 || find_alone(&merge, skeleton, "", 0) != 0) {
        return -1;
    }
    if (merge.alone > WARNINGS_SHOWN) {
        channel_warn(channel, "%llu more names are not in the backup and stay in the container's own layer",
                     (unsigned long long)(merge.alone - WARNINGS_SHOWN));
    }
    counts->areas = 1;
    return tree_remove(run_volume, SKELETON) == 0 ? 0 : problem_errno(problem, "cannot remove", SKELETON);
}
