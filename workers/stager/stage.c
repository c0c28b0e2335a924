/* The streams of one `stage`: where they go, what reads them, and what has to be on disk at the end. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "late.h"
#include "spool.h"
#include "tar.h"

#define SPACE_EVERY (4U << 20)     /* bytes between two looks at free space */
#define PROGRESS_EVERY (16U << 20) /* bytes between two `staging` */
#define INODES_RESERVE 256

static struct stream *new_stream(struct stage *stage, unsigned number)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream != NULL) {
        stream->number = number;
        stream->stage = stage;
        stream->spool_fd = -1;
        stream->staged_parent = -1;
        stream->live_parent.fd = -1;
    }
    return stream;
}

/* All streams with their replicas, in order: the one after `stream`, the first where it is NULL; NULL at the end. */
static struct stream *next_stream(const struct stage *stage, const struct stream *stream)
{
    if (stream != NULL && stream->replica != NULL) {
        return stream->replica;
    }
    for (unsigned i = stream == NULL ? 0 : stream->number + 1; i <= MAX_STREAMS; i++) {
        if (stage->streams[i] != NULL) {
            return stage->streams[i];
        }
    }
    return NULL;
}

#define FOR_EACH_STREAM(stage, each)                                                                                   \
    for (struct stream *each = next_stream((stage), NULL); each != NULL; each = next_stream((stage), each))

static int add_mapping(struct stream *stream, unsigned root, const char *prefix, struct problem *problem)
{
    struct mapping *grown = realloc(stream->mappings, (stream->mapping_count + 1) * sizeof *grown);
    if (grown == NULL) {
        return problem_errno(problem, "cannot plan", prefix);
    }
    stream->mappings = grown;
    char *copy = strdup(prefix);
    if (copy == NULL) {
        return problem_errno(problem, "cannot plan", prefix);
    }
    grown[stream->mapping_count++] = (struct mapping){.root = root, .prefix = copy, .live_fd = -1, .new_fd = -1};
    return 0;
}

static bool has_prefix(const struct stream *stream, const char *prefix)
{
    for (size_t i = 0; i < stream->mapping_count; i++) {
        if (strcmp(stream->mappings[i].prefix, prefix) == 0) {
            return true;
        }
    }
    return false;
}

/* The first replica from `stream` on that has no root for the prefix, made where all have one. NULL: no memory. */
static struct stream *replica_for(struct stream *stream, const char *prefix)
{
    while (has_prefix(stream, prefix)) {
        if (stream->replica == NULL) {
            stream->replica = new_stream(stream->stage, stream->number);
        }
        if (stream->replica == NULL) {
            return NULL;
        }
        stream = stream->replica;
    }
    return stream;
}

static int declare_mapping(struct stream *stream, const struct msg_stager_stream *message)
{
    struct problem *problem = stream->stage->problem;
    if (!tree_path_is_sound(message->prefix.data)) {
        return problem_set(problem, EXIT_WORKER, "the prefix of a stream is not sound");
    }
    stream = replica_for(stream, message->prefix.data);
    if (stream == NULL) {
        return problem_errno(problem, "cannot plan", "a replica");
    }
    stream->owners.ownership = (enum ownership)message->ownership;
    stream->owners.fallback = (struct owner){(uid_t)message->default_uid, (gid_t)message->default_gid};
    if (add_mapping(stream, (unsigned)message->root, message->prefix.data, problem) != 0) {
        return -1;
    }
    stream->mappings[stream->mapping_count - 1].compare = message->compare != 0;
    return 0;
}

int stage_declare(struct stage *stage, const struct msg_stager_stream *message)
{
    struct stream *stream = stage->streams[message->stream];
    if (stream == NULL) {
        stream = new_stream(stage, (unsigned)message->stream);
        stage->streams[message->stream] = stream;
    }
    if (stream == NULL) {
        return problem_errno(stage->problem, "cannot plan", "a stream");
    }
    stream->spool = message->spool != 0;
    return stream->spool ? 0 : declare_mapping(stream, message);
}

static int resolve_mapping(struct stage *stage, struct mapping *mapping, const struct root *root)
{
    char base[TREE_PATH_MAX];
    if (!root->declared) {
        return problem_set(stage->problem, EXIT_WORKER, "a stream names a root that was not declared");
    }
    if (areas_resolve(stage->areas, root->mount, root->subpath, &mapping->area, base, stage->problem) != 0) {
        return -1;
    }
    mapping->base = strdup(base);
    return mapping->base == NULL ? problem_errno(stage->problem, "cannot plan", base) : 0;
}

