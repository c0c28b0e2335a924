/* The swap: renames by the journal, forth and back. */
#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define TRIES_MAX 1000

static const char *const state_names[] = {
    [SWAP_NONE] = "none",         [SWAP_OUT] = "out",         [SWAP_IN] = "in",         [SWAP_SWAPPED] = "swapped",
    [SWAP_BACK_OUT] = "back_out", [SWAP_BACK_IN] = "back_in", [SWAP_UNDONE] = "undone", [SWAP_CONCLUDED] = "concluded",
};

/* One area being moved: where it is and what counts. */
struct move {
    struct areas *areas;
    struct area *area;
    struct swap_counts *counts;
    struct problem *problem;
    enum way { FORTH, BACK_OUT, BACK_IN } way;
};

static void enter_state(struct swap *swap, enum swap_state state)
{
    swap->last = state;
    if (state <= SWAP_SWAPPED) {
        swap->forward = state;
    }
}

int swap_read_record(struct swap *swap, const char *name)
{
    for (enum swap_state state = SWAP_OUT; state <= SWAP_CONCLUDED; state++) {
        if (strcmp(state_names[state], name) == 0) {
            enter_state(swap, state);
            return 0;
        }
    }
    return -1;
}

/* The state is on disk when this returns 0. */
static int record_state(struct areas *areas, struct swap *swap, enum swap_state state, struct problem *problem)
{
    if (areas_record(areas, problem, "state", state_names[state]) != 0 || areas_commit(areas, problem) != 0) {
        return -1;
    }
    enter_state(swap, state);
    return 0;
}

bool swap_has_begun(const struct swap *swap)
{
    return swap->last != SWAP_NONE;
}

static bool any_copied(const struct areas *areas)
{
    for (size_t i = 0; i < areas->count; i++) {
        if (areas->list[i]->copied) {
            return true;
        }
    }
    return false;
}

enum journal_phase swap_phase(const struct areas *areas, const struct swap *swap)
{
    if (swap->last == SWAP_CONCLUDED) {
        return JOURNAL_CONCLUDED;
    }
    if (swap->last == SWAP_SWAPPED) {
        return JOURNAL_SWAPPED;
    }
    if (swap->last == SWAP_UNDONE) {
        return JOURNAL_STAGED;
    }
    /* with a copy taken the servers may have been loading: there is something to undo */
    if (swap->last != SWAP_NONE || any_copied(areas)) {
        return JOURNAL_SWAPPING;
    }
    return areas->journal.fd < 0 ? JOURNAL_NONE : JOURNAL_STAGED;
}

static int fsync_directory(int fd, const char *path, struct problem *problem)
{
    return fsync(fd) == 0 ? 0 : problem_errno(problem, "cannot sync", path);
}

static int open_new(struct move *move);

/* Into what is going to be removed, under a name that nothing has there. 0, or -1 with errno. */
static int put_aside(struct move *move, int from, const char *name)
{
    cleanup_close int discarded = open_new(move);
    int result = -1;
    errno = discarded < 0 ? ENOENT : EEXIST;
    for (unsigned number = 1; discarded >= 0 && result != 0 && errno == EEXIST; number++) {
        char aside[32];
        snprintf(aside, sizeof aside, ".late-%u", number);
        result = renameat2(from, name, discarded, aside, RENAME_NOREPLACE);
    }
    return result;
}

/*
 * On the way back a name can be taken: by a container that was not to run and makes its files anew. On the way out such
 * a second one is discarded with the first; on the way in what stands in the way is, and the former entry wins.
 */
static int rename_back(struct move *move, int from, int to, const char *name)
{
    if (move->way == BACK_OUT) {
        return put_aside(move, from, name);
    }
    int result = -1;
    errno = EEXIST;
    for (unsigned tries = 0; tries < TRIES_MAX && result != 0 && errno == EEXIST; tries++) {
        if (put_aside(move, to, name) != 0 && errno != ENOENT) {
            return -1;
        }
        result = renameat2(from, name, to, name, RENAME_NOREPLACE);
    }
    return result;
}

