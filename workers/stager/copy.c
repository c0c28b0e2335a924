/* The cold copy of a data directory. */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"

#define NAMES_MAX 4096
#define VALUE_MAX (64 * 1024)

/* A file with several names: the copy's first name, to link the others to. */
struct first_name {
    ino_t inode;
    char *path;
};

struct copy {
    struct area *area;
    int target; /* .restore-RUN/old */
    struct first_name *names;
    size_t name_count;
    struct swap_counts *counts;
    struct problem *problem;
};

static int copy_failed(const struct copy *copy, const char *path)
{
    return problem_errno(copy->problem, "cannot copy", path);
}

static int copy_range(int source, int target, off_t offset, off_t size)
{
    off_t from = offset, to = offset;
    while (size > 0) {
        ssize_t done = copy_file_range(source, &from, target, &to, (size_t)size, 0);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done == 0 ? 0 : -1; /* 0: the file was cut meanwhile */
        }
        size -= done;
    }
    return 0;
}

/* Data alone; holes stay holes. */
static int copy_contents(int source, int target, off_t size)
{
    if (size == 0 || ioctl(target, FICLONE, source) == 0) {
        return 0;
    }
    off_t hole = 0;
    for (off_t data = lseek(source, 0, SEEK_DATA); data >= 0; data = lseek(source, hole, SEEK_DATA)) {
        hole = lseek(source, data, SEEK_HOLE);
        if (hole < 0 || copy_range(source, target, data, hole - data) != 0) {
            return -1;
        }
    }
    return errno == ENXIO ? ftruncate(target, size) : -1;
}

static int copy_xattr(int source, int target, const char *name)
{
    if (strncmp(name, "user.", 5) != 0) {
        return 0; /* ACLs go with the attributes; other namespaces are not ours to set */
    }
    cleanup_free char *value = malloc(VALUE_MAX);
    ssize_t size = value == NULL ? -1 : fgetxattr(source, name, value, VALUE_MAX);
    return size < 0 ? -1 : fsetxattr(target, name, value, (size_t)size, 0);
}

static int copy_xattrs(int source, int target)
{
    char names[NAMES_MAX];
    ssize_t size = flistxattr(source, names, sizeof names);
    if (size < 0) {
        return errno == EOPNOTSUPP ? 0 : -1;
    }
    for (const char *name = names; name < names + size; name += strlen(name) + 1) {
        if (copy_xattr(source, target, name) != 0) {
            return -1;
        }
    }
    return 0;
}

static int copy_attributes(int source, int target)
{
    struct attributes attributes;
    if (attributes_read(source, &attributes) != 0 || copy_xattrs(source, target) != 0) {
        return -1;
    }
    return attributes_apply(target, &attributes);
}

static const char *find_first_name(const struct copy *copy, ino_t inode)
{
    for (size_t i = 0; i < copy->name_count; i++) {
        if (copy->names[i].inode == inode) {
            return copy->names[i].path;
        }
    }
    return NULL;
}

static int add_first_name(struct copy *copy, ino_t inode, const char *path)
{
    struct first_name *grown = realloc(copy->names, (copy->name_count + 1) * sizeof *grown);
    if (grown == NULL) {
        return -1;
    }
    copy->names = grown;
    grown[copy->name_count] = (struct first_name){inode, strdup(path)};
    return grown[copy->name_count++].path == NULL ? -1 : 0;
}

static int copy_file(struct copy *copy, int from, int to, const char *name, const char *path, const struct stat *status)
{
    const char *first = status->st_nlink > 1 ? find_first_name(copy, status->st_ino) : NULL;
    if (first != NULL) {
        return linkat(copy->target, first, to, name, 0) == 0 ? 0 : copy_failed(copy, path);
    }
    cleanup_close int source = tree_open(from, name, O_RDONLY | O_NOFOLLOW);
    cleanup_close int target = source < 0 ? -1 : tree_create(to, name, O_WRONLY | O_EXCL | O_NOFOLLOW, 0600);
    if (target < 0 || copy_contents(source, target, status->st_size) != 0 || copy_attributes(source, target) != 0 ||
        (status->st_nlink > 1 && add_first_name(copy, status->st_ino, path) != 0)) {
        return copy_failed(copy, path);
    }
    copy->counts->bytes += (uint64_t)status->st_size;
    return 0;
}

static int copy_link(struct copy *copy, int from, int to, const char *name, const char *path, const struct stat *status)
{
    char target[TREE_PATH_MAX];
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length < 0) {
        return copy_failed(copy, path);
    }
    target[length] = '\0';
    if (target[0] == '/') {
        return problem_set(
            copy->problem, EXIT_DATABASE,
            "%.1000s leads out of the data directory to %.1000s: a copy of the directory alone could not be "
            "put back; see DB_ROLLBACK",
            path, target);
    }
    struct timespec times[2] = {{0, UTIME_OMIT}, status->st_mtim};
    bool made = symlinkat(target, to, name) == 0 &&
                fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) == 0 &&
                utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) == 0;
    return made ? 0 : copy_failed(copy, path);
}