/* A mount point below a root that the plan does not know: it gets an area and a mapping of its own. */
static int map_inner_mount(struct stream *stream, size_t above, const char *rest)
{
    struct stage *stage = stream->stage;
    char prefix[TREE_PATH_MAX], subpath[TREE_PATH_MAX], base[TREE_PATH_MAX];
    struct mapping *outer = &stream->mappings[above];
    if (tree_join(prefix, outer->prefix, rest) != 0 || tree_join(subpath, outer->area->path, rest) != 0) {
        return problem_errno(stage->problem, "cannot plan", rest);
    }
    unsigned mount = outer->area->mount;
    if (has_prefix(stream, prefix) || add_mapping(stream, outer->root, prefix, stage->problem) != 0) {
        return stage->problem->code == 0 ? 0 : -1;
    }
    struct mapping *inner = &stream->mappings[stream->mapping_count - 1];
    inner->implicit = true;
    inner->base = strdup("");
    if (inner->base == NULL) {
        return problem_errno(stage->problem, "cannot plan", subpath);
    }
    return areas_resolve(stage->areas, mount, subpath, &inner->area, base, stage->problem);
}

static int map_inner_mounts(struct stream *stream)
{
    const struct areas *areas = stream->stage->areas;
    size_t planned = stream->mapping_count;
    for (size_t i = 0; i < planned; i++) {
        char whole[TREE_PATH_MAX];
        const char *rest;
        if (*stream->mappings[i].base != '\0') {
            continue;
        }
        if (tree_join(whole, NUMBER(stream->mappings[i].area->mount), stream->mappings[i].area->path) != 0) {
            return problem_errno(stream->stage->problem, "cannot plan", whole);
        }
        for (size_t p = 0; p < areas->point_count; p++) {
            if (tree_below(areas->points[p].path, whole, &rest) && *rest != '\0' &&
                map_inner_mount(stream, i, rest) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

typedef int (*mapping_step)(struct stream *stream, struct mapping *mapping);

static int for_each_mapping(struct stage *stage, mapping_step step)
{
    FOR_EACH_STREAM(stage, stream)
    {
        for (size_t m = 0; m < stream->mapping_count; m++) {
            if (step(stream, &stream->mappings[m]) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Finds the mapping of another stream whose area holds this one's directory, through whichever mount. */
static struct mapping *find_outer(const struct stage *stage, const struct stream *inner, const struct mapping *mapping,
                                  char rest[TREE_PATH_MAX])
{
    char own[2 * TREE_PATH_MAX], other[2 * TREE_PATH_MAX];
    const char *below;
    if (areas_source_of(stage->areas, mapping->area->mount, mapping->area->path, own) != 0) {
        return NULL;
    }
    FOR_EACH_STREAM(stage, stream)
    {
        for (size_t m = 0; stream->number != inner->number && m < stream->mapping_count; m++) {
            struct mapping *outer = &stream->mappings[m];
            if (*outer->base == '\0' && outer->area != mapping->area &&
                areas_source_of(stage->areas, outer->area->mount, outer->area->path, other) == 0 &&
                tree_below(own, other, &below) && *below != '\0' && tree_join(rest, below, mapping->base) == 0) {
                return outer;
            }
        }
    }
    return NULL;
}

/*
 * Two labels, one path within the other's: both streams are staged in the outer one's area, where the later entry of
 * a path replaces the earlier, as restoring one after the other would.
 */
static int join_outer(struct stream *stream, struct mapping *mapping)
{
    char rest[TREE_PATH_MAX];
    const struct mapping *outer = find_outer(stream->stage, stream, mapping, rest);
    if (outer == NULL) {
        return 0;
    }
    char *base = strdup(rest);
    if (base == NULL) {
        return problem_errno(stream->stage->problem, "cannot plan", rest);
    }
    free(mapping->base);
    mapping->base = base;
    mapping->area = outer->area;
    return 0;
}

static bool exists_as_directory(const struct areas *areas, const struct area *area, const char *path)
{
    struct problem ignored = {0};
    cleanup_close int live = area_open(areas, area, &ignored);
    cleanup_close int fd = live < 0 ? -1 : tree_open(live, path, O_PATH | O_DIRECTORY);
    return fd >= 0 || (live >= 0 && errno == EXDEV);
}

/* Deeper roots of the same stream are mount points of the container, though perhaps not here. */
static int keep_deeper(struct stream *stream, struct mapping *mapping)
{
    struct stage *stage = stream->stage;
    for (size_t i = 0; i < stream->mapping_count; i++) {
        char path[TREE_PATH_MAX];
        const char *rest;
        if (!tree_below(stream->mappings[i].prefix, mapping->prefix, &rest) || *rest == '\0') {
            continue;
        }
        if (tree_join(path, mapping->base, rest) != 0) {
            return problem_errno(stage->problem, "cannot plan", rest);
        }
        if (exists_as_directory(stage->areas, mapping->area, path) &&
            area_add_keep(stage->areas, mapping->area, path, stage->problem) != 0) {
            return -1;
        }
    }
    return area_keep_inner_mounts(stage->areas, mapping->area, stage->problem);
}

static bool swapped_whole(const struct stage *stage, const struct area *area)
{
    FOR_EACH_STREAM(stage, stream)
    {
        for (size_t m = 0; m < stream->mapping_count; m++) {
            if (stream->mappings[m].area == area && *stream->mappings[m].base == '\0') {
                return true;
            }
        }
    }
    return false;
}

static int note_only(struct stream *stream, struct mapping *mapping)
{
    if (swapped_whole(stream->stage, mapping->area)) {
        return 0;
    }
    char name[TREE_PATH_MAX];
    size_t length = strcspn(mapping->base, "/");
    memcpy(name, mapping->base, length);
    name[length] = '\0';
    return area_add_only(stream->stage->areas, mapping->area, name, stream->stage->problem);
}

/* Opens live and staged side; what an earlier, broken stage left in `new` goes first. */
static int open_mapping(struct stream *stream, struct mapping *mapping)
{
    struct stage *stage = stream->stage;
    mapping->live_fd = area_open(stage->areas, mapping->area, stage->problem);
    if (mapping->live_fd < 0) {
        return -1;
    }
    cleanup_close int work = area_make_work(stage->areas, mapping->area, mapping->live_fd, stage->problem);
    if (work < 0) {
        return -1;
    }
    mapping->new_fd = tree_make(work, "new");
    mapping->live = (struct live_tree){.fd = mapping->live_fd};
    /* while there is space: the swap and the way back then do without, should another have filled the disk by then */
    cleanup_close int old = tree_make(work, "old");
    return mapping->new_fd < 0 || old < 0 ? problem_errno(stage->problem, "cannot make", "the staging folder") : 0;
}

static int clear_new(struct stream *stream, struct mapping *mapping)
{
    struct stage *stage = stream->stage;
    cleanup_close int live = area_open(stage->areas, mapping->area, stage->problem);
    if (live < 0) {
        return -1;
    }
    cleanup_close int work = area_open_work(stage->areas, mapping->area, live, stage->problem);
    if (work == -1) {
        return -1;
    }
    return work == -2 || tree_remove(work, "new") == 0 ? 0 : problem_errno(stage->problem, "cannot clear", "new");
}

static int refuse_staged(struct stream *stream, struct mapping *mapping)
{
    if (!mapping->area->staged) {
        return 0;
    }
    char name[TREE_PATH_MAX];
    return problem_set(stream->stage->problem, EXIT_INTERNAL, "%s is staged already", area_name(mapping->area, name));
}

static int plan_mappings(struct stage *stage, const struct root *roots)
{
    FOR_EACH_STREAM(stage, stream)
    {
        for (size_t m = 0; m < stream->mapping_count; m++) {
            if (resolve_mapping(stage, &stream->mappings[m], &roots[stream->mappings[m].root]) != 0) {
                return -1;
            }
        }
        if (map_inner_mounts(stream) != 0) {
            return -1;
        }
    }
    return for_each_mapping(stage, join_outer) != 0 || for_each_mapping(stage, keep_deeper) != 0 ||
                   for_each_mapping(stage, note_only) != 0 || for_each_mapping(stage, refuse_staged) != 0
               ? -1
               : areas_commit(stage->areas, stage->problem);
}

int stage_begin(struct stage *stage, const struct root *roots, uint64_t reserve)
{
    stage->running = true;
    stage->broken = false;
    stage->reserve = reserve;
    if (plan_mappings(stage, roots) != 0) {
        return -1;
    }
    return for_each_mapping(stage, clear_new) != 0 ? -1 : for_each_mapping(stage, open_mapping);
}

/* `fd`: in the file system that is written to, `name` for people. */
static int check_space_in(struct stream *stream, int fd, const char *name, uint64_t written)
{
    struct stage *stage = stream->stage;
    stream->written += written;
    if (stream->written < SPACE_EVERY) {
        return 0;
    }
    stream->written = 0;
    struct statvfs status;
    if (fstatvfs(fd, &status) != 0) {
        return problem_errno(stage->problem, "cannot look at the free space of", name);
    }
    uint64_t available = (uint64_t)status.f_bavail * status.f_frsize;
    if (available < stage->reserve) {
        return problem_set(stage->problem, EXIT_SPACE,
                           "staging would leave less than %llu bytes free in %s; free some space there",
                           (unsigned long long)stage->reserve, name);
    }
    uint64_t inodes = status.f_files / 100 < INODES_RESERVE ? status.f_files / 100 : INODES_RESERVE;
    if (status.f_files != 0 && status.f_favail < inodes) {
        return problem_set(stage->problem, EXIT_SPACE, "staging would use up the inodes in %s; free some there", name);
    }
    return 0;
}

int stage_check_space(struct stream *stream, const struct mapping *mapping, uint64_t written)
{
    char name[TREE_PATH_MAX];
    return check_space_in(stream, mapping->new_fd, area_name(mapping->area, name), written);
}

static bool same_place(const struct mapping *one, const struct mapping *other)
{
    return one->area == other->area && strcmp(one->base, other->base) == 0;
}

/* Whether another stream that has come was declared to share this mapping's root, or a replica before this has it. */
static bool shares_place(const struct stream *stream, const struct mapping *mapping, const struct stream *other)
{
    bool replicas = other->number == stream->number;
    for (size_t i = 0; other != stream && other->state != STREAM_WAITING && i < other->mapping_count; i++) {
        const struct mapping *theirs = &other->mappings[i];
        if ((replicas || theirs->compare || mapping->compare) && same_place(theirs, mapping)) {
            return true;
        }
    }
    return false;
}

/*
 * The first of the streams that share a root writes, whichever it is; those that come later compare. An archive has
 * one section after the other, but the end of each stream may be told at the end of all: where entries really are
 * mixed, what is not there yet counts as different.
 */
static void choose_role(struct stream *stream, struct mapping *mapping)
{
    FOR_EACH_STREAM(stream->stage, other)
    {
        if (!shares_place(stream, mapping, other)) {
            continue;
        }
        if (other->number == stream->number) {
            mapping->discarding = true;
        } else {
            mapping->comparing = true;
            mapping->unfinished = mapping->unfinished || other->state != STREAM_ENDED;
        }
    }
}

/* Directories that the archive may not name keep what they have: the root's own attributes. */
static int note_root(struct stream *stream, size_t index)
{
    struct mapping *mapping = &stream->mappings[index];
    if (mapping->comparing || mapping->discarding) {
        return 0;
    }
    if (*mapping->base != '\0') {
        return place_enter(stream, mapping, mapping->base);
    }
    cleanup_free struct late_record *record = calloc(1, sizeof *record);
    if (record == NULL || attributes_read(mapping->live_fd, &record->attributes) != 0) {
        return problem_errno(stream->stage->problem, "cannot read the attributes of", "a root");
    }
    record->mapping = (uint32_t)index;
    record->fixed = true;
    record->directory = true;
    return late_add(stream->late, record) == 0 ? 0 : problem_errno(stream->stage->problem, "cannot write", "records");
}

static void read_tar(void *context)
{
    struct stream *stream = context;
    struct problem *problem = stream->stage->problem;
    cleanup_archive struct archive *archive = tar_open_feed(&stream->feed, problem);
    cleanup_entry struct archive_entry *entry = NULL;
    while (archive != NULL && tar_next(archive, &entry, problem) == 1) {
        if (place_entry(stream, archive, entry) != 0) {
            return;
        }
    }
}

static int open_stream(struct stream *stream)
{
    struct problem *problem = stream->stage->problem;
    stream->state = STREAM_OPEN;
    if (stream->spool) {
        stream->spool_fd = spool_create(stream->stage->areas->run_volume, stream->number);
        return stream->spool_fd >= 0 ? 0 : problem_errno(problem, "cannot make", "a spool on the run's volume");
    }
    stream->late = late_open(stream->stage->areas->run_volume);
    if (stream->late == NULL) {
        return problem_errno(problem, "cannot make", "a list on the run's volume");
    }
    for (size_t m = 0; m < stream->mapping_count; m++) {
        choose_role(stream, &stream->mappings[m]);
        if (note_root(stream, m) != 0) {
            return -1;
        }
    }
    return 0;
}

static int report_progress(struct stream *stream)
{
    if (stream->bytes - stream->reported < PROGRESS_EVERY) {
        return 0;
    }
    stream->reported = stream->bytes;
    enum ipc_result result = SEND(stream->stage->channel, staging, .stream = stream->number, .bytes = stream->bytes);
    return result == IPC_OK ? 0 : problem_errno(stream->stage->problem, "cannot write", "frames");
}

static int feed_stream(struct stream *stream, const void *bytes, size_t size)
{
    struct problem *problem = stream->stage->problem;
    if (!stream->fed) {
        if (feed_start(&stream->feed, read_tar, stream) != 0) {
            return problem_errno(problem, "cannot read", "a stream");
        }
        stream->fed = true;
    }
    feed_push(&stream->feed, bytes, size);
    if (problem->code != 0) {
        return -1;
    }
    /* behind the end of the tar there may be nothing but padding */
    const uint8_t *left = bytes;
    for (size_t i = 0; stream->feed.finished && stream->feed.size != 0 && i < size; i++) {
        if (left[i] != 0) {
            return problem_set(problem, EXIT_INTEGRITY, "there is more behind the end of a volume's tar");
        }
    }
    return 0;
}

static int spool_stream(struct stream *stream, const void *bytes, size_t size)
{
    stream->bytes += size;
    if (check_space_in(stream, stream->spool_fd, "the run's volume", size) != 0) {
        return -1;
    }
    return spool_write(stream->spool_fd, bytes, size) == 0
               ? 0
               : problem_errno(stream->stage->problem, "cannot write", "a spool on the run's volume");
}

static int take_data(struct stream *stream, const void *bytes, size_t size)
{
    if (stream->state == STREAM_WAITING && open_stream(stream) != 0) {
        return -1;
    }
    if (size == 0) {
        return 0;
    }
    return stream->spool ? spool_stream(stream, bytes, size) : feed_stream(stream, bytes, size);
}

int stage_data(struct stage *stage, unsigned number, const void *bytes, size_t size)
{
    struct stream *stream = stage->streams[number];
    if (stream == NULL || stream->state == STREAM_ENDED) {
        return problem_set(stage->problem, EXIT_WORKER, "bytes of stream %u, which is not declared or has ended",
                           number);
    }
    for (struct stream *replica = stream; replica != NULL; replica = replica->replica) {
        if (take_data(replica, bytes, size) != 0) {
            return -1;
        }
    }
    return report_progress(stream);
}

static void close_stream(struct stream *stream, bool abort)
{
    if (stream->fed) {
        feed_finish(&stream->feed, abort);
        stream->fed = false;
    }
    place_leave(stream);
    if (stream->late != NULL) {
        fclose(stream->late);
        stream->late = NULL;
    }
    if (stream->spool_fd >= 0) {
        close(stream->spool_fd);
        stream->spool_fd = -1;
    }
    stream->state = STREAM_ENDED;
}

static int end_stream(struct stream *stream)
{
    struct problem *problem = stream->stage->problem;
    if (stream->fed) {
        feed_finish(&stream->feed, false);
        stream->fed = false;
    }
    if (problem->code != 0) {
        return -1;
    }
    if (stream->spool) {
        return fsync(stream->spool_fd) == 0 ? 0 : problem_errno(problem, "cannot sync", "a spool");
    }
    return place_finish(stream);
}

static int end_replica(struct stream *stream)
{
    if ((stream->state == STREAM_WAITING && open_stream(stream) != 0) || end_stream(stream) != 0) {
        return -1;
    }
    close_stream(stream, false);
    return 0;
}

/* Replicas read the same bytes, so they count the same. */
int stage_stream_end(struct stage *stage, unsigned number)
{
    struct stream *stream = stage->streams[number];
    if (stream == NULL || stream->state == STREAM_ENDED) {
        return problem_set(stage->problem, EXIT_WORKER, "end of stream %u, which is not declared or has ended", number);
    }
    bool different = false;
    for (struct stream *replica = stream; replica != NULL; replica = replica->replica) {
        if (end_replica(replica) != 0) {
            return -1;
        }
        different = different || replica->different;
    }
    enum ipc_result result = SEND(stage->channel, staged, .stream = number, .entries = stream->entries,
                                  .bytes = stream->bytes, .different = different);
    return result == IPC_OK ? 0 : problem_errno(stage->problem, "cannot write", "frames");
}

/* A stream that did not come is no fault: the archive does not hold it, and its areas stay as they are. */
static int refuse_unended(struct stage *stage)
{
    FOR_EACH_STREAM(stage, stream)
    {
        if (stream->state == STREAM_OPEN) {
            return problem_set(stage->problem, EXIT_INTEGRITY, "stream %u did not end", stream->number);
        }
    }
    return 0;
}

static int sync_mapping(struct stream *stream, struct mapping *mapping)
{
    if (mapping->area->staged || stream->state == STREAM_WAITING) {
        return 0;
    }
    char name[TREE_PATH_MAX];
    if (syncfs(mapping->new_fd) != 0) {
        return problem_errno(stream->stage->problem, "cannot sync", area_name(mapping->area, name));
    }
    mapping->area->staged = true;
    return areas_record(stream->stage->areas, stream->stage->problem, "staged", NUMBER(mapping->area->number));
}

static void free_stream(struct stream *stream)
{
    for (size_t i = 0; i < stream->mapping_count; i++) {
        const struct mapping *mapping = &stream->mappings[i];
        cleanup_close_value(&mapping->live_fd);
        cleanup_close_value(&mapping->new_fd);
        free(mapping->prefix);
        free(mapping->base);
    }
    free(stream->mappings);
    free(stream);
}

static void free_streams(struct stage *stage)
{
    for (size_t i = 0; i <= MAX_STREAMS; i++) {
        for (struct stream *stream = stage->streams[i], *next; stream != NULL; stream = next) {
            next = stream->replica;
            free_stream(stream);
        }
        stage->streams[i] = NULL;
    }
    stage->running = false;
}

/*
 * A stream that was joined to an outer one's area, which did not come: swapping the area would lose all that lies
 * beside the inner path.
 */
static int refuse_lone_inner(struct stream *stream, struct mapping *mapping)
{
    struct stage *stage = stream->stage;
    if (stream->state == STREAM_WAITING || *mapping->base == '\0' || mapping->area->onlys.count != 0) {
        return 0;
    }
    FOR_EACH_STREAM(stage, other)
    {
        for (size_t m = 0; other->state != STREAM_WAITING && m < other->mapping_count; m++) {
            if (other->mappings[m].area == mapping->area && *other->mappings[m].base == '\0') {
                return 0;
            }
        }
    }
    char name[TREE_PATH_MAX];
    return problem_set(stage->problem, EXIT_INTEGRITY,
                       "the archive holds %.1000s of %.1000s, but not the rest of it, which another label covers: take "
                       "that label away for this restore",
                       mapping->base, area_name(mapping->area, name));
}

int stage_finish(struct stage *stage)
{
    if (refuse_unended(stage) != 0 || for_each_mapping(stage, refuse_lone_inner) != 0 ||
        for_each_mapping(stage, sync_mapping) != 0 || areas_commit(stage->areas, stage->problem) != 0) {
        return -1;
    }
    free_streams(stage);
    return 0;
}

static int discard_mapping(struct stream *stream, struct mapping *mapping)
{
    struct problem ignored = {0};
    bool ours = mapping->area != NULL && mapping->area->work;
    cleanup_close int live = ours ? area_open(stream->stage->areas, mapping->area, &ignored) : -1;
    cleanup_close int work = live < 0 ? -1 : area_open_work(stream->stage->areas, mapping->area, live, &ignored);
    if (work >= 0) {
        tree_remove(work, "new");
    }
    return 0;
}

void stage_discard(struct stage *stage)
{
    FOR_EACH_STREAM(stage, stream)
    {
        close_stream(stream, true);
    }
    for_each_mapping(stage, discard_mapping);
    free_streams(stage);
    stage->broken = true;
}
