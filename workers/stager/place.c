/* Laying down one entry of a tar: its directory, itself, and what has to wait until all is written. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "late.h"
#include "stage.h"

#define WARNINGS_SHOWN 20 /* of a kind; further ones are left out */

const char *entry_path(struct archive_entry *entry, char out[TREE_PATH_MAX], struct problem *problem)
{
    const char *name = archive_entry_pathname(entry);
    if (name == NULL || strlen(name) >= TREE_PATH_MAX || *name == '/') {
        problem_set(problem, EXIT_INTEGRITY, "an entry's name is absolute, too long or unreadable");
        return NULL;
    }
    while (name[0] == '.' && name[1] == '/') {
        name += 2;
    }
    size_t length = strlen(name);
    while (length > 0 && name[length - 1] == '/') {
        length--;
    }
    memcpy(out, name, length);
    out[length] = '\0';
    if (strcmp(out, ".") == 0) {
        out[0] = '\0';
    }
    if (!tree_path_is_sound(out)) {
        problem_set(problem, EXIT_INTEGRITY, "the name %.1000s does not stay within its volume", out);
        return NULL;
    }
    return out;
}

/* The deepest prefix that holds the path wins. */
static struct mapping *find_mapping(struct stream *stream, const char *path, const char **rest)
{
    struct mapping *deepest = NULL;
    const char *below;
    for (size_t i = 0; i < stream->mapping_count; i++) {
        struct mapping *mapping = &stream->mappings[i];
        bool deeper = deepest == NULL || strlen(mapping->prefix) > strlen(deepest->prefix);
        if (deeper && tree_below(path, mapping->prefix, &below)) {
            deepest = mapping;
            *rest = below;
        }
    }
    return deepest;
}

static int locate(struct stream *stream, const char *path, struct mapping **mapping, char within[TREE_PATH_MAX])
{
    struct problem *problem = stream->stage->problem;
    const char *rest = NULL;
    *mapping = find_mapping(stream, path, &rest);
    if (*mapping == NULL) {
        return problem_set(problem, EXIT_INTEGRITY, "%.1000s belongs to no directory of the plan", path);
    }
    if (tree_join(within, (*mapping)->base, rest) != 0) {
        return problem_errno(problem, "cannot write", path);
    }
    if (strncmp(within, WORK_PREFIX, sizeof WORK_PREFIX - 1) == 0) {
        return problem_set(problem, EXIT_INTEGRITY, "the archive holds %.1000s: names of this tool's own folders",
                           path);
    }
    return 0;
}

void place_leave(struct stream *stream)
{
    if (stream->staged_parent >= 0) {
        close(stream->staged_parent);
    }
    if (stream->live_parent.fd >= 0) {
        close(stream->live_parent.fd);
    }
    stream->staged_parent = -1;
    stream->live_parent.fd = -1;
    stream->at = NULL;
}

static uint32_t index_of(const struct stream *stream, const struct mapping *mapping)
{
    return (uint32_t)(mapping - stream->mappings);
}

/* A directory that no entry names (yet) gets 755, the owner that its parents suggest, and the time of now. */
static int imply_directory(struct stream *stream, struct mapping *mapping, const char *path)
{
    struct problem *problem = stream->stage->problem;
    if (mkdirat(mapping->new_fd, path, 0700) != 0) {
        return errno == EEXIST ? 0 : problem_errno(problem, "cannot make", path);
    }
    cleanup_free struct late_record *record = calloc(1, sizeof *record);
    char parent[TREE_PATH_MAX];
    if (record == NULL) {
        return problem_errno(problem, "cannot make", path);
    }
    const char *name = tree_split(path, parent);
    struct live_parent live;
    bool known = owners_open_parent(&stream->owners, &mapping->live, parent, &live) == 0 &&
                 owners_choose(&stream->owners, &live, name, (struct owner){0, 0}, &record->mapped) == 0;
    cleanup_close_value(&live.fd);
    if (!known) {
        return problem_errno(problem, "cannot find out the owner of", path);
    }
    record->mapping = index_of(stream, mapping);
    record->directory = true;
    record->attributes.mode = 0755;
    clock_gettime(CLOCK_REALTIME, &record->attributes.modified);
    memcpy(record->path, path, strlen(path) + 1);
    return late_add(stream->late, record) == 0 ? 0 : problem_errno(problem, "cannot note", path);
}

