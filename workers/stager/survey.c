/* Names and attributes of a tree as one SHA-256; see survey.h. */
#include "survey.h"

/* The old interface of SHA-256: a struct and no heap, and of libcrypto nothing else is linked in. */
#define OPENSSL_API_COMPAT 0x10101000L
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "tree.h"

struct names {
    char **list;
    size_t count;
    size_t room;
};

struct surveyor {
    SHA256_CTX hash;
    struct survey *survey;
};

static void cleanup_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->list[i]);
    }
    free(names->list);
}

static int add_name(struct names *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 64 : names->room * 2;
        char **list = reallocarray(names->list, room, sizeof *list);
        if (list == NULL) {
            return -1;
        }
        names->list = list;
        names->room = room;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return -1;
    }
    names->list[names->count++] = copy;
    return 0;
}

/* Lets the name at `at` sink to its place in a heap of `count` names, the largest on top. */
static void sink(char **list, size_t at, size_t count)
{
    for (size_t child = 2 * at + 1; child < count; at = child, child = 2 * at + 1) {
        if (child + 1 < count && strcmp(list[child], list[child + 1]) < 0) {
            child++;
        }
        if (strcmp(list[at], list[child]) >= 0) {
            return;
        }
        char *larger = list[child];
        list[child] = list[at];
        list[at] = larger;
    }
}

/* glibc's qsort asks the kernel how much memory there is, which the policy forbids. */
static void sort(char **list, size_t count)
{
    for (size_t at = count / 2; at-- > 0;) {
        sink(list, at, count);
    }
    for (size_t end = count; end > 1; end--) {
        char *largest = list[0];
        list[0] = list[end - 1];
        list[end - 1] = largest;
        sink(list, 0, end - 1);
    }
}

static int read_names(int dir, struct names *names)
{
    cleanup_closedir DIR *list = tree_list(dir);
    struct dirent *entry = NULL;
    while (list != NULL && (entry = tree_next(list)) != NULL) {
        if (add_name(names, entry->d_name) != 0) {
            return -1;
        }
    }
    if (list == NULL || errno != 0) {
        return -1;
    }
    sort(names->list, names->count);
    return 0;
}

static int survey_directory(struct surveyor *surveyor, int dir, unsigned depth);

static int feed_entry(struct surveyor *surveyor, int dir, const char *name, const struct stat *status)
{
    char facts[160];
    char target[TREE_PATH_MAX + 1];
    uint64_t size = S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0;
    int length =
        snprintf(facts, sizeof facts, "%o %u %u %llu %lld.%09ld", status->st_mode, status->st_uid, status->st_gid,
                 (unsigned long long)size, (long long)status->st_mtim.tv_sec, status->st_mtim.tv_nsec);
    SHA256_Update(&surveyor->hash, name, strlen(name) + 1);
    SHA256_Update(&surveyor->hash, facts, (size_t)length + 1);
    surveyor->survey->entries++;
    surveyor->survey->bytes += size;
    if (!S_ISLNK(status->st_mode)) {
        return 0;
    }
    ssize_t got = readlinkat(dir, name, target, TREE_PATH_MAX);
    if (got < 0) {
        return -1;
    }
    target[got] = '\0';
    SHA256_Update(&surveyor->hash, target, (size_t)got + 1);
    return 0;
}

static int survey_entry(struct surveyor *surveyor, int dir, const char *name, unsigned depth)
{
    struct stat status;
    if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : -1;
    }
    cleanup_close int child = -1;
    if (S_ISDIR(status.st_mode)) {
        child = tree_open(dir, name, O_RDONLY | O_DIRECTORY);
        if (child < 0) {
            return errno == EXDEV || errno == ENOENT ? 0 : -1;
        }
    }
    if (feed_entry(surveyor, dir, name, &status) != 0) {
        return -1;
    }
    return child < 0 ? 0 : survey_directory(surveyor, child, depth + 1);
}

static int survey_directory(struct surveyor *surveyor, int dir, unsigned depth)
{
    struct names names __attribute__((cleanup(cleanup_names))) = {0};
    if (depth > TREE_DEPTH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (read_names(dir, &names) != 0) {
        return -1;
    }
    for (size_t i = 0; i < names.count; i++) {
        if (survey_entry(surveyor, dir, names.list[i], depth) != 0) {
            return -1;
        }
    }
    SHA256_Update(&surveyor->hash, "", 1);
    return 0;
}

int survey_tree(int dir, struct survey *survey)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    struct surveyor surveyor = {.survey = survey};
    *survey = (struct survey){0};
    if (SHA256_Init(&surveyor.hash) != 1 || survey_directory(&surveyor, dir, 0) != 0 ||
        SHA256_Final(digest, &surveyor.hash) != 1) {
        return -1;
    }
    for (size_t i = 0; i < sizeof digest; i++) {
        snprintf(survey->sha256 + 2 * i, 3, "%02x", digest[i]);
    }
    return 0;
}
