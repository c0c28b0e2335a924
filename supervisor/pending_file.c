/* A file that is opened at the start of a run and gets its name at the end. */
#include "pending_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

/* Moves a descriptor to its number. Returns 0, or -1 with errno; `from` is closed. */
static int move_to(int from, int number)
{
    int moved = from < 0 ? -1 : dup3(from, number, O_CLOEXEC);
    int cause = errno;
    if (from >= 0) {
        close(from);
    }
    errno = cause;
    return moved < 0 ? -1 : 0;
}

static int fail(char *error, size_t size, const char *path, const char *cause)
{
    snprintf(error, size, "cannot write '%s': %s", path, cause);
    return -1;
}

int pending_open(struct pending_file *file, const char *path, const char *run, int fd, int directory, char *error,
                 size_t error_size)
{
    char copy[PATH_MAX];
    struct stat status;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    file->fd = -1;
    if (strlen(path) >= sizeof copy || strlen(name) >= sizeof file->name || name[0] == '\0') {
        return fail(error, error_size, path, "that is no name of a file");
    }
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        return fail(error, error_size, path, "something that is no regular file is there");
    }
    strcpy(copy, path);
    strcpy(file->name, name);
    snprintf(file->temporary, sizeof file->temporary, ".%s.%.32s", name, run);
    if (move_to(open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC), directory) != 0) {
        return fail(error, error_size, path, strerror(errno));
    }
    if (move_to(openat(directory, file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644), fd) !=
        0) {
        return fail(error, error_size, path, strerror(errno));
    }
    file->fd = fd;
    file->directory = directory;
    return 0;
}

int pending_commit(struct pending_file *file, const char *text, size_t size)
{
    if (write_full(file->fd, text, size) != 0 || fdatasync(file->fd) != 0 ||
        renameat(file->directory, file->temporary, file->directory, file->name) != 0) {
        return -1;
    }
    return 0;
}