/* Each parent is opened before the next is made below it, so that no symlink of the archive is ever passed through. */
static int imply_parents(struct stream *stream, struct mapping *mapping, const char *path)
{
    char at[TREE_PATH_MAX];
    for (const char *slash = path; slash != NULL;) {
        slash = strchr(slash, '/');
        size_t length = slash == NULL ? strlen(path) : (size_t)(slash - path);
        memcpy(at, path, length);
        at[length] = '\0';
        slash = slash == NULL ? NULL : slash + 1;
        cleanup_close int fd = tree_open(mapping->new_fd, at, O_PATH | O_DIRECTORY);
        if (fd < 0 && (errno != ENOENT || imply_directory(stream, mapping, at) != 0)) {
            return problem_set(stream->stage->problem, EXIT_INTEGRITY,
                               "%.1000s is used as a directory, but the archive holds something else there", at);
        }
    }
    return 0;
}

int place_enter(struct stream *stream, struct mapping *mapping, const char *path)
{
    if (stream->at == mapping && strcmp(stream->parent, path) == 0) {
        return 0;
    }
    place_leave(stream);
    int fd = tree_open(mapping->new_fd, path, O_PATH | O_DIRECTORY);
    if (fd < 0) {
        if (imply_parents(stream, mapping, path) != 0) {
            return -1;
        }
        fd = tree_open(mapping->new_fd, path, O_PATH | O_DIRECTORY);
    }
    if (fd < 0) {
        return problem_errno(stream->stage->problem, "cannot open", path);
    }
    stream->staged_parent = fd;
    if (owners_open_parent(&stream->owners, &mapping->live, path, &stream->live_parent) != 0) {
        return problem_errno(stream->stage->problem, "cannot find out the owner of", path);
    }
    memcpy(stream->parent, path, strlen(path) + 1);
    stream->at = mapping;
    return 0;
}

/* One entry on its way to its place. */
struct placing {
    struct stream *stream;
    struct mapping *mapping;
    struct archive *archive;
    struct archive_entry *entry;
    const char *path; /* within the area */
    const char *name; /* its last part */
    struct owner archived;
    struct owner owner; /* what it gets now */
};

static int cannot_place(const struct placing *placing, const char *what)
{
    return problem_errno(placing->stream->stage->problem, what, placing->path);
}

/* Warnings of a kind are bounded; returns whether to send this one. */
static bool may_warn(unsigned *count)
{
    return (*count)++ < WARNINGS_SHOWN;
}

/* What a file system cannot keep is named and left out; an error of the disk is none of that. */
static int apply_xattr(struct placing *placing, int fd, const char *name, const void *value, size_t size)
{
    if (value == NULL) {
        errno = ENOMEM; /* libarchive had no memory for it, and says so in no other way */
        return cannot_place(placing, "cannot set an attribute of");
    }
    bool wanted = strncmp(name, "user.", 5) == 0 || strcmp(name, ACL_ACCESS_NAME) == 0;
    int error = ENOTSUP;
    if (wanted && fsetxattr(fd, name, value, size, 0) == 0) {
        return 0;
    }
    if (wanted) {
        error = errno;
    }
    if (error == EIO || error == ENOMEM || error == EROFS) {
        return cannot_place(placing, "cannot set an attribute of");
    }
    if (may_warn(&placing->stream->warned.xattrs)) {
        channel_warn(placing->stream->stage->channel, "attribute %.255s of %.1000s was not restored: %s", name,
                     placing->path, wanted ? strerror(error) : "only user.* and ACLs are");
    }
    return 0;
}

static int apply_xattrs(struct placing *placing, int fd)
{
    const char *name;
    const void *value;
    size_t size;
    archive_entry_xattr_reset(placing->entry);
    while (archive_entry_xattr_next(placing->entry, &name, &value, &size) == ARCHIVE_OK) {
        /* the default ACL comes with the late record: it would be inherited */
        if (strcmp(name, ACL_DEFAULT_NAME) != 0 && apply_xattr(placing, fd, name, value, size) != 0) {
            return -1;
        }
    }
    return 0;
}

