/* The verbs act and act_run: stop, start, pause, unpause and restart policies, queued and carried out at the same time.
 */
#ifndef ACTIONS_H
#define ACTIONS_H

#include "agent.h"

int act_handle(struct agent *agent, const struct frame *frame);
int act_run_handle(struct agent *agent, const struct frame *frame);

#endif
