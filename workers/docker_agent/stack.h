/* The project's containers: read from the Engine's answers, kept in the agent's table, listed to the supervisor. */
#ifndef STACK_H
#define STACK_H

#include "agent.h"

/*
 * Fills *container from an answer of `GET /containers/ID/json`. `self`: prefix of our own id, or empty.
 * 0, or -1 where the answer lacks what a container must have or memory is short; free with container_free() either way.
 */
int container_parse(const cJSON *inspect, const char *self, struct container *container);
/* Renews the last group of struct container. 0, or -1 (no memory). */
int container_renew(const cJSON *inspect, struct container *container);
void container_free(struct container *container);

/* Absolute, without `.`, `..`, empty parts and slash at its end ("/" stays), into `out` of `size` bytes.
 * 0, or -1 where the path is relative, has `..` or is too long. */
int path_normalise(const char *path, char *out, size_t size);

/* The path of a container's label backup.volume-path.NAME; NULL where it has none. Belongs to the container. */
const char *container_label_path(const struct container *container, const char *name);

int list_stack_handle(struct agent *agent, const struct frame *frame);
int inspect_handle(struct agent *agent, const struct frame *frame);

#endif
