/*
 * Ending what was left over, by a failure of this run or by the death of an earlier one: the same code. Before the
 * commit point everything is undone, after it the cleaning is completed; the containers that ran are started.
 */
#ifndef RECOVERY_H
#define RECOVERY_H

#include "run.h"

/* Find and end leftovers of earlier runs of the project. The docker-agent is up and the lock is ours. */
int recover_leftovers(struct run *run);

/*
 * After a failure of this run: end all workers, start a fresh docker-agent and bring the former state back. Returns 0
 * where data and containers are as before (or concluded), -1 where a later RESTORE_MODE=recover is needed.
 */
int unwind_run(struct run *run);

#endif
