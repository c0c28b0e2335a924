/* Directory trees by descriptor. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

static int open_how(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = (uint32_t)flags | (uint32_t)O_CLOEXEC, .mode = mode, .resolve = resolve};
    for (;;) {
        int fd = (int)syscall(SYS_openat2, dir, *path == '\0' ? "." : path, &how, sizeof how);
        /* EAGAIN: a rename elsewhere raced with the kernel's look at `..` */
        if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) {
            return fd;
        }
    }
}

#define RESOLVE_WITHIN (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

int tree_open(int dir, const char *path, int flags)
{
    return open_how(dir, path, flags, 0, RESOLVE_WITHIN | RESOLVE_NO_XDEV);
}

int tree_create(int dir, const char *path, int flags, mode_t mode)
{
    return open_how(dir, path, flags | O_CREAT, mode, RESOLVE_WITHIN | RESOLVE_NO_XDEV);
}

int tree_open_mount(int dir, const char *path, int flags)
{
    return open_how(dir, path, flags, 0, RESOLVE_WITHIN);
}

DIR *tree_list(int dir)
{
    int fd = tree_open(dir, ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return NULL;
    }
    DIR *list = fdopendir(fd);
    if (list == NULL) {
        int error = errno;
        close(fd);
        errno = error;
    }
    return list;
}

struct dirent *tree_next(DIR *list)
{
    struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(list);
    } while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry;
}

static int walk(int dir, tree_visitor visit, void *context, unsigned depth);

static int walk_entry(int dir, const char *name, tree_visitor visit, void *context, unsigned depth)
{
    struct stat status;
    if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : -1;
    }
    if (S_ISDIR(status.st_mode)) {
        cleanup_close int child = tree_open(dir, name, O_RDONLY | O_DIRECTORY);
        if (child < 0) {
            return errno == EXDEV || errno == ENOENT ? 0 : -1;
        }
        int result = walk(child, visit, context, depth + 1);
        if (result != 0) {
            return result;
        }
    }
    return visit(context, dir, name, &status);
}

static int walk(int dir, tree_visitor visit, void *context, unsigned depth)
{
    if (depth > TREE_DEPTH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    cleanup_closedir DIR *list = tree_list(dir);
    if (list == NULL) {
        return -1;
    }
    struct dirent *entry;
    while ((entry = tree_next(list)) != NULL) {
        int result = walk_entry(dir, entry->d_name, visit, context, depth);
        if (result != 0) {
            return result;
        }
    }
    return errno == 0 ? 0 : -1;
}

int tree_walk(int dir, tree_visitor visit, void *context)
{
    return walk(dir, visit, context, 0);
}

static int remove_visited(void *context, int parent, const char *name, const struct stat *status)
{
    (void)context;
    int result = unlinkat(parent, name, S_ISDIR(status->st_mode) ? AT_REMOVEDIR : 0);
    return result == 0 || errno == ENOENT ? 0 : -1;
}

int tree_remove(int parent, const char *name)
{
    return walk_entry(parent, name, remove_visited, NULL, 0);
}

int tree_make(int parent, const char *name)
{
    if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST) {
        return -1;
    }
    return tree_open(parent, name, O_RDONLY | O_DIRECTORY);
}

const char *tree_split(const char *path, char parent[TREE_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    memcpy(parent, path, length);
    parent[length] = '\0';
    return slash == NULL ? path : slash + 1;
}

int tree_join(char out[TREE_PATH_MAX], const char *first, const char *second)
{
    const char *between = *first != '\0' && *second != '\0' ? "/" : "";
    int length = snprintf(out, TREE_PATH_MAX, "%s%s%s", first, between, second);
    if (length < 0 || length >= TREE_PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

bool tree_below(const char *path, const char *prefix, const char **rest)
{
    size_t length = strlen(prefix);
    if (strncmp(path, prefix, length) != 0) {
        return false;
    }
    if (length != 0 && path[length] != '\0' && path[length] != '/') {
        return false;
    }
    *rest = path + length + (length != 0 && path[length] == '/' ? 1 : 0);
    return true;
}

bool tree_path_is_sound(const char *path)
{
    if (strlen(path) >= TREE_PATH_MAX) {
        return false;
    }
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        if (length == 0 || length > 255 || (length == 1 && path[0] == '.') ||
            (length == 2 && path[0] == '.' && path[1] == '.')) {
            return false;
        }
        if (path[length] == '/' && path[length + 1] == '\0') {
            return false;
        }
        path += length + (path[length] == '/' ? 1 : 0);
    }
    return true;
}
