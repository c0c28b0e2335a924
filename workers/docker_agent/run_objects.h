/*
 * What a run creates in the Engine, and nothing else does: its image, its volume, its helper containers and the lock.
 * All are named after project and run and labelled with both; whatever is used or removed is found by these labels.
 */
#ifndef RUN_OBJECTS_H
#define RUN_OBJECTS_H

#include "agent.h"

#define LABEL_PROJECT "restore.project"
#define LABEL_RUN "restore.run"
#define LABEL_ROLE "restore.role" /* lock, stager, spool */
#define LABEL_OWNER "restore.owner"
#define LABEL_SINCE "restore.since"
#define LABEL_BOOT "restore.boot"
#define LABEL_MOUNTS                                                                                                   \
    "restore.mounts" /* of the volume: the plan's mounts, so that a recovery can make the stager anew */

#define STAGER_NUMBER 1

/* Letters, digits, `_`, `.` and `-`, beginning with a letter or digit: what names of containers, volumes and tags may
 * be. */
bool is_plain_name(const char *name, size_t most);

/* Imports the stager's image for a run, unless it is there already or a preloaded one is configured. 0 or -1. */
int run_image_ensure(struct agent *agent, const char *run);

/* Creates the run's volume, labelled with the agent's plan of mounts. 0 or -1. */
int run_volume_create(struct agent *agent, const char *run);

/*
 * Creates helper number N of a run, with the run's volume at /run-volume and, for the stager, `mounts` (JSON as in
 * LABEL_MOUNTS) at /mounts/INDEX. NULL: a spool, with the volume alone. `devices`: may make device nodes.
 * 0 with the container's full id, or -1 (engine->status 409: the name is taken).
 */
int run_helper_create(struct agent *agent, const char *run, unsigned number, const cJSON *mounts, bool devices,
                      char id[65]);

/* Creates the lock, which is never started. 0, or -1 (engine->status 409: it is held). */
int run_lock_create(struct agent *agent, const struct msg_lock *lock);

/* The run's stager; made anew from the volume's labels where a crash left the volume alone. 0 with its id, or -1. */
int run_stager_find(struct agent *agent, const char *run, char id[65]);

/*
 * The stager anew, where it cannot be started: an engine whose disk was full may keep its place in the network `none`
 * (status 403). Nothing of the run is in the container. 0 with the new id, or -1.
 */
int run_stager_renew(struct agent *agent, const char *run, char id[65]);

/* The plan's mounts as JSON (LABEL_MOUNTS); NULL: no memory. */
cJSON *plan_to_json(const struct plan_mount *mounts, size_t count);

int container_start(struct agent *agent, const char *id, const char *what);
/* Waits until a container is not running, at most the Engine's timeout; kills it then. 0 with its exit code, or -1. */
int container_end(struct agent *agent, const char *id, unsigned *exit_code);
/* Removes a container, running or not; none is no error. 0 or -1. */
int container_remove(struct agent *agent, const char *id);

int lock_handle(struct agent *agent, const struct frame *frame);
int break_lock_handle(struct agent *agent, const struct frame *frame);
int unlock_handle(struct agent *agent, const struct frame *frame);
int list_leftovers_handle(struct agent *agent, const struct frame *frame);
int remove_run_handle(struct agent *agent, const struct frame *frame);
int prepare_handle(struct agent *agent, const struct frame *frame);

#endif
