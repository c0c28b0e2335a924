/*
 * Undo of databases whose data directory is on no mount: a dump of all that the server had, on the run's volume and in
 * its note before the first statement of a load; see docker_agent/undo_dump.h. Its container must stay: the data is in
 * its own layer.
 */
#ifndef UNDO_DUMP_H
#define UNDO_DUMP_H

#include <cjson/cJSON.h>

#include "run.h"

/* Before the stop: whether the server can be dumped, and whether there is room. DB_ROLLBACK=none goes on if it cannot.
 */
int check_undo_dump(struct run *run, const struct stream *stream);

/* With the servers running and nothing destroyed yet: dump all that need it, then write them into the note. */
int dump_for_undo(struct run *run);

/* The dumps that there are, for the note. */
void note_undo_dumps(const struct run *run, cJSON *note);

/* Recovery: whether the note has dumps that are still to be loaded. Their containers are marked: they go on running. */
bool mark_undo_dumps(struct run *run, const cJSON *note);

/* Recovery: bring back every database of the note's dumps; the note loses them. May be repeated from any moment. */
int load_undo_dumps(struct run *run, const char *run_id, cJSON *note);

#endif
