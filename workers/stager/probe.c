/* Probing roots before anything is downloaded. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"

#define FLAGS_MAX 100000 /* entries whose flags are looked at */

struct finding {
    struct msg_probed message;
    unsigned looked_at;
    char foreign[256];
    char refusal[1024];
};

static void refuse(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void refuse(struct finding *finding, const char *format, ...)
{
    if (finding->refusal[0] != '\0') {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->refusal, sizeof finding->refusal, format, arguments);
    va_end(arguments);
}

static bool has_file(int fd, const char *name, mode_t type)
{
    struct stat status;
    return fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && (status.st_mode & S_IFMT) == type;
}

enum section_kind probe_database(int fd)
{
    if (has_file(fd, "PG_VERSION", S_IFREG)) {
        return SECTION_POSTGRES;
    }
    bool innodb = has_file(fd, "ibdata1", S_IFREG) || has_file(fd, "aria_log_control", S_IFREG);
    return innodb ? SECTION_MARIADB : SECTION_NONE;
}

static int look_at_entries(const struct areas *areas, const struct area *area, int fd, struct finding *finding)
{
    cleanup_closedir DIR *list = tree_list(fd);
    struct dirent *entry;
    while (list != NULL && (entry = tree_next(list)) != NULL) {
        if (strncmp(entry->d_name, WORK_PREFIX, sizeof WORK_PREFIX - 1) != 0) {
            finding->message.entries++;
        } else if (strcmp(entry->d_name, areas->work_name) != 0 || area == NULL || !area->work) {
            snprintf(finding->foreign, sizeof finding->foreign, "%s", entry->d_name);
        }
    }
    return list == NULL ? -1 : 0;
}

/* An immutable or append-only file can neither be moved out nor removed. */
static int look_at_flags(void *context, int parent, const char *name, const struct stat *status)
{
    (void)status;
    struct finding *finding = context;
    struct statx flags;
    if (statx(parent, name, AT_SYMLINK_NOFOLLOW, 0, &flags) == 0 &&
        (flags.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0) {
        refuse(finding, "%s is immutable or append-only; take the flag away (chattr -i -a)", name);
        return 1;
    }
    return ++finding->looked_at > FLAGS_MAX;
}

static void probe_flags(int fd, struct finding *finding)
{
    struct statx flags;
    if (statx(fd, "", AT_EMPTY_PATH, 0, &flags) == 0 &&
        (flags.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0) {
        refuse(finding, "the directory is immutable or append-only; take the flag away (chattr -i -a)");
        return;
    }
    tree_walk(fd, look_at_flags, finding);
}

/* In a folder of our own: what staging and swapping will do. */
static void try_writing(int work, struct finding *finding)
{
    cleanup_close int fd = tree_make(work, "probe");
    if (fd < 0) {
        refuse(finding, "no directory can be made there: %s", strerror(errno));
        return;
    }
    if (fchown(fd, 1, 1) != 0 || fchown(fd, 0, 0) != 0) {
        refuse(finding, "owners cannot be set there (%s): is it a network file system with root-squash?",
               strerror(errno));
        return;
    }
    if (fsetxattr(fd, "user.restore", "1", 1, 0) != 0 && errno != EOPNOTSUPP) {
        refuse(finding, "extended attributes cannot be set there: %s", strerror(errno));
        return;
    }
    if (renameat2(work, "probe", work, "probe-renamed", RENAME_NOREPLACE) != 0) {
        refuse(finding, "nothing can be renamed there: %s", strerror(errno));
    }
}

static void probe_writing(struct areas *areas, struct area *area, int fd, struct finding *finding)
{
    struct problem problem = {0};
    struct stat before;
    bool first = fstat(fd, &before) == 0 && !area->staged && !area->copied && !area->copying;
    cleanup_close int work = area_make_work(areas, area, fd, &problem);
    if (work < 0) {
        refuse(finding, "%.900s", problem.text);
        return;
    }
    try_writing(work, finding);
    tree_remove(work, "probe");
    tree_remove(work, "probe-renamed");
    if (first) {
        unlinkat(fd, areas->work_name, AT_REMOVEDIR);
        area->work_inode = 0;
        struct timespec times[2] = {{0, UTIME_OMIT}, before.st_mtim};
        if (futimens(fd, times) != 0) {
            refuse(finding, "its time cannot be set: %s", strerror(errno));
        }
    }
}

/* Inside a server's live data directory nothing is made: setting the owner it has is all that is tried. */
static void probe_access(int fd, const struct stat *status, struct finding *finding)
{
    if (fchown(fd, status->st_uid, status->st_gid) != 0) {
        refuse(finding, "owners cannot be set there: %s", strerror(errno));
    }
}

static void measure(int fd, struct finding *finding)
{
    struct statvfs space;
    if (fstatvfs(fd, &space) != 0) {
        refuse(finding, "its file system cannot be looked at: %s", strerror(errno));
        return;
    }
    finding->message.free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    finding->message.free_inodes = space.f_files == 0 ? UINT64_MAX : space.f_favail; /* btrfs counts none */
    if ((space.f_flag & ST_RDONLY) != 0) {
        refuse(finding, "the file system is read-only");
    }
}

static void describe(const struct stat *status, bool exists, struct finding *finding)
{
    finding->message.device = status->st_dev;
    finding->message.inode = exists ? status->st_ino : 0;
    finding->message.uid = status->st_uid;
    finding->message.gid = status->st_gid;
    finding->message.mode = status->st_mode & 07777;
}

static int probe_directory(struct areas *areas, const struct root *root, struct finding *finding,
                           struct problem *problem)
{
    char base[TREE_PATH_MAX];
    struct area *area;
    struct problem reason = {0};
    if (areas_resolve(areas, root->mount, root->subpath, &area, base, &reason) != 0) {
        if (strstr(reason.text, strerror(ENOTDIR)) != NULL) {
            refuse(finding, "it is a single file, not a directory");
        }
        refuse(finding, "%.900s", reason.text);
        return 0;
    }
    if (areas_commit(areas, problem) != 0) {
        return -1;
    }
    cleanup_close int fd = area_open(areas, area, &reason);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        refuse(finding, "%.900s", reason.text);
        return 0;
    }
    describe(&status, *base == '\0', finding);
    measure(fd, finding);
    if (look_at_entries(areas, area, fd, finding) != 0) {
        refuse(finding, "it cannot be listed: %s", strerror(errno));
    }
    finding->message.database = *base == '\0' ? probe_database(fd) : SECTION_NONE;
    probe_flags(fd, finding);
    if (finding->refusal[0] == '\0' && finding->message.database == SECTION_NONE) {
        probe_writing(areas, area, fd, finding);
    } else if (finding->refusal[0] == '\0') {
        probe_access(fd, &status, finding);
    }
    return 0;
}

int probe_roots(struct areas *areas, const struct root *roots, struct channel *channel, struct problem *problem)
{
    for (unsigned i = 0; i <= MAX_ROOTS; i++) {
        if (!roots[i].declared) {
            continue;
        }
        struct finding finding = {.message = {.root = i}};
        if (probe_directory(areas, &roots[i], &finding, problem) != 0) {
            return -1;
        }
        finding.message.foreign = text_of(finding.foreign);
        finding.message.refusal = text_of(finding.refusal);
        if (channel_send(channel, MESSAGE_probed, &finding.message) != IPC_OK) {
            return problem_errno(problem, "cannot write", "frames");
        }
    }
    return 0;
}