static void default_acl_from_xattr(const struct placing *placing, struct acl_value *inherited)
{
    const char *name;
    const void *value;
    size_t size;
    archive_entry_xattr_reset(placing->entry);
    while (archive_entry_xattr_next(placing->entry, &name, &value, &size) == ARCHIVE_OK) {
        if (strcmp(name, ACL_DEFAULT_NAME) == 0 && size <= sizeof inherited->bytes) {
            memcpy(inherited->bytes, value, size);
            inherited->size = size;
        }
    }
}

static void acls_of(struct placing *placing, struct acl_value *access, struct acl_value *inherited)
{
    if (attributes_acls_of(placing->entry, access, inherited) != 0 && may_warn(&placing->stream->warned.acls)) {
        channel_warn(placing->stream->stage->channel,
                     "ACL entries of %.1000s that name users without ids were left out", placing->path);
    }
    if (inherited->size == 0) {
        default_acl_from_xattr(placing, inherited);
    }
}

static struct timespec time_of(struct archive_entry *entry)
{
    return (struct timespec){archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
}

static int note_late(struct placing *placing, bool directory)
{
    struct stream *stream = placing->stream;
    cleanup_free struct late_record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return cannot_place(placing, "cannot note");
    }
    record->mapping = index_of(stream, placing->mapping);
    record->directory = directory;
    record->mapped = placing->owner;
    record->attributes.mode = archive_entry_perm(placing->entry);
    record->attributes.uid = placing->archived.uid;
    record->attributes.gid = placing->archived.gid;
    record->attributes.modified = time_of(placing->entry);
    acls_of(placing, &record->attributes.access, &record->attributes.inherited);
    struct stat live;
    int parent = stream->live_parent.fd;
    if (!directory && parent >= 0 && fstatat(parent, placing->name, &live, AT_SYMLINK_NOFOLLOW) == 0) {
        record->has_live = true;
        record->live = (struct owner){live.st_uid, live.st_gid};
    }
    memcpy(record->path, placing->path, strlen(placing->path) + 1);
    return late_add(stream->late, record) == 0 ? 0 : cannot_place(placing, "cannot note");
}

/* The last entry of a name stands, as when a tar is unpacked; a directory is replaced only when it is empty. */
static int make_room(const struct placing *placing)
{
    int parent = placing->stream->staged_parent;
    if (unlinkat(parent, placing->name, 0) == 0 ||
        (errno == EISDIR && unlinkat(parent, placing->name, AT_REMOVEDIR) == 0)) {
        return 0;
    }
    return cannot_place(placing, "cannot replace");
}

static int write_blocks(struct placing *placing, int fd, int64_t size)
{
    const void *bytes;
    size_t count;
    int64_t offset = 0, end = 0;
    int result;
    while ((result = archive_read_data_block(placing->archive, &bytes, &count, &offset)) == ARCHIVE_OK ||
           result == ARCHIVE_WARN) {
        for (size_t done = 0; done < count;) {
            ssize_t put = pwrite(fd, (const char *)bytes + done, count - done, offset + (int64_t)done);
            if (put < 0 && errno == EINTR) {
                continue;
            }
            if (put < 0) {
                return cannot_place(placing, "cannot write");
            }
            done += (size_t)put;
        }
        end = offset + (int64_t)count;
        placing->stream->bytes += count;
        if (stage_check_space(placing->stream, placing->mapping, count) != 0) {
            return -1;
        }
    }
    if (result != ARCHIVE_EOF) {
        return problem_set(placing->stream->stage->problem, EXIT_INTEGRITY, "%.1000s cannot be read: %s", placing->path,
                           archive_error_string(placing->archive));
    }
    return end == size || ftruncate(fd, size) == 0 ? 0 : cannot_place(placing, "cannot set the size of");
}

