/*
 * Which containers a run stops and starts: the stack's, or with STOP_SCOPE=affected those alone that have to do with
 * what is restored. The plan shows what the phases do by these.
 */
#ifndef SCOPE_H
#define SCOPE_H

#include "run.h"

/* Others than we, and not one-off containers: those are not the stack's. */
bool is_of_stack(const struct container *container);

/* Of the stack, and not left alone. */
bool is_concerned(const struct container *container);

bool is_stopped(const struct run *run, const struct container *container);
bool is_started(const struct run *run, const struct container *container);

/*
 * Marks the containers that are left alone (`apart`), once it is known what the archive holds and who uses the targets:
 * those that run, of whose service nothing is restored, that mount no target, and that depend on no service of which
 * something is restored, not even by way of others.
 */
int settle_scope(struct run *run);

#endif
