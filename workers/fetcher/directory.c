/* The store in a directory. */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "descriptors.h"
#include "exit_codes.h"
#include "io.h"
#include "log.h"

#define STORE FD_FIRST_FREE
#define CHUNK (256 * 1024)
#define PROGRESS_MS 250
/* The policy allows openat with just these. */
#define FILE_FLAGS (O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

static void cleanup_closedir_value(DIR **directory)
{
    if (*directory != NULL) {
        closedir(*directory);
    }
}

enum outcome directory_open(const char *path, struct problem *problem)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return problem_set(problem, EXIT_STORAGE, "the directory '%s' of S3_BUCKET_URL cannot be opened: %s", path,
                           strerror(errno));
    }
    if (fd != STORE) {
        dup3(fd, STORE, O_CLOEXEC);
        close(fd);
    }
    return OUTCOME_OK;
}

/* A relative path that stays below its beginning. Landlock holds the line; this makes a clear message of it. */
static bool plain_path(const char *path)
{
    char padded[S3_KEY_MAX + 3];
    int length = snprintf(padded, sizeof padded, "/%s/", path);
    return path[0] != '\0' && length > 0 && (size_t)length < sizeof padded && strstr(padded, "//") == NULL &&
           strstr(padded, "/../") == NULL && strstr(padded, "/./") == NULL;
}

static void describe(const struct stat *status, struct answer *answer)
{
    *answer = (struct answer){.size = (uint64_t)status->st_size,
                              .modified = status->st_mtim.tv_sec > 0 ? (uint64_t)status->st_mtim.tv_sec : 0};
    snprintf(answer->etag, sizeof answer->etag, "\"%ju-%jd-%jd-%ld\"", (uintmax_t)status->st_ino,
             (intmax_t)status->st_size, (intmax_t)status->st_mtim.tv_sec, status->st_mtim.tv_nsec);
}

/*
 * Opens a regular file of the store. *fd is -1 or the caller's to close, whatever the outcome. *unfit: it failed
 * because of what the name is (a folder, a link, a file that we may not read), not because the store could not be read.
 */
static enum outcome open_object(const char *key, int *fd, struct stat *status, bool *unfit, struct problem *problem)
{
    *unfit = false;
    *fd = -1;
    if (!plain_path(key)) {
        return problem_set(problem, EXIT_USAGE, "the name '%s' leads out of the store", key);
    }
    *fd = openat(STORE, key, FILE_FLAGS);
    if (*fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return OUTCOME_MISSING;
    }
    if (*fd < 0) {
        *unfit = errno == ELOOP || errno == EACCES || errno == EPERM || errno == ENXIO;
        return problem_set(problem, EXIT_STORAGE, "the file '%s' of the store cannot be opened: %s", key,
                           strerror(errno));
    }
    if (fstat(*fd, status) != 0) {
        return problem_set(problem, EXIT_STORAGE, "the file '%s' of the store cannot be read: %s", key,
                           strerror(errno));
    }
    if (!S_ISREG(status->st_mode)) {
        *unfit = true;
        return problem_set(problem, EXIT_STORAGE, "'%s' in the store is no regular file", key);
    }
    return OUTCOME_OK;
}

/* A backup that cannot be read now may be the newest: a list without it would be a wrong one. */
static enum outcome list_entry(const char *folder, const char *name, s3_listed_handler handler, void *context,
                               struct problem *problem)
{
    char key[S3_KEY_MAX + 1];
    int length = snprintf(key, sizeof key, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);
    if (length < 0 || (size_t)length >= sizeof key) {
        return OUTCOME_OK;
    }
    struct answer answer;
    struct stat status = {0};
    bool unfit;
    cleanup_close int fd = -1;
    enum outcome outcome = open_object(key, &fd, &status, &unfit, problem);
    if (outcome == OUTCOME_FAILED && unfit) {
        log_warning("left out of the list: %s", problem->text);
    }
    if (outcome != OUTCOME_OK) {
        return outcome == OUTCOME_FAILED && !unfit ? OUTCOME_FAILED : OUTCOME_OK;
    }
    describe(&status, &answer);
    struct s3_listed object = {
        .key = key, .etag = answer.etag, .version_id = "", .size = answer.size, .modified = answer.modified};
    return handler(context, &object) == 0 ? OUTCOME_OK : OUTCOME_INTERRUPTED;
}