static int write_file(struct placing *placing)
{
    int flags = O_WRONLY | O_EXCL | O_NOFOLLOW;
    int opened = tree_create(placing->stream->staged_parent, placing->name, flags, 0600);
    if (opened < 0 && errno == EEXIST && make_room(placing) == 0) {
        opened = tree_create(placing->stream->staged_parent, placing->name, flags, 0600);
    }
    cleanup_close int fd = opened;
    if (fd < 0) {
        return cannot_place(placing, "cannot make");
    }
    uint64_t before = placing->stream->bytes;
    int64_t size = archive_entry_size(placing->entry);
    if (write_blocks(placing, fd, size) != 0) {
        return -1;
    }
    placing->stream->bytes = before + (uint64_t)size; /* holes count as what they read as */
    mode_t mode = archive_entry_perm(placing->entry);
    struct acl_value access, inherited;
    acls_of(placing, &access, &inherited);
    if (fchown(fd, placing->owner.uid, placing->owner.gid) != 0 || fchmod(fd, mode & 01777) != 0) {
        return cannot_place(placing, "cannot set owner and mode of");
    }
    if (apply_xattrs(placing, fd) != 0 ||
        (access.size != 0 && apply_xattr(placing, fd, ACL_ACCESS_NAME, access.bytes, access.size) != 0)) {
        return -1;
    }
    struct timespec times[2] = {{0, UTIME_OMIT}, time_of(placing->entry)};
    if (futimens(fd, times) != 0) {
        return cannot_place(placing, "cannot set the time of");
    }
    return (mode & (S_ISUID | S_ISGID)) != 0 ? note_late(placing, false) : 0;
}

static int make_directory(struct placing *placing)
{
    int parent = placing->stream->staged_parent;
    if (mkdirat(parent, placing->name, 0700) != 0) {
        struct stat status;
        bool there = errno == EEXIST && fstatat(parent, placing->name, &status, AT_SYMLINK_NOFOLLOW) == 0;
        if (!there) {
            return cannot_place(placing, "cannot make");
        }
        if (!S_ISDIR(status.st_mode) && (make_room(placing) != 0 || mkdirat(parent, placing->name, 0700) != 0)) {
            return cannot_place(placing, "cannot make");
        }
    }
    if (archive_entry_xattr_count(placing->entry) != 0) {
        cleanup_close int fd = tree_open(parent, placing->name, O_RDONLY | O_DIRECTORY);
        if (fd < 0) {
            return cannot_place(placing, "cannot open");
        }
        if (apply_xattrs(placing, fd) != 0) {
            return -1;
        }
    }
    return note_late(placing, true);
}

