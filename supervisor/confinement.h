/* The supervisor's own lock-down, and what is known of the workers'. */
#ifndef CONFINEMENT_H
#define CONFINEMENT_H

#include <stdio.h>

#include "run.h"

/*
 * After everything that it will need was opened and its workers were forked: no capability but the one to end them, no
 * file but those of /proc, and its filter. Returns 0, or -1 (run_fail).
 */
int confine_supervisor(struct run *run);

/* Whether workers become users of their own, as one line of the log. */
void say_identity(const struct run *run);

/* Every policy, and what its filter has to be. Returns 0, or -1. */
int hash_policies(struct policy_hash hashes[POLICY_COUNT]);

#endif
