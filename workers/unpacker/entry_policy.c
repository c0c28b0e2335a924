/* The rules for entries; see entry_policy.h. Each function is one rule or one step of reading a name. */
#include "entry_policy.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RESERVED_PREFIX ".restore-"

void entry_policy_start(struct entry_policy *policy)
{
    policy->entries = 0;
    policy->bytes = 0;
    policy->parent_size = 0;
    name_set_clear(policy->names);
}

static const char *wrong_component(const char *component, size_t size)
{
    if (size == 0) {
        return "has an empty component in its name";
    }
    if (size > ENTRY_COMPONENT_MAX) {
        return "has a component of more than 255 bytes in its name";
    }
    if (component[0] == '.' && size == 1) {
        return "has a component '.' in the midst of its name";
    }
    if (component[0] == '.' && component[1] == '.' && size == 2) {
        return "has a component '..' in its name";
    }
    return NULL;
}

/*
 * Copies a name without leading `./` and without one slash at its end. Returns NULL, or what is wrong with it.
 * The archive's own root (`.` or `./`) becomes "".
 */
static const char *normalise(const char *name, char out[ENTRY_PATH_SIZE], size_t *size)
{
    if (name[0] == '\0') {
        return "has no name";
    }
    if (name[0] == '/') {
        return "has an absolute name";
    }
    while (name[0] == '.' && name[1] == '/') {
        name += 2;
    }
    size_t length = strnlen(name, ENTRY_PATH_SIZE + 1);
    length -= length > 0 && name[length - 1] == '/' ? 1 : 0;
    if (length >= ENTRY_PATH_SIZE) {
        return "has a name of more than 4095 bytes";
    }
    memcpy(out, name, length);
    out[length] = '\0';
    *size = length;
    if (length == 0 || strcmp(out, ".") == 0) {
        out[0] = '\0';
        *size = 0;
        return name[0] == '/' ? "has an empty component in its name" : NULL;
    }
    size_t depth = 0;
    for (const char *at = out;; at++) {
        size_t component = strcspn(at, "/");
        const char *wrong = wrong_component(at, component);
        if (wrong != NULL) {
            return wrong;
        }
        if (++depth > ENTRY_DEPTH_MAX) {
            return "lies more than 512 directories deep";
        }
        at += component;
        if (*at == '\0') {
            return NULL;
        }
    }
}

static size_t component_at(const char *path, char out[256])
{
    size_t size = strcspn(path, "/");
    memcpy(out, path, size); /* normalise() let no component over 255 bytes pass */
    out[size] = '\0';
    return size;
}

static const char *below(const char *path, size_t component)
{
    return path[component] == '/' ? path + component + 1 : path + component;
}

static int place_dump(const char *rest, const char *dump, const char *errors, enum section_kind kind,
                      struct entry_ruling *ruling)
{
    ruling->kind = kind;
    if (rest[0] == '\0') {
        ruling->place = PLACE_ABOVE;
    } else if (strcmp(rest, dump) == 0) {
        ruling->place = PLACE_DUMP;
    } else if (strcmp(rest, errors) == 0) {
        ruling->place = PLACE_DUMP_ERRORS;
    } else {
        return -1;
    }
    return 0;
}

/* Where the normalised path lies. Returns 0, or -1 where no backup has anything. */
static int find_place(const char *path, struct entry_ruling *ruling)
{
    *ruling = (struct entry_ruling){.place = PLACE_ABOVE, .reason = "", .inside = ""};
    const char *rest = below(path, component_at(path, ruling->service));
    if (rest[0] == '\0') {
        return 0;
    }
    char area[256];
    rest = below(rest, component_at(rest, area));
    if (strcmp(area, "database") == 0) {
        return place_dump(rest, "pg_dumpall.sql", "pg_dumpall.errors", SECTION_POSTGRES, ruling);
    }
    if (strcmp(area, "mariadb_dump") == 0) {
        return place_dump(rest, "all_databases.sql", "mariadb_dump.errors", SECTION_MARIADB, ruling);
    }
    if (strcmp(area, "volumes") != 0) {
        return -1;
    }
    if (rest[0] == '\0') {
        return 0;
    }
    ruling->place = PLACE_VOLUME;
    ruling->kind = SECTION_VOLUME;
    ruling->inside = below(rest, component_at(rest, ruling->name));
    return 0;
}

static int refuse(const struct entry_facts *facts, const char *what, struct failure *failure)
{
    char text[SHOWN_SIZE];
    return fail_integrity(failure, "entry '%s' %s; the archive is not one that the backup makes, nothing of it is used",
                          shown(text, facts->path), what);
}

