/* The closed list of what the supervisor can ask of the docker-agent. */
#ifndef VERBS_H
#define VERBS_H

#include "agent.h"

/* Carries out a frame of the supervisor. 0, or -1 where the process has to end. */
int verb_handle(struct agent *agent, const struct frame *frame);

#endif