static int rename_entry(struct move *move, int from, int to, const char *name, const char *path)
{
    int result = renameat2(from, name, to, name, RENAME_NOREPLACE);
    if (result != 0 && errno == EEXIST && move->way != FORTH) {
        result = rename_back(move, from, to, name);
    }
    if (result != 0 && errno == ENOENT && move->way == BACK_OUT) {
        return 0; /* gone between the listing and now */
    }
    if (result != 0) {
        char area[TREE_PATH_MAX];
        return problem_set(move->problem, EXIT_INTERNAL, "cannot rename %s of %s: %s", path,
                           area_name(move->area, area), strerror(errno));
    }
    move->counts->entries++;
    return 0;
}

static int move_below(struct move *move, int from, int to, const char *path);

static int is_directory(int dir, const char *name)
{
    struct stat status;
    return fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

/* A directory on the way to a mount point stays where it is; what it holds moves. */
static int move_inside(struct move *move, int from, int to, const char *name, const char *path)
{
    cleanup_close int source = tree_open(from, name, O_RDONLY | O_DIRECTORY);
    cleanup_close int target = source < 0 ? -1 : tree_make(to, name);
    if (target < 0) {
        return problem_errno(move->problem, "cannot open", path);
    }
    return move_below(move, source, target, path);
}

static int move_entry(struct move *move, int from, int to, const char *parent, const char *name)
{
    char path[TREE_PATH_MAX];
    if (tree_join(path, parent, name) != 0) {
        return problem_errno(move->problem, "cannot rename", name);
    }
    if (*parent == '\0' && area_passes_over(move->area, name)) {
        return 0;
    }
    enum keep keep = area_keeps(move->area, path);
    if (keep != KEEP_NOT && is_directory(from, name)) {
        return keep == KEEP_POINT ? 0 : move_inside(move, from, to, name, path);
    }
    return rename_entry(move, from, to, name, path);
}

/* One pass over `from`. Returns the entries moved, or -1: problem. */
static int64_t move_pass(struct move *move, int from, int to, const char *path)
{
    uint64_t before = move->counts->entries;
    cleanup_closedir DIR *list = tree_list(from);
    struct dirent *entry = NULL;
    while (list != NULL && (entry = tree_next(list)) != NULL) {
        if (move_entry(move, from, to, path, entry->d_name) != 0) {
            return -1;
        }
    }
    if (list == NULL || errno != 0) {
        return problem_errno(move->problem, "cannot list", path);
    }
    return (int64_t)(move->counts->entries - before);
}

/* Move all entries but those kept; again until nothing is left, since a listing may miss what moves under it. On the
 * way back the passes end also where someone makes entries as fast as they are moved. */
static int move_below(struct move *move, int from, int to, const char *path)
{
    int64_t moved;
    unsigned passes = 0;
    do {
        moved = move_pass(move, from, to, path);
        passes++;
    } while (moved > 0 && (move->way == FORTH || passes < TRIES_MAX));
    if (moved < 0 || fsync_directory(from, path, move->problem) != 0) {
        return -1;
    }
    return fsync_directory(to, path, move->problem);
}

enum side { SIDE_LIVE, SIDE_NEW, SIDE_OLD };

/* Opens one side of an area; `new` and `old` are made where they are missing. */
static int open_side(struct move *move, enum side side)
{
    cleanup_close int live = area_open(move->areas, move->area, move->problem);
    if (live < 0) {
        return -1;
    }
    if (side == SIDE_LIVE) {
        int opened = live;
        live = -1;
        return opened;
    }
    cleanup_close int work = area_open_work(move->areas, move->area, live, move->problem);
    if (work == -2) {
        char name[TREE_PATH_MAX];
        return problem_set(move->problem, EXIT_RECOVERY,
                           "%s is missing in %s: someone removed what this run kept there", move->areas->work_name,
                           area_name(move->area, name));
    }
    int fd = work < 0 ? -1 : tree_make(work, side == SIDE_NEW ? "new" : "old");
    return fd < 0 ? problem_errno(move->problem, "cannot open", move->areas->work_name) : fd;
}

static int open_new(struct move *move)
{
    return open_side(move, SIDE_NEW);
}

static int move_side(struct move *move, enum side from, enum side to)
{
    cleanup_close int source = open_side(move, from);
    cleanup_close int target = source < 0 ? -1 : open_side(move, to);
    return target < 0 ? -1 : move_below(move, source, target, "");
}

typedef int (*area_step)(struct move *move);

enum chosen { CHOOSE_STAGED = 1, CHOOSE_COPIED = 2 };

static int for_each_area(struct areas *areas, unsigned chosen, area_step step, struct swap_counts *counts,
                         struct problem *problem)
{
    for (size_t i = 0; i < areas->count; i++) {
        struct area *area = areas->list[i];
        bool wanted =
            ((chosen & CHOOSE_STAGED) != 0 && area->staged) || ((chosen & CHOOSE_COPIED) != 0 && area->copied);
        struct move move = {areas, area, counts, problem, FORTH};
        if (wanted && step(&move) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Calls `step` for the area's own directory and each on the way to a mount point: those that are not renamed. */
static int for_each_standing(struct move *move, int (*step)(struct move *move, const char *path))
{
    if (step(move, "") != 0) {
        return -1;
    }
    for (size_t i = 0; i < move->area->keeps.count; i++) {
        char path[TREE_PATH_MAX], parent[TREE_PATH_MAX];
        tree_split(move->area->keeps.paths[i], path);
        while (*path != '\0') {
            if (step(move, path) != 0) {
                return -1;
            }
            tree_split(path, parent);
            memcpy(path, parent, sizeof parent);
        }
    }
    return 0;
}

static bool has_former(const struct area *area, const char *path)
{
    for (const struct former *former = area->formers; former != NULL; former = former->next) {
        if (strcmp(former->path, path) == 0) {
            return true;
        }
    }
    return false;
}

static int note_former(struct move *move, const char *path)
{
    if (has_former(move->area, path)) {
        return 0;
    }
    cleanup_close int live = open_side(move, SIDE_LIVE);
    cleanup_close int fd = live < 0 ? -1 : tree_open(live, path, O_RDONLY | O_DIRECTORY);
    if (live >= 0 && fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        return 0;
    }
    return fd < 0 ? problem_errno(move->problem, "cannot open", path)
                  : area_add_former(move->areas, move->area, path, fd, move->problem);
}

/* The staged directory of the same path has what the live one is to get; moving its entries will change its time. */
static int note_coming(struct move *move, const char *path)
{
    if (*path == '\0' && move->area->onlys.count != 0) {
        return 0; /* names are added to a directory that is not the restore's: it stays as it is */
    }
    cleanup_close int staged = open_side(move, SIDE_NEW);
    cleanup_close int fd = staged < 0 ? -1 : tree_open(staged, path, O_RDONLY | O_DIRECTORY);
    if (staged >= 0 && fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        return 0;
    }
    bool noted = fd >= 0 && former_remember(&move->area->comings, path, fd) == 0;
    return noted ? 0 : problem_errno(move->problem, "cannot read the attributes of", path);
}

/* Opening every side before the first rename also finds a directory that was exchanged meanwhile. */
static int note_attributes(struct move *move)
{
    return for_each_standing(move, note_former) != 0 ? -1 : for_each_standing(move, note_coming);
}

static int step_out(struct move *move)
{
    move->counts->areas++;
    return move_side(move, SIDE_LIVE, SIDE_OLD);
}

static int step_in(struct move *move)
{
    return move_side(move, SIDE_NEW, SIDE_LIVE);
}

static int apply_attributes(struct move *move, const struct former *list)
{
    cleanup_close int live = open_side(move, SIDE_LIVE);
    if (live < 0) {
        return -1;
    }
    for (const struct former *former = list; former != NULL; former = former->next) {
        cleanup_close int fd = tree_open(live, former->path, O_RDONLY | O_DIRECTORY);
        if (fd < 0 || attributes_apply(fd, &former->attributes) != 0 || fsync(fd) != 0) {
            return problem_errno(move->problem, "cannot set owner and mode of",
                                 *former->path == '\0' ? "the root" : former->path);
        }
    }
    return 0;
}

static int step_attributes(struct move *move)
{
    return apply_attributes(move, move->area->comings);
}

int swap_commit(struct areas *areas, struct swap *swap, struct swap_counts *counts, struct problem *problem)
{
    if (swap_has_begun(swap)) {
        return problem_set(problem, EXIT_RECOVERY, "this run's swap has begun already; undo or conclude it");
    }
    if (for_each_area(areas, CHOOSE_STAGED, note_attributes, counts, problem) != 0 ||
        record_state(areas, swap, SWAP_OUT, problem) != 0 ||
        for_each_area(areas, CHOOSE_STAGED, step_out, counts, problem) != 0 ||
        record_state(areas, swap, SWAP_IN, problem) != 0 ||
        for_each_area(areas, CHOOSE_STAGED, step_in, counts, problem) != 0 ||
        for_each_area(areas, CHOOSE_STAGED, step_attributes, counts, problem) != 0) {
        return -1;
    }
    return record_state(areas, swap, SWAP_SWAPPED, problem);
}

static int step_back_out(struct move *move)
{
    move->way = BACK_OUT;
    return move_side(move, SIDE_LIVE, SIDE_NEW);
}

static int step_back_in(struct move *move)
{
    move->way = BACK_IN;
    move->counts->areas++;
    return move_side(move, SIDE_OLD, SIDE_LIVE) != 0 ? -1 : apply_attributes(move, move->area->formers);
}

int swap_undo(struct areas *areas, struct swap *swap, struct swap_counts *counts, struct problem *problem)
{
    if (swap->last == SWAP_CONCLUDED) {
        return problem_set(problem, EXIT_RECOVERY, "this run is concluded: the new data stands, nothing is undone");
    }
    if (swap->last == SWAP_UNDONE || (swap->forward == SWAP_NONE && !any_copied(areas))) {
        return 0;
    }
    unsigned back_out = CHOOSE_COPIED | (swap->forward >= SWAP_IN ? CHOOSE_STAGED : 0U);
    unsigned back_in = CHOOSE_COPIED | (swap->forward >= SWAP_OUT ? CHOOSE_STAGED : 0U);
    if (swap->last != SWAP_BACK_IN) {
        if (record_state(areas, swap, SWAP_BACK_OUT, problem) != 0 ||
            for_each_area(areas, back_out, step_back_out, counts, problem) != 0 ||
            record_state(areas, swap, SWAP_BACK_IN, problem) != 0) {
            return -1;
        }
    }
    if (for_each_area(areas, back_in, step_back_in, counts, problem) != 0) {
        return -1;
    }
    return record_state(areas, swap, SWAP_UNDONE, problem);
}

int swap_conclude(struct areas *areas, struct swap *swap, struct problem *problem)
{
    if (swap->last == SWAP_CONCLUDED) {
        return 0;
    }
    if (swap->last != SWAP_NONE && swap->last != SWAP_SWAPPED) {
        return problem_set(problem, EXIT_RECOVERY, "the swap is half done (%s): undo it", state_names[swap->last]);
    }
    return record_state(areas, swap, SWAP_CONCLUDED, problem);
}

/* Counts what is removed: an entry of `new` and `old` with all below it is one. */
static int clean_area(struct areas *areas, struct area *area, struct swap_counts *counts, struct problem *problem)
{
    cleanup_close int live = area_open(areas, area, problem);
    if (live < 0) {
        return -1;
    }
    cleanup_close int work = area_open_work(areas, area, live, problem);
    if (work == -1) {
        return -1;
    }
    if (work == -2) {
        return 0;
    }
    if (tree_remove(live, areas->work_name) != 0) {
        char name[TREE_PATH_MAX];
        return problem_errno(problem, "cannot remove the run's own folder in", area_name(area, name));
    }
    counts->areas++;
    return 0;
}

/* Removing the folder touches the directory's time: put it back to what it is now. */
static int clean_keeping_time(struct areas *areas, struct area *area, struct swap_counts *counts,
                              struct problem *problem)
{
    cleanup_close int live = area_open(areas, area, problem);
    struct stat status;
    if (live < 0 || fstat(live, &status) != 0) {
        return problem_errno(problem, "cannot look at", area->path);
    }
    if (clean_area(areas, area, counts, problem) != 0) {
        return -1;
    }
    struct timespec times[2] = {{0, UTIME_OMIT}, status.st_mtim};
    return futimens(live, times) == 0 ? 0 : problem_errno(problem, "cannot set the time of", area->path);
}

int swap_clean(struct areas *areas, const struct swap *swap, struct swap_counts *counts, struct problem *problem)
{
    bool settled = swap->last == SWAP_CONCLUDED || swap->last == SWAP_UNDONE;
    if (!settled && (swap->last != SWAP_NONE || any_copied(areas))) {
        return problem_set(problem, EXIT_RECOVERY, "the old data is kept until the run is undone or concluded");
    }
    for (size_t i = 0; i < areas->count; i++) {
        if (areas->list[i]->work && clean_keeping_time(areas, areas->list[i], counts, problem) != 0) {
            return -1;
        }
    }
    return 0;
}
