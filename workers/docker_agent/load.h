/*
 * Loads: the SQL that the stager spooled on the run's volume, through the server's own client, into the server; several
 * servers at once in one poll loop.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>

#include "agent.h"

/* One queued `load`. */
struct load {
    unsigned container;
    enum section_kind kind;
    unsigned stream; /* name of the spool */
};

/*
 * Carries out all loads; sends `loading` a few times a second and one `loaded` each, whatever comes of it. A load is a
 * success only where the whole spool was taken and the client ended without an error. The first that fails ends the
 * others, and is reported before them: the run is lost, and the stack is down.
 *
 * A load that neither takes SQL nor says anything for `stall_timeout` seconds (0: no limit) is ended, unless its server
 * says that it is at work (an index of a large table takes its time).
 *
 * 0, or -1 where the process has to end.
 */
int loads_run(struct agent *agent, const struct load *loads, size_t count, const char *run, unsigned stall_timeout);

#endif
