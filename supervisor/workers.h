/* Starting workers up to the point where they are confined and ready. */
#ifndef WORKERS_H
#define WORKERS_H

#include "monitor.h"

/* The barrier: wait for `ready` (10 s), check the layers it reports and /proc, before anything secret is sent. */
int worker_ready(struct run *run, enum process process);

/* The same, of its `ready` that came already. */
int worker_check(struct run *run, enum process process, const struct msg_ready *ready);

/* What a process says of its lock-down, and the policy that it has to be under. */
struct confined {
    const char *name;
    const struct policy *policy;
    uint64_t layers;
    const char *missing;
    struct text filter;
};

/* The filter must be there, and that of the policy; without Landlock only SANDBOX=degraded goes on. */
int check_layers(struct run *run, const struct confined *said);

int unpacker_start(struct run *run);
int agent_start(struct run *run);

/* Open the run's stager (of an earlier run where `run_id` says so) and wait until it is confined. */
int stager_open(struct run *run, const char *run_id);
int stager_close(struct run *run);

/* Answer of a stager's step that may take long: commit, undo, clean, copy. */
int stager_step(struct run *run, enum message_type type, const void *message, struct msg_swapped *swapped);

#define ENGINE_PATIENCE(run) (30 + 4 * (double)(run)->options.docker_timeout)
#define STEP_PATIENCE 3600

#endif
