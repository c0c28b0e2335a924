/* The directories that a run may change, in memory and in the journal. */
#include "area.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

const char *number_word(char out[NUMBER_SIZE], uint64_t number)
{
    snprintf(out, NUMBER_SIZE, "%" PRIu64, number);
    return out;
}

const char *area_name(const struct area *area, char out[TREE_PATH_MAX])
{
    snprintf(out, TREE_PATH_MAX, "/mounts/%u%s%.4000s", area->mount, *area->path == '\0' ? "" : "/", area->path);
    return out;
}

static int list_add(struct path_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->paths[i], path) == 0) {
            return 1;
        }
    }
    char **grown = realloc(list->paths, (list->count + 1) * sizeof *grown);
    if (grown == NULL) {
        return -1;
    }
    list->paths = grown;
    list->paths[list->count] = strdup(path);
    if (list->paths[list->count] == NULL) {
        return -1;
    }
    list->count++;
    return 0;
}

struct area *areas_add(struct areas *areas, unsigned number)
{
    if (number < areas->count) {
        return areas->list[number];
    }
    struct area *area = number == areas->count && number < AREAS_MAX ? calloc(1, sizeof *area) : NULL;
    if (area != NULL) {
        area->number = number;
        areas->list[areas->count++] = area;
    }
    return area;
}

int areas_commit(struct areas *areas, struct problem *problem)
{
    return journal_commit(&areas->journal) == 0 ? 0 : problem_errno(problem, "cannot write", "the run's journal");
}

/* mountinfo writes space, tab, newline and backslash as \OOO. */
static void unescape_octal(char *text)
{
    char *out = text;
    while (*text != '\0') {
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] != '\0' && text[3] != '\0') {
            *out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *out++ = *text++;
        }
    }
    *out = '\0';
}

static int add_point(struct areas *areas, char *path, const char *device, char *root)
{
    struct mount_point *grown = realloc(areas->points, (areas->point_count + 1) * sizeof *grown);
    if (grown == NULL) {
        return -1;
    }
    areas->points = grown;
    unescape_octal(path);
    unescape_octal(root);
    struct mount_point *point = &areas->points[areas->point_count];
    point->path = strdup(path);
    if (point->path == NULL || asprintf(&point->source, "%s%s", device, strcmp(root, "/") == 0 ? "" : root) < 0) {
        return -1;
    }
    areas->point_count++;
    return 0;
}

int areas_read_mounts(struct areas *areas)
{
    static const char below[] = "/mounts/";
    cleanup_fclose FILE *file = fopen("/proc/self/mountinfo", "re");
    if (file == NULL) {
        return -1;
    }
    cleanup_free char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) >= 0) {
        char *rest = NULL;
        char *words[5] = {0};
        for (size_t i = 0; i < 5; i++) {
            words[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
        }
        bool ours = words[4] != NULL && strncmp(words[4], below, sizeof below - 1) == 0;
        if (ours && add_point(areas, words[4] + sizeof below - 1, words[2], words[3]) != 0) {
            return -1;
        }
    }
    return 0;
}

/* /mounts/M[/path], relative to /mounts. */
static int path_below_mounts(unsigned mount, const char *path, char out[TREE_PATH_MAX])
{
    return tree_join(out, NUMBER(mount), path);
}

int areas_source_of(const struct areas *areas, unsigned mount, const char *path, char out[2 * TREE_PATH_MAX])
{
    char whole[TREE_PATH_MAX];
    if (path_below_mounts(mount, path, whole) != 0) {
        return -1;
    }
    const struct mount_point *deepest = NULL;
    const char *rest = whole;
    const char *below;
    for (size_t i = 0; i < areas->point_count; i++) {
        bool deeper = deepest == NULL || strlen(areas->points[i].path) >= strlen(deepest->path);
        if (deeper && tree_below(whole, areas->points[i].path, &below)) {
            deepest = &areas->points[i];
            rest = below;
        }
    }
    int length = snprintf(out, 2 * TREE_PATH_MAX, "%s%s%s", deepest == NULL ? "" : deepest->source,
                          *rest == '\0' ? "" : "/", rest);
    return length < 0 || length >= 2 * TREE_PATH_MAX ? -1 : 0;
}

