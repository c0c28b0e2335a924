/* What a root is, and whether it can be restored: tried, not guessed. */
#ifndef PROBE_H
#define PROBE_H

#include "area.h"
#include "ipc.h"
#include "stage.h"

/*
 * Look at every declared root and send `probed` for each. device and inode are those of the root; inode 0: its path
 * does not exist yet, the other fields are then of the deepest directory that does. A refusal is an answer, not a
 * problem. Returns 0, or -1: problem.
 */
int probe_roots(struct areas *areas, const struct root *roots, struct channel *channel, struct problem *problem);

/* Whose data directory this is: by the files that the servers keep at its top. */
enum section_kind probe_database(int fd);

#endif
