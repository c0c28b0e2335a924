/* The stack's containers: list them, lock the project, stop and start them in the order of their dependencies. */
#ifndef STACK_H
#define STACK_H

#include "run.h"

#define STREAMS_MAX 340 /* three numbers each: the stream, and for paths in a container's layer two more spools */

/* A label backup.volume-path.NAME=PATH of plan.containers[container]. */
struct volume_label {
    unsigned container;
    char *name;
    char *path;
};

struct volume_labels {
    struct volume_label *items;
    size_t count;
};

void volume_labels_free(struct volume_labels *labels);

/* Fill run->plan.containers anew; `labels` may be NULL. */
int list_stack(struct run *run, struct volume_labels *labels);

/* The project's lock; a second run learns who holds it since when. */
int take_lock(struct run *run);

/* An action on containers that `chosen` picks, all at once. `what` is for the message of a failure. */
struct action {
    enum container_action action;
    bool former_policy; /* ACTION_SET_RESTART: the one from before the run; otherwise "no" */
    const char *what;
};
int act_on(struct run *run, const struct action *action, const bool *chosen);

/* Stop those chosen, dependants first, and verify that they stand still. */
int stop_containers(struct run *run, const bool *chosen);

/* Start those chosen, dependencies first, honouring service_healthy. */
int start_containers(struct run *run, const bool *chosen);

/* Pause those chosen. A process that is just starting cannot always be frozen: tried again. */
int pause_containers(struct run *run, const bool *chosen);

/* The container's state now. Texts live until the next frame. */
int inspect_container(struct run *run, const struct container *container, struct msg_container_state *state);

/* The spool that keeps what a path in a container's own layer held before. */
static inline unsigned saved_spool(const struct stream *stream)
{
    return stream->id + STREAMS_MAX;
}

/* Write down who ran and how, before anything is stopped, and which layers can be brought back, before each is
 * written. */
int write_note(struct run *run);

/* The same with a text of its own: a recovery's. */
int write_note_text(struct run *run, const char *text);

/* Print name and state of every container. */
int show_states(struct run *run, const char *title);

/* Fail where a running container mounts a target: of the stack (`of_stack`), or of other projects. */
int check_users(struct run *run, bool of_stack);

/*
 * The Engine's events, from before the stop to the commit point: a container that starts meanwhile and mounts a target
 * is a failure of whatever waits then (take_started(), for monitor.c).
 */
int watch_starts(struct run *run, enum watch_mode mode);
int take_started(struct run *run, enum process from, const struct frame *frame);

/* Wait until what was healthy before is healthy again. */
int wait_healthy(struct run *run);

#endif
