/* The entry policy: whatever an archive names, what is let through stays below its volume. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "workers/unpacker/entry_policy.h"

#define NAMES_ROOM (1U << 20)

/* Relative, and without a component that leads up. */
static void check_inside(const char *path)
{
    if (path[0] == '/' || strlen(path) >= ENTRY_PATH_SIZE) {
        abort();
    }
    for (const char *at = path; *at != '\0';) {
        size_t length = strcspn(at, "/");
        if (length == 0 || length > ENTRY_COMPONENT_MAX || (length == 2 && memcmp(at, "..", 2) == 0) ||
            (length == 1 && at[0] == '.')) {
            abort();
        }
        at += length + (at[length] == '/' ? 1 : 0);
    }
}

static void judge(struct entry_policy *policy, unsigned char kind, char *path)
{
    static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK, 0};
    char *link = strchr(path, '\n');
    if (link != NULL) {
        *link++ = '\0';
    }
    struct entry_facts facts = {.path = path, .type = types[kind % 8], .size = kind};
    facts.hardlink = (kind & 8) != 0 ? link : NULL;
    facts.symlink = facts.type == S_IFLNK ? link : NULL;
    struct entry_ruling ruling;
    struct failure failure;
    if (entry_policy_judge(policy, &facts, &ruling, &failure) != 0 || ruling.skip || ruling.place != PLACE_VOLUME) {
        return;
    }
    check_inside(ruling.inside);
    if (ruling.link_inside != NULL) {
        check_inside(ruling.link_inside);
    }
    if (strncmp(ruling.inside, ".restore-", 9) == 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Records: a byte that gives type and flags, then name, newline and link target, ended by NUL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct name_set *names;
    static struct entry_policy policy;
    if (names == NULL) {
        names = name_set_new(NAMES_ROOM);
        if (names == NULL) {
            abort();
        }
    }
    policy = (struct entry_policy){.names = names, .max_entries = 1000, .max_bytes = 1U << 20};
    entry_policy_start(&policy);
    char *copy = malloc(size + 1);
    memcpy(copy, data, size);
    copy[size] = '\0';
    for (size_t at = 0; at + 1 < size;) {
        size_t length = strlen(copy + at + 1);
        judge(&policy, (unsigned char)copy[at], copy + at + 1);
        at += length + 2;
    }
    free(copy);
    return 0;
}
