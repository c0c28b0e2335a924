/* A volume that several services share is staged once; further copies of it in the archive must say the same. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage.h"

static bool same_bytes(int fd, int64_t offset, const char *bytes, size_t size)
{
    char buffer[16 * 1024];
    while (size > 0) {
        ssize_t got = pread(fd, buffer, size < sizeof buffer ? size : sizeof buffer, offset);
        if (got <= 0 || memcmp(buffer, bytes, (size_t)got) != 0) {
            return false;
        }
        offset += got;
        bytes += got;
        size -= (size_t)got;
    }
    return true;
}

static int compare_contents(struct stream *stream, int fd, struct archive *archive)
{
    const void *bytes;
    size_t count;
    int64_t offset;
    int result;
    while ((result = archive_read_data_block(archive, &bytes, &count, &offset)) == ARCHIVE_OK ||
           result == ARCHIVE_WARN) {
        if (fd < 0 || !same_bytes(fd, offset, bytes, count)) {
            stream->different = true;
        }
    }
    return result == ARCHIVE_EOF ? 0
                                 : problem_set(stream->stage->problem, EXIT_INTEGRITY,
                                               "a volume's tar cannot be read: %s", archive_error_string(archive));
}

static bool same_target(int fd, const char *target)
{
    char staged[TREE_PATH_MAX];
    ssize_t length = readlinkat(fd, "", staged, sizeof staged);
    return target != NULL && length >= 0 && (size_t)length == strlen(target) &&
           memcmp(staged, target, (size_t)length) == 0;
}

/* setuid and setgid are left out: what became of them depended on owners. */
static bool same_kind(const struct stat *status, struct archive_entry *entry, bool unfinished)
{
    if (archive_entry_hardlink(entry) != NULL) {
        return !S_ISDIR(status->st_mode);
    }
    if ((status->st_mode & S_IFMT) != archive_entry_filetype(entry)) {
        return false;
    }
    if (S_ISREG(status->st_mode) && status->st_size != archive_entry_size(entry)) {
        return false;
    }
    bool modeless = S_ISLNK(status->st_mode) || (S_ISDIR(status->st_mode) && unfinished);
    return modeless || (status->st_mode & 01777) == (archive_entry_perm(entry) & 01777);
}

int compare_entry(struct stream *stream, struct mapping *mapping, const char *path, struct archive *archive,
                  struct archive_entry *entry)
{
    if (*path == '\0') {
        return 0; /* the root's own attributes may be the live ones */
    }
    cleanup_close int fd = tree_open(mapping->new_fd, path, O_PATH | O_NOFOLLOW);
    struct stat status;
    bool there = fd >= 0 && fstat(fd, &status) == 0;
    if (!there || !same_kind(&status, entry, mapping->unfinished)) {
        stream->different = true;
        there = false;
    } else if (S_ISLNK(status.st_mode) && archive_entry_hardlink(entry) == NULL) {
        stream->different = stream->different || !same_target(fd, archive_entry_symlink(entry));
    }
    if (archive_entry_hardlink(entry) != NULL || archive_entry_filetype(entry) != AE_IFREG) {
        return 0;
    }
    stream->bytes += (uint64_t)archive_entry_size(entry);
    cleanup_close int contents = there ? tree_open(mapping->new_fd, path, O_RDONLY | O_NOFOLLOW) : -1;
    return compare_contents(stream, contents, archive);
}