int areas_open_root(const struct areas *areas, unsigned mount, const char *subpath, char existing[TREE_PATH_MAX],
                    char rest[TREE_PATH_MAX], struct problem *problem)
{
    char parent[TREE_PATH_MAX], below[TREE_PATH_MAX], whole[TREE_PATH_MAX];
    rest[0] = '\0';
    if (!tree_path_is_sound(subpath) || tree_join(existing, subpath, "") != 0) {
        return problem_set(problem, EXIT_WORKER, "the path of a root is not sound");
    }
    for (;;) {
        if (path_below_mounts(mount, existing, whole) != 0) {
            return problem_errno(problem, "cannot open", existing);
        }
        int fd = tree_open_mount(areas->mounts, whole, O_RDONLY | O_DIRECTORY);
        if (fd >= 0) {
            return fd;
        }
        if (errno != ENOENT || *existing == '\0') {
            return problem_errno(problem, "cannot open the directory", whole);
        }
        const char *name = tree_split(existing, parent);
        if (tree_join(below, name, rest) != 0) {
            return problem_errno(problem, "cannot open", existing);
        }
        memcpy(rest, below, sizeof below);
        memcpy(existing, parent, sizeof parent);
    }
}

static int record_area(struct areas *areas, const struct area *area, struct problem *problem)
{
    return areas_record(areas, problem, "area", NUMBER(area->number), NUMBER(area->mount), NUMBER(area->device),
                        NUMBER(area->inode), area->path);
}

static struct area *find_area(const struct areas *areas, const struct stat *status)
{
    for (size_t i = 0; i < areas->count; i++) {
        if (areas->list[i]->device == status->st_dev && areas->list[i]->inode == status->st_ino) {
            return areas->list[i];
        }
    }
    return NULL;
}

static struct area *make_area(struct areas *areas, unsigned mount, const char *path, const struct stat *status,
                              struct problem *problem)
{
    struct area *area = areas_add(areas, (unsigned)areas->count);
    char *copy = strdup(path);
    if (area == NULL || copy == NULL) {
        free(copy);
        problem_set(problem, EXIT_INTERNAL, "too many directories to restore, or no memory");
        return NULL;
    }
    area->mount = mount;
    area->path = copy;
    area->device = status->st_dev;
    area->inode = status->st_ino;
    return record_area(areas, area, problem) == 0 ? area : NULL;
}

int areas_resolve(struct areas *areas, unsigned mount, const char *subpath, struct area **area,
                  char base[TREE_PATH_MAX], struct problem *problem)
{
    char existing[TREE_PATH_MAX];
    cleanup_close int fd = areas_open_root(areas, mount, subpath, existing, base, problem);
    if (fd < 0) {
        return -1;
    }
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return problem_errno(problem, "cannot look at", existing);
    }
    *area = find_area(areas, &status);
    if (*area == NULL) {
        *area = make_area(areas, mount, existing, &status, problem);
    }
    return *area == NULL ? -1 : 0;
}

int area_open(const struct areas *areas, const struct area *area, struct problem *problem)
{
    char whole[TREE_PATH_MAX];
    if (path_below_mounts(area->mount, area->path, whole) != 0) {
        return problem_errno(problem, "cannot open", area->path);
    }
    cleanup_close int fd = tree_open_mount(areas->mounts, whole, O_RDONLY | O_DIRECTORY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        return problem_errno(problem, "cannot open the directory", whole);
    }
    /* device numbers may change with a reboot; then the inode of our own folder vouches for the directory */
    bool same_device = status.st_dev == area->device || area->work_inode != 0;
    if (status.st_ino != area->inode || !same_device) {
        return problem_set(problem, EXIT_RECOVERY,
                           "/mounts/%s is another directory than the one this run began with; put it back and recover",
                           whole);
    }
    int opened = fd;
    fd = -1;
    return opened;
}

int area_open_work(const struct areas *areas, const struct area *area, int live, struct problem *problem)
{
    cleanup_close int fd = tree_open(live, areas->work_name, O_RDONLY | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT) {
        return -2;
    }
    char name[TREE_PATH_MAX];
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        return problem_errno(problem, "cannot open the run's own folder in", area_name(area, name));
    }
    /* a server's image gives the whole of its data directory to the server's user: the inode vouches for the folder */
    bool known = area->work && area->work_inode == status.st_ino;
    bool fresh = area->work && area->work_inode == 0 && status.st_uid == 0 && (status.st_mode & 0777) == 0700;
    if (!known && !fresh) {
        return problem_set(problem, EXIT_RECOVERY, "%s in %s is not the folder that this run made; look at it by hand",
                           areas->work_name, area_name(area, name));
    }
    int opened = fd;
    fd = -1;
    return opened;
}