static int copy_fifo(struct copy *copy, int to, const char *name, const char *path, const struct stat *status)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, status->st_mtim};
    bool made = mknodat(to, name, status->st_mode, 0) == 0 &&
                fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) == 0 &&
                utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) == 0;
    return made ? 0 : copy_failed(copy, path);
}

static int copy_below(struct copy *copy, int from, int to, const char *path, unsigned depth);

static int copy_directory(struct copy *copy, int from, int to, const char *name, const char *path, unsigned depth)
{
    cleanup_close int source = tree_open(from, name, O_RDONLY | O_DIRECTORY);
    cleanup_close int target = source < 0 ? -1 : tree_make(to, name);
    if (target < 0) {
        return copy_failed(copy, path);
    }
    if (copy_below(copy, source, target, path, depth + 1) != 0) {
        return -1;
    }
    return copy_attributes(source, target) == 0 ? 0 : copy_failed(copy, path);
}

static int copy_entry(struct copy *copy, int from, int to, const char *parent, const char *name, unsigned depth)
{
    char path[TREE_PATH_MAX];
    struct stat status;
    if (tree_join(path, parent, name) != 0 || fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return copy_failed(copy, name);
    }
    bool passed_over = *parent == '\0' && area_passes_over(copy->area, name);
    if (passed_over || S_ISSOCK(status.st_mode) || area_keeps(copy->area, path) == KEEP_POINT) {
        return 0;
    }
    copy->counts->entries++;
    switch (status.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(copy, from, to, name, path, &status);
    case S_IFDIR:
        return copy_directory(copy, from, to, name, path, depth);
    case S_IFLNK:
        return copy_link(copy, from, to, name, path, &status);
    case S_IFIFO:
        return copy_fifo(copy, to, name, path, &status);
    default:
        return problem_set(copy->problem, EXIT_DATABASE, "%.1000s in a data directory is a device: not copied", path);
    }
}

static int copy_below(struct copy *copy, int from, int to, const char *path, unsigned depth)
{
    cleanup_closedir DIR *list = depth > TREE_DEPTH_MAX ? NULL : tree_list(from);
    if (list == NULL) {
        return copy_failed(copy, path);
    }
    struct dirent *entry;
    while ((entry = tree_next(list)) != NULL) {
        if (copy_entry(copy, from, to, path, entry->d_name, depth) != 0) {
            return -1;
        }
    }
    return errno == 0 ? 0 : copy_failed(copy, path);
}

static int copy_tree(struct copy *copy, int live)
{
    int result = copy_below(copy, live, copy->target, "", 0);
    for (size_t i = 0; i < copy->name_count; i++) {
        free(copy->names[i].path);
    }
    free(copy->names);
    return result;
}

int copy_area(struct areas *areas, struct area *area, struct swap_counts *counts, struct problem *problem)
{
    if (area->staged || area->copied || area->copy_unsettled) {
        return problem_set(problem, EXIT_INTERNAL, "a data directory that is staged or copied already is not copied");
    }
    cleanup_close int live = area_open(areas, area, problem);
    cleanup_close int work = live < 0 ? -1 : area_make_work(areas, area, live, problem);
    if (work < 0 || area_keep_inner_mounts(areas, area, problem) != 0 ||
        areas_record(areas, problem, "copying", NUMBER(area->number)) != 0 || areas_commit(areas, problem) != 0) {
        return -1;
    }
    if (tree_remove(work, "old") != 0) {
        return problem_errno(problem, "cannot clear", "an earlier copy");
    }
    cleanup_close int target = tree_make(work, "old");
    if (target < 0) {
        return problem_errno(problem, "cannot make", "the copy's folder");
    }
    counts->areas++;
    struct copy copy = {.area = area, .target = target, .counts = counts, .problem = problem};
    if (copy_tree(&copy, live) != 0) {
        return -1;
    }
    area->copy_unsettled = true;
    return 0;
}

/* Syncs the area's file system, unless that is the one of the area before, and adds its record to the batch. */
static int settle_area(struct areas *areas, struct area *area, dev_t *synced, struct problem *problem)
{
    struct stat status;
    cleanup_close int live = area_open(areas, area, problem);
    if (live < 0) {
        return -1;
    }
    if (fstat(live, &status) != 0 || (status.st_dev != *synced && syncfs(live) != 0)) {
        return problem_errno(problem, "cannot sync", "a data directory's copy");
    }
    *synced = status.st_dev;
    return area_add_former(areas, area, "", live, problem) != 0
               ? -1
               : areas_record(areas, problem, "copied", NUMBER(area->number));
}

int copies_settle(struct areas *areas, struct problem *problem)
{
    dev_t synced = 0; /* no file system's */
    for (size_t i = 0; i < areas->count; i++) {
        if (areas->list[i]->copy_unsettled && settle_area(areas, areas->list[i], &synced, problem) != 0) {
            return -1;
        }
    }
    if (areas_commit(areas, problem) != 0) {
        return -1;
    }
    for (size_t i = 0; i < areas->count; i++) {
        struct area *area = areas->list[i];
        area->copied = area->copied || area->copy_unsettled;
        area->copy_unsettled = false;
    }
    return 0;
}
