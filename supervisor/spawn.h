/* Starting and ending workers. */
#ifndef SPAWN_H
#define SPAWN_H

#include "run.h"

/* Fork and exec the worker with exactly its own descriptors and an empty environment. Returns 0, or -1 (run_fail). */
int spawn_worker(struct run *run, enum process process);

/* Kill a worker and reap it; one that does not run is left alone. */
void end_worker(struct run *run, enum process process);
void end_all_workers(struct run *run);

/* The pipes between workers, once at the start of the run. */
int create_data_pipes(struct run *run);

/* Drop what an ended pass left in the pipes between workers: close them and make new ones. */
int renew_data_pipes(struct run *run);

/* /proc/PID/status says NoNewPrivs: 1 and Seccomp: 2. Returns 0, or -1 (run_fail). */
int check_confinement(struct run *run, const struct worker *worker);

#endif
