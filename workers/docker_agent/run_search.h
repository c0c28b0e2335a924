/* What carries the labels of this project's runs: found for leftovers, for the lock and for removal. */
#ifndef RUN_SEARCH_H
#define RUN_SEARCH_H

#include "agent.h"
#include "log.h"

/* Containers of a run (NULL: of all runs), or only those that run; *list is a JSON array. 0 or -1. */
int run_containers(struct agent *agent, const char *run, bool running, cJSON **list);

/* Removes the image that was imported for a run; none is no error. 0 or -1. */
int run_image_remove(struct agent *agent, const char *run);

#endif