static int record_work(struct areas *areas, struct area *area, uint64_t inode, struct problem *problem)
{
    if (areas_record(areas, problem, "work", NUMBER(area->number), NUMBER(inode)) != 0 ||
        areas_commit(areas, problem) != 0) {
        return -1;
    }
    area->work = true;
    area->work_inode = inode;
    return 0;
}

/* The directory keeps its time: a probe or a stage that comes to nothing leaves no trace. */
static int create_work(struct areas *areas, struct area *area, int live, struct problem *problem)
{
    char name[TREE_PATH_MAX];
    struct stat status;
    if (fstatat(live, areas->work_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        return problem_set(problem, EXIT_RECOVERY, "%s exists in %s, but not by this run; look at it by hand",
                           areas->work_name, area_name(area, name));
    }
    if (record_work(areas, area, 0, problem) != 0) {
        return -1;
    }
    if (fstat(live, &status) != 0 || mkdirat(live, areas->work_name, 0700) != 0) {
        return problem_errno(problem, "cannot make a folder in", area_name(area, name));
    }
    struct timespec times[2] = {{0, UTIME_OMIT}, status.st_mtim};
    return futimens(live, times) == 0 ? 0 : problem_errno(problem, "cannot set the time of", area_name(area, name));
}

int area_make_work(struct areas *areas, struct area *area, int live, struct problem *problem)
{
    int work = area_open_work(areas, area, live, problem);
    if (work == -1) {
        return -1;
    }
    if (work == -2 && create_work(areas, area, live, problem) != 0) {
        return -1;
    }
    cleanup_close int fd = work >= 0 ? work : area_open_work(areas, area, live, problem);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        return problem_errno(problem, "cannot open", areas->work_name);
    }
    attributes_strip_acls(fd); /* a parent's default ACL must not show up in what is staged */
    if (fchown(fd, 0, 0) != 0 || fchmod(fd, 0700) != 0 || fsync(live) != 0) {
        return problem_errno(problem, "cannot set the mode of", areas->work_name);
    }
    if (area->work_inode != status.st_ino && record_work(areas, area, status.st_ino, problem) != 0) {
        return -1;
    }
    int opened = fd;
    fd = -1;
    return opened;
}

static int add_path(struct areas *areas, struct area *area, struct path_list *list, const char *record,
                    const char *path, struct problem *problem)
{
    int added = list_add(list, path);
    if (added < 0) {
        return problem_errno(problem, "cannot keep", path);
    }
    return added == 1 ? 0 : areas_record(areas, problem, record, NUMBER(area->number), path);
}

int area_add_keep(struct areas *areas, struct area *area, const char *path, struct problem *problem)
{
    return add_path(areas, area, &area->keeps, "keep", path, problem);
}

int area_add_only(struct areas *areas, struct area *area, const char *name, struct problem *problem)
{
    return add_path(areas, area, &area->onlys, "only", name, problem);
}

int area_keep_inner_mounts(struct areas *areas, struct area *area, struct problem *problem)
{
    char whole[TREE_PATH_MAX];
    const char *rest;
    if (path_below_mounts(area->mount, area->path, whole) != 0) {
        return problem_errno(problem, "cannot open", area->path);
    }
    for (size_t i = 0; i < areas->point_count; i++) {
        if (tree_below(areas->points[i].path, whole, &rest) && *rest != '\0' &&
            area_add_keep(areas, area, rest, problem) != 0) {
            return -1;
        }
    }
    return 0;
}

enum keep area_keeps(const struct area *area, const char *path)
{
    enum keep found = KEEP_NOT;
    const char *rest;
    for (size_t i = 0; i < area->keeps.count; i++) {
        if (!tree_below(area->keeps.paths[i], path, &rest)) {
            continue;
        }
        if (*rest == '\0') {
            return KEEP_POINT;
        }
        found = KEEP_WAY;
    }
    return found;
}

bool area_passes_over(const struct area *area, const char *name)
{
    if (strncmp(name, WORK_PREFIX, sizeof WORK_PREFIX - 1) == 0 || strcmp(name, "lost+found") == 0) {
        return true;
    }
    for (size_t i = 0; i < area->onlys.count; i++) {
        if (strcmp(area->onlys.paths[i], name) == 0) {
            return false;
        }
    }
    return area->onlys.count != 0;
}

static struct former *new_former(struct former **list, const char *path)
{
    struct former *former = calloc(1, sizeof *former);
    char *copy = strdup(path);
    if (former == NULL || copy == NULL) {
        free(former);
        free(copy);
        return NULL;
    }
    former->path = copy;
    former->next = *list;
    *list = former;
    return former;
}

