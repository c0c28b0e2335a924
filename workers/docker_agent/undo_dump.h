/*
 * Undo dumps: of a server whose data directory is on no mount, all that it has goes into a spool of the run's volume
 * before the first statement that destroys anything, by the dump program of its own image. It is sound where the
 * program ended without an error, its last line came, and the spool is on disk. Undo clears the server and loads it.
 */
#ifndef UNDO_DUMP_H
#define UNDO_DUMP_H

#include "agent.h"

/* undo_probe, undo_dump, undo_reset, undo_count. 0, or -1 where the process has to end. */
int undo_dump_handle(struct agent *agent, const struct frame *frame);

#endif