/* Places above and dumps have one type each; a volume's root is a directory. */
static const char *wrong_type(const struct entry_facts *facts, const struct entry_ruling *ruling)
{
    bool directory = facts->hardlink == NULL && S_ISDIR(facts->type);
    bool regular = facts->hardlink == NULL && S_ISREG(facts->type);
    if (ruling->place == PLACE_ABOVE && !directory) {
        return "stands where a directory belongs";
    }
    if ((ruling->place == PLACE_DUMP || ruling->place == PLACE_DUMP_ERRORS) && !regular) {
        return "stands where a regular file belongs";
    }
    if (ruling->place != PLACE_VOLUME) {
        return NULL;
    }
    if (ruling->inside[0] == '\0' && !directory) {
        return "is a volume's root and no directory";
    }
    if (strncmp(ruling->inside, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0) {
        return "has a name that is reserved for the restore itself (.restore-*)";
    }
    return NULL;
}

/* The rules for what can be inside a volume; sockets and, unless wanted, devices are left out. */
static const char *judge_type(const struct entry_policy *policy, const struct entry_facts *facts,
                              struct entry_ruling *ruling)
{
    if (facts->hardlink != NULL) {
        return NULL;
    }
    switch (facts->type & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFIFO:
        return NULL;
    case S_IFLNK:
        if (facts->symlink == NULL || facts->symlink[0] == '\0') {
            return "is a symbolic link without a target";
        }
        return strlen(facts->symlink) < ENTRY_PATH_SIZE ? NULL
                                                        : "is a symbolic link with a target of more than 4095 bytes";
    case S_IFCHR:
    case S_IFBLK:
        ruling->skip = !policy->restore_devices;
        ruling->reason = "device node; DEVICES=restore restores it";
        return NULL;
    case S_IFSOCK:
        ruling->skip = true;
        ruling->reason = "socket";
        return NULL;
    default:
        return "is of an unknown type";
    }
}

/* A hard link's target: an earlier entry of the same volume, and no directory. */
static const char *judge_link(struct entry_policy *policy, const struct entry_facts *facts, struct entry_ruling *ruling)
{
    if (facts->hardlink == NULL) {
        return NULL;
    }
    size_t size = 0;
    if (normalise(facts->hardlink, policy->link, &size) != NULL) {
        return "is a hard link to a name that no entry can have";
    }
    struct entry_ruling target;
    if (find_place(policy->link, &target) != 0 || target.place != PLACE_VOLUME || target.inside[0] == '\0' ||
        strcmp(target.service, ruling->service) != 0 || strcmp(target.name, ruling->name) != 0) {
        return "is a hard link out of its volume";
    }
    enum name_kind kind = name_set_get(policy->names, policy->link, size);
    if (kind == NAME_SKIPPED) {
        ruling->skip = true;
        ruling->reason = "hard link to an entry that was left out";
        return NULL;
    }
    ruling->link_inside = target.inside;
    return kind == NAME_LEAF ? NULL : "is a hard link to what is no earlier file of its volume";
}

/*
 * Every directory above the entry, from the nearest up to the first one known. Those that the archive does not have as
 * entries are remembered too, so that none of them can become something else later.
 */
static const char *judge_parents(struct entry_policy *policy)
{
    size_t size = policy->path_size;
    for (size_t nearest = 0;; nearest++) {
        while (size > 0 && policy->path[size - 1] != '/') {
            size--;
        }
        if (size == 0) {
            return NULL;
        }
        size--;
        if (nearest == 0 && size == policy->parent_size && memcmp(policy->path, policy->parent, size) == 0) {
            return NULL;
        }
        enum name_kind kind = name_set_get(policy->names, policy->path, size);
        if (kind == NAME_LEAF || kind == NAME_SKIPPED) {
            return "lies below an entry that is no directory";
        }
        if (nearest == 0) {
            memcpy(policy->parent, policy->path, size);
            policy->parent_size = size;
        }
        if (kind == NAME_DIRECTORY) {
            return NULL;
        }
        if (name_set_put(policy->names, policy->path, size, NAME_DIRECTORY) != 0) {
            return "is one name more than can be kept in mind";
        }
    }
}

static const char *judge_repetition(struct entry_policy *policy, const struct entry_facts *facts,
                                    const struct entry_ruling *ruling)
{
    bool directory = facts->hardlink == NULL && S_ISDIR(facts->type);
    enum name_kind kind = name_set_get(policy->names, policy->path, policy->path_size);
    if (kind == NAME_DIRECTORY && directory) {
        return NULL;
    }
    if (kind != NAME_ABSENT) {
        return "comes a second time";
    }
    enum name_kind now = ruling->skip ? NAME_SKIPPED : directory ? NAME_DIRECTORY : NAME_LEAF;
    if (name_set_put(policy->names, policy->path, policy->path_size, now) != 0) {
        return "is one name more than can be kept in mind";
    }
    return NULL;
}

static const char *judge_caps(struct entry_policy *policy, const struct entry_facts *facts)
{
    if (policy->entries >= policy->max_entries) {
        return "is one more than the limit on entries allows";
    }
    policy->entries++;
    if (facts->hardlink == NULL && S_ISREG(facts->type)) {
        if (facts->size > policy->max_bytes - policy->bytes) {
            return "makes the contents larger than the limit on bytes allows";
        }
        policy->bytes += facts->size;
    }
    if (facts->uid < 0 || facts->uid >= UINT32_MAX || facts->gid < 0 || facts->gid >= UINT32_MAX) {
        return "has an owner that is no user or group id";
    }
    return NULL;
}

static const char *judge(struct entry_policy *policy, const struct entry_facts *facts, struct entry_ruling *ruling)
{
    const char *wrong = normalise(facts->path, policy->path, &policy->path_size);
    wrong = wrong == NULL ? judge_caps(policy, facts) : wrong;
    if (wrong != NULL) {
        return wrong;
    }
    if (find_place(policy->path, ruling) != 0) {
        return "lies where a backup has nothing";
    }
    wrong = wrong_type(facts, ruling);
    wrong = wrong == NULL ? judge_type(policy, facts, ruling) : wrong;
    wrong = wrong == NULL ? judge_link(policy, facts, ruling) : wrong;
    wrong = wrong == NULL ? judge_parents(policy) : wrong;
    return wrong == NULL ? judge_repetition(policy, facts, ruling) : wrong;
}

int entry_policy_judge(struct entry_policy *policy, const struct entry_facts *facts, struct entry_ruling *ruling,
                       struct failure *failure)
{
    const char *wrong = judge(policy, facts, ruling);
    return wrong == NULL ? 0 : refuse(facts, wrong, failure);
}

bool entry_policy_keeps_xattr(const char *name)
{
    return strncmp(name, "user.", strlen("user.")) == 0 || strcmp(name, "system.posix_acl_access") == 0 ||
           strcmp(name, "system.posix_acl_default") == 0;
}
