/*
 * Targets: which mounts of a container lie at or below a path, and the plan of mounts that the stager is given.
 *
 * For a path, the deepest mount at or above it is the root with prefix "" (and the subpath that the path has in it);
 * every mount below it is a further root, whose prefix is where it lies below the path.
 */
#ifndef TARGETS_H
#define TARGETS_H

#include "agent.h"

/* Points into the container's mounts and into the path that was resolved. */
struct target_part {
    const struct container_mount *mount;
    const char *subpath; /* of the mount; "" for all of it */
    const char *prefix;  /* below the path; "" for the path itself */
};

struct target_parts {
    char path[4097]; /* normalised */
    struct target_part *parts;
    size_t count;
    bool covered;       /* a mount lies at or above the path */
    char refusal[1024]; /* why the path cannot be restored; empty: it can */
};

/* Pure. `socket`: the Engine's socket, which is never restored. 0, or -1 (no memory). Free with target_parts_free(). */
int target_resolve(const struct container *container, const char *path, const char *socket, struct target_parts *out);
void target_parts_free(struct target_parts *parts);
#define cleanup_target_parts __attribute__((cleanup(target_parts_free)))

/* Whether normalised `path` is `ancestor` or lies below it. */
bool path_within(const char *path, const char *ancestor);

/* Whether what is mounted by a plan's mount and by (type, name, source) is the same, or one lies within the other. */
bool plan_mount_overlaps(const struct plan_mount *mount, const char *type, const char *name, const char *source);

/* Index of the mount in the agent's plan, added where it is new: 0, or -1 with engine->error. */
int plan_add(struct agent *agent, const struct container_mount *mount, unsigned *index);
void plan_clear(struct agent *agent);

/*
 * Tells of the containers of a list (as `GET /containers/json` answers) that have a mount of the plan, ours aside: as
 * mount_user, or `started` as user_started, without those that we started ourselves. 0, or -1: the process ends.
 */
int users_tell(struct agent *agent, const cJSON *list, bool started);

int target_handle(struct agent *agent, const struct frame *frame);
int database_target_handle(struct agent *agent, const struct frame *frame);
int list_users_handle(struct agent *agent, const struct frame *frame);

#endif