int former_remember(struct former **list, const char *path, int fd)
{
    struct former *former = new_former(list, path);
    return former == NULL ? -1 : attributes_read(fd, &former->attributes);
}

static void acl_word(char out[2 * ACL_SIZE_MAX + 1], const struct acl_value *acl)
{
    for (size_t i = 0; i < acl->size; i++) {
        snprintf(out + 2 * i, 3, "%02x", acl->bytes[i]);
    }
    out[2 * acl->size] = '\0';
}

int area_add_former(struct areas *areas, struct area *area, const char *path, int fd, struct problem *problem)
{
    if (former_remember(&area->formers, path, fd) != 0) {
        return problem_errno(problem, "cannot read the attributes of", path);
    }
    char access[2 * ACL_SIZE_MAX + 1], inherited[2 * ACL_SIZE_MAX + 1], seconds[NUMBER_SIZE];
    const struct attributes *was = &area->formers->attributes;
    acl_word(access, &was->access);
    acl_word(inherited, &was->inherited);
    snprintf(seconds, sizeof seconds, "%lld", (long long)was->modified.tv_sec);
    return areas_record(areas, problem, "was", NUMBER(area->number), path, NUMBER(was->mode), NUMBER(was->uid),
                        NUMBER(was->gid), seconds, NUMBER(was->modified.tv_nsec), access, inherited);
}

static bool read_acl_word(const char *word, struct acl_value *acl)
{
    size_t length = strlen(word);
    if (length % 2 != 0 || length / 2 > sizeof acl->bytes) {
        return false;
    }
    acl->size = length / 2;
    for (size_t i = 0; i < acl->size; i++) {
        if (sscanf(word + 2 * i, "%2hhx", &acl->bytes[i]) != 1) {
            return false;
        }
    }
    return true;
}

static int read_former(struct area *area, char **words, size_t count)
{
    struct former *former = count == 10 ? new_former(&area->formers, words[2]) : NULL;
    if (former == NULL) {
        return -1;
    }
    former->attributes.mode = (mode_t)strtoul(words[3], NULL, 10);
    former->attributes.uid = (uid_t)strtoul(words[4], NULL, 10);
    former->attributes.gid = (gid_t)strtoul(words[5], NULL, 10);
    former->attributes.modified = (struct timespec){strtoll(words[6], NULL, 10), strtol(words[7], NULL, 10)};
    bool sound =
        read_acl_word(words[8], &former->attributes.access) && read_acl_word(words[9], &former->attributes.inherited);
    return sound ? 0 : -1;
}

static int read_area(struct area *area, char **words, size_t count)
{
    if (count != 6 || !tree_path_is_sound(words[5]) || area->path != NULL) {
        return -1;
    }
    area->mount = (unsigned)strtoul(words[2], NULL, 10);
    area->device = strtoull(words[3], NULL, 10);
    area->inode = strtoull(words[4], NULL, 10);
    area->path = strdup(words[5]);
    return area->path == NULL ? -1 : 0;
}

/* The flag of an area that a record of one word sets, or NULL. */
static bool *flag_of(struct area *area, const char *record)
{
    if (strcmp(record, "staged") == 0) {
        return &area->staged;
    }
    if (strcmp(record, "copying") == 0) {
        return &area->copying;
    }
    return strcmp(record, "copied") == 0 ? &area->copied : NULL;
}

int areas_read_record(struct areas *areas, char **words, size_t count)
{
    if (count < 2 || strcmp(words[0], "run") == 0 || strcmp(words[0], "state") == 0) {
        return 1;
    }
    unsigned number = (unsigned)strtoul(words[1], NULL, 10);
    struct area *area = areas_add(areas, number);
    if (area == NULL || (strcmp(words[0], "area") != 0 && area->path == NULL)) {
        return -1;
    }
    if (strcmp(words[0], "area") == 0) {
        return read_area(area, words, count);
    }
    if (strcmp(words[0], "was") == 0) {
        return read_former(area, words, count);
    }
    if (strcmp(words[0], "keep") == 0 && count == 3) {
        return list_add(&area->keeps, words[2]) < 0 ? -1 : 0;
    }
    if (strcmp(words[0], "only") == 0 && count == 3) {
        return list_add(&area->onlys, words[2]) < 0 ? -1 : 0;
    }
    if (strcmp(words[0], "work") == 0 && count == 3) {
        area->work = true;
        area->work_inode = strtoull(words[2], NULL, 10);
        return 0;
    }
    bool *flag = flag_of(area, words[0]);
    if (flag == NULL) {
        return -1;
    }
    *flag = true;
    return 0;
}
