/* Starting and ending workers. */
#ifndef SPAWN_H
#define SPAWN_H

#include "run.h"

/*
 * Once, before the supervisor's lock-down: fork a process for every start of the table, with exactly its worker's
 * descriptors, no secret and an empty environment to be. Returns 0, or -1 (run_fail).
 */
int prepare_workers(struct run *run);

/* Take the next of them: it executes its worker when its first frame comes. Returns 0, or -1 (run_fail). */
int spawn_worker(struct run *run, enum process process);

/* End those that no use was found for. */
void end_spares(struct run *run);

/* Kill a worker and reap it; one that does not run is left alone. */
void end_worker(struct run *run, enum process process);
void end_all_workers(struct run *run);

/* The pipes between workers, once at the start of the run. */
int create_data_pipes(struct run *run);

/*
 * /proc/PID/status says NoNewPrivs: 1 and Seccomp: 2, and whose process it is: worker->identity. Returns 0, or -1
 * (run_fail).
 */
int check_confinement(struct run *run, struct worker *worker);

#endif
