/*
 * A label's path that lies in a container's own layer: the Engine's archive API writes there, but cannot clear.
 *
 * `saved` is the tar that the Engine gave of the path's contents (names below `./`), `stream` the clean tar of the
 * archive, both spools. `merged` becomes a pax tar of what the archive holds, names relative to the label's path (to be
 * put at that path, as `saved` is for undo), with owners chosen by the saved tree as owners.h says. Names that the
 * saved tree alone has stay in the container: they are warned of.
 */
#ifndef LAYER_H
#define LAYER_H

#include "ipc.h"
#include "owners.h"
#include "problem.h"
#include "swap.h"

/* counts: entries and bytes as `staged` counts them. Returns 0, or -1: problem. */
int layer_merge(struct channel *channel, int run_volume, const struct msg_layer_merge *message,
                struct swap_counts *counts, struct problem *problem);

#endif
