/* The phases of a restore, one function each; the table is in phases.c. All return 0, or -1 (run->failure). */
#ifndef PHASES_H
#define PHASES_H

#include "run.h"

/* Of phase 1, before the supervisor's lock-down: the options, and the files that they name. */
int check_options(struct run *run);

int phase_validation(struct run *run);
int phase_discovery(struct run *run);
int phase_download(struct run *run);
int phase_shutdown(struct run *run);
int phase_volumes(struct run *run);
int phase_databases(struct run *run);
int phase_restart(struct run *run);

/* Fail with the specification's words where a target, or the run's volume, has less than `needed` bytes free. */
int check_space(struct run *run, uint64_t needed);

/* Run the phases that the mode needs, undo on failure, and return the exit code. */
int run_phases(struct run *run);

#endif
