/* The supervisor's own lock-down, and what is known of the workers'. */
#ifndef CONFINEMENT_H
#define CONFINEMENT_H

#include <stdio.h>

#include "hash.h"
#include "run.h"

/*
 * After everything that it will need was opened and its workers were forked: no capability but the one to end them, no
 * file but those of /proc, and its filter. Returns 0, or -1 (run_fail).
 */
int confine_supervisor(struct run *run);

/* Whether workers become users of their own, as one line of the log. */
void say_identity(const struct run *run);

/* Every policy's name and the SHA-256 of the program that the kernel gets. Returns 0, or -1. */
struct policy_hash {
    const char *name;
    char sha256[SHA256_HEX_SIZE];
};
#define POLICY_COUNT 7
int hash_policies(struct policy_hash hashes[POLICY_COUNT]);

#endif