/* Owner and time of what is not opened: symlinks, FIFOs, devices. */
static int finish_special(const struct placing *placing)
{
    int parent = placing->stream->staged_parent;
    struct timespec times[2] = {{0, UTIME_OMIT}, time_of(placing->entry)};
    if (fchownat(parent, placing->name, placing->owner.uid, placing->owner.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        utimensat(parent, placing->name, times, AT_SYMLINK_NOFOLLOW) != 0) {
        return cannot_place(placing, "cannot set the owner of");
    }
    return 0;
}

static int make_symlink(struct placing *placing)
{
    const char *target = archive_entry_symlink(placing->entry);
    int parent = placing->stream->staged_parent;
    if (target == NULL || *target == '\0') {
        return problem_set(placing->stream->stage->problem, EXIT_INTEGRITY, "the symlink %.1000s has no target",
                           placing->path);
    }
    int result = symlinkat(target, parent, placing->name);
    if (result != 0 && errno == EEXIST && make_room(placing) == 0) {
        result = symlinkat(target, parent, placing->name);
    }
    return result != 0 ? cannot_place(placing, "cannot make the symlink") : finish_special(placing);
}

static int make_node(struct placing *placing, mode_t type)
{
    int parent = placing->stream->staged_parent;
    mode_t mode = type | (archive_entry_perm(placing->entry) & 01777);
    dev_t device = type == S_IFIFO ? 0 : archive_entry_rdev(placing->entry);
    int result = mknodat(parent, placing->name, mode, device);
    if (result != 0 && errno == EEXIST && make_room(placing) == 0) {
        result = mknodat(parent, placing->name, mode, device);
    }
    if (result != 0 && errno == EPERM && type != S_IFIFO) {
        if (may_warn(&placing->stream->warned.devices)) {
            channel_warn(placing->stream->stage->channel,
                         "the device node %.1000s was not made: it is not permitted here", placing->path);
        }
        return 0;
    }
    return result != 0 ? cannot_place(placing, "cannot make") : finish_special(placing);
}

static int make_link(struct placing *placing, const char *target)
{
    struct stream *stream = placing->stream;
    struct problem *problem = stream->stage->problem;
    char within[TREE_PATH_MAX], parent[TREE_PATH_MAX];
    struct mapping *mapping;
    target += strncmp(target, "./", 2) == 0 ? 2 : 0;
    if (*target == '\0' || !tree_path_is_sound(target) || locate(stream, target, &mapping, within) != 0 ||
        mapping->area != placing->mapping->area) {
        return problem_set(problem, EXIT_INTEGRITY, "the hard link %.1000s leads out of its volume", placing->path);
    }
    const char *name = tree_split(within, parent);
    cleanup_close int fd = tree_open(mapping->new_fd, parent, O_PATH | O_DIRECTORY);
    if (fd < 0) {
        return problem_set(problem, EXIT_INTEGRITY, "the hard link %.1000s leads to nothing earlier", placing->path);
    }
    int result = linkat(fd, name, stream->staged_parent, placing->name, 0);
    if (result != 0 && errno == EEXIST && strcmp(within, placing->path) != 0 && make_room(placing) == 0) {
        result = linkat(fd, name, stream->staged_parent, placing->name, 0);
    }
    if (result != 0 && (errno == ENOENT || errno == EPERM || errno == EEXIST)) {
        return problem_set(problem, EXIT_INTEGRITY, "the hard link %.1000s leads to nothing earlier", placing->path);
    }
    return result != 0 ? cannot_place(placing, "cannot make the hard link") : 0;
}

static int set_back(void *context, int parent, const char *name, const struct stat *status)
{
    (void)context;
    /* chown clears setuid and setgid; files that have them are in the late records */
    return status->st_uid == 0 && status->st_gid == 0 ? 0 : fchownat(parent, name, 0, 0, AT_SYMLINK_NOFOLLOW);
}

/* The archive knows owners after all: what was staged so far, all 0:0 there, is given back to root. */
static int set_back_owners(struct stream *stream)
{
    for (size_t i = 0; i < stream->mapping_count; i++) {
        const struct mapping *mapping = &stream->mappings[i];
        if (mapping->comparing || mapping->discarding) {
            continue;
        }
        cleanup_close int fd = tree_open(mapping->new_fd, mapping->base, O_RDONLY | O_DIRECTORY);
        if (fd < 0 ? errno != ENOENT : tree_walk(fd, set_back, NULL) != 0) {
            return problem_errno(stream->stage->problem, "cannot set owners in", mapping->base);
        }
    }
    return 0;
}

static int place_root(struct placing *placing)
{
    if (archive_entry_filetype(placing->entry) != AE_IFDIR) {
        return problem_set(placing->stream->stage->problem, EXIT_INTEGRITY, "the volume's root is no directory");
    }
    return note_late(placing, true);
}

static int place_by_type(struct placing *placing)
{
    const char *link = archive_entry_hardlink(placing->entry);
    if (link != NULL) {
        return make_link(placing, link);
    }
    switch (archive_entry_filetype(placing->entry)) {
    case AE_IFREG:
        return write_file(placing);
    case AE_IFDIR:
        return make_directory(placing);
    case AE_IFLNK:
        return make_symlink(placing);
    case AE_IFIFO:
        return make_node(placing, S_IFIFO);
    case AE_IFCHR:
        return make_node(placing, S_IFCHR);
    case AE_IFBLK:
        return make_node(placing, S_IFBLK);
    default:
        return problem_set(placing->stream->stage->problem, EXIT_INTEGRITY,
                           "%.1000s is of a kind that cannot be restored", placing->path);
    }
}

static int place_mapped(struct placing *placing)
{
    struct stream *stream = placing->stream;
    if (owners_learn(&stream->owners, placing->archived) && set_back_owners(stream) != 0) {
        return -1;
    }
    if (*placing->path == '\0') {
        return place_root(placing);
    }
    char parent[TREE_PATH_MAX];
    placing->name = tree_split(placing->path, parent);
    if (place_enter(stream, placing->mapping, parent) != 0 || stage_check_space(stream, placing->mapping, 4096) != 0) {
        return -1;
    }
    if (owners_choose(&stream->owners, &stream->live_parent, placing->name, placing->archived, &placing->owner) != 0) {
        return problem_errno(stream->stage->problem, "cannot find out the owner of", placing->path);
    }
    return place_by_type(placing);
}

int place_entry(struct stream *stream, struct archive *archive, struct archive_entry *entry)
{
    char path[TREE_PATH_MAX], within[TREE_PATH_MAX];
    struct mapping *mapping;
    if (entry_path(entry, path, stream->stage->problem) == NULL || locate(stream, path, &mapping, within) != 0) {
        return -1;
    }
    stream->entries += *path == '\0' ? 0 : 1;
    if (mapping->discarding) {
        stream->bytes += archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == NULL
                             ? (uint64_t)archive_entry_size(entry)
                             : 0;
        return 0;
    }
    if (mapping->comparing) {
        return compare_entry(stream, mapping, within, archive, entry);
    }
    struct placing placing = {.stream = stream, .mapping = mapping, .archive = archive, .entry = entry, .path = within};
    placing.archived = (struct owner){(uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)};
    return place_mapped(&placing);
}

static void strip_special(struct stream *stream, struct late_record *record, struct owner given)
{
    struct owner *live = record->has_live ? &record->live : NULL;
    mode_t mode = record->attributes.mode;
    if (record->directory || owners_keep_special(&stream->owners, mode, given, live)) {
        return;
    }
    record->attributes.mode = mode & ~(mode_t)(S_ISUID | S_ISGID);
    if (may_warn(&stream->warned.special)) {
        channel_warn(stream->stage->channel,
                     "%.1000s lost its setuid or setgid bit: the restore would have made it root's", record->path);
    }
}

/*
 * Archives without owners were made by `docker cp` into a folder of the backup's host, which passes over the root
 * itself: what they say of it is that folder's. The live root keeps owner, mode and ACLs.
 */
static int keep_live_root(const struct stream *stream, const struct mapping *mapping, struct late_record *record)
{
    if (*record->path != '\0' || record->fixed || !owners_are_mapped(&stream->owners)) {
        return 0;
    }
    struct timespec modified = record->attributes.modified;
    if (attributes_read(mapping->live_fd, &record->attributes) != 0) {
        return -1;
    }
    record->attributes.modified = modified;
    record->fixed = true;
    return 0;
}

/* What was noted for a path may have been replaced since by an entry of another kind. */
static bool was_replaced(const struct stat *status, const struct late_record *record)
{
    return (record->directory ? !S_ISDIR(status->st_mode) : !S_ISREG(status->st_mode));
}

static int apply_late(void *context, struct late_record *record)
{
    struct stream *stream = context;
    const struct mapping *mapping = &stream->mappings[record->mapping];
    int kind = record->directory ? O_DIRECTORY : O_NOFOLLOW | O_NONBLOCK;
    cleanup_close int fd = tree_open(mapping->new_fd, record->path, O_RDONLY | kind);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) != 0) {
        return problem_errno(stream->stage->problem, "cannot look at", record->path);
    }
    if (fd < 0 ? errno == ENOENT || errno == ENOTDIR || errno == ELOOP : was_replaced(&status, record)) {
        return 0;
    }
    if (keep_live_root(stream, mapping, record) != 0) {
        return problem_errno(stream->stage->problem, "cannot read the attributes of", "a root");
    }
    if (!record->fixed) {
        struct owner archived = {record->attributes.uid, record->attributes.gid};
        struct owner given = owners_are_mapped(&stream->owners) ? record->mapped : archived;
        record->attributes.uid = given.uid;
        record->attributes.gid = given.gid;
        strip_special(stream, record, given);
    }
    if (fd < 0 || attributes_apply(fd, &record->attributes) != 0) {
        return problem_errno(stream->stage->problem, "cannot set owner and mode of", record->path);
    }
    return 0;
}

int place_finish(struct stream *stream)
{
    place_leave(stream);
    int result = late_replay(stream->late, apply_late, stream);
    return result == 0 ? 0 : problem_errno(stream->stage->problem, "cannot set the attributes of", "directories");
}