enum outcome directory_list(const char *folder, const char *name, s3_listed_handler handler, void *context,
                            struct problem *problem)
{
    if (folder[0] != '\0' && !plain_path(folder)) {
        return problem_set(problem, EXIT_USAGE, "the path '%s' leads out of the store", folder);
    }
    int fd = openat(STORE, folder[0] == '\0' ? "." : folder, FOLDER_FLAGS);
    __attribute__((cleanup(cleanup_closedir_value))) DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        return problem_set(problem, EXIT_STORAGE, "the folder '%s' of the store cannot be read: %s", folder,
                           strerror(errno));
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL; errno = 0) {
        if (strncmp(entry->d_name, name, strlen(name)) != 0) {
            continue;
        }
        enum outcome outcome = list_entry(folder, entry->d_name, handler, context, problem);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    return errno == 0 ? OUTCOME_OK
                      : problem_set(problem, EXIT_STORAGE, "the folder '%s' of the store cannot be read: %s", folder,
                                    strerror(errno));
}

enum outcome directory_head(const char *key, struct answer *answer, struct problem *problem)
{
    struct stat status = {0};
    bool unfit;
    cleanup_close int fd = -1;
    enum outcome outcome = open_object(key, &fd, &status, &unfit, problem);
    if (outcome == OUTCOME_OK) {
        describe(&status, answer);
    }
    return outcome;
}

static enum outcome check_same(int fd, const struct ranges_object *object, struct problem *problem)
{
    struct stat status;
    struct answer answer;
    if (fstat(fd, &status) != 0) {
        return problem_set(problem, EXIT_STORAGE, "'%s' in the store: %s", object->key, strerror(errno));
    }
    describe(&status, &answer);
    bool same = answer.size == object->size && (object->etag[0] == '\0' || strcmp(answer.etag, object->etag) == 0);
    return same ? OUTCOME_OK
                : problem_set(problem, EXIT_STORAGE,
                              "'%s' in the store was changed while it was being read: start again", object->key);
}

static enum outcome copy(int fd, const struct ranges_object *object, int out, ranges_progress progress, void *context,
                         struct problem *problem)
{
    static uint8_t chunk[CHUNK];
    int64_t next_report = 0;
    for (uint64_t done = 0; done < object->size;) {
        uint64_t left = object->size - done;
        ssize_t got = read_full(fd, chunk, left < sizeof chunk ? (size_t)left : sizeof chunk);
        if (got <= 0) {
            return problem_set(problem, EXIT_STORAGE, "'%s' in the store cannot be read to its end: %s", object->key,
                               got == 0 ? "it became shorter" : strerror(errno));
        }
        if (write_full(out, chunk, (size_t)got) != 0) {
            return problem_set(problem, EXIT_INTERNAL, "object '%s': the reader of the download has gone", object->key);
        }
        done += (uint64_t)got;
        if (clock_ms() >= next_report) {
            next_report = clock_ms() + PROGRESS_MS;
            if (progress(context, done) != 0) {
                return OUTCOME_INTERRUPTED;
            }
        }
    }
    return OUTCOME_OK;
}

enum outcome directory_get(const struct ranges_object *object, int out, ranges_progress progress, void *context,
                           struct problem *problem)
{
    struct stat status = {0};
    bool unfit;
    cleanup_close int fd = -1;
    enum outcome outcome = open_object(object->key, &fd, &status, &unfit, problem);
    if (outcome == OUTCOME_MISSING) {
        return problem_set(problem, EXIT_STORAGE, "'%s' is no longer in the store", object->key);
    }
    if (outcome == OUTCOME_OK) {
        outcome = check_same(fd, object, problem);
    }
    if (outcome == OUTCOME_OK) {
        outcome = copy(fd, object, out, progress, context, problem);
    }
    return outcome == OUTCOME_OK ? check_same(fd, object, problem) : outcome;
}

enum outcome directory_read(const char *key, uint8_t *bytes, size_t room, size_t *size, struct problem *problem)
{
    struct stat status = {0};
    bool unfit;
    cleanup_close int fd = -1;
    enum outcome outcome = open_object(key, &fd, &status, &unfit, problem);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    ssize_t got = status.st_size > (off_t)room ? -1 : read_full(fd, bytes, room);
    if (got < 0) {
        return problem_set(problem, EXIT_STORAGE, "'%s' in the store cannot be read, or is larger than such a file",
                           key);
    }
    *size = (size_t)got;
    return OUTCOME_OK;
}
