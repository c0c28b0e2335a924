/* The verbs layer_save and layer_put: a label's path that lies on no mount, by the archive API and a spool. */
#ifndef LAYER_H
#define LAYER_H

#include "agent.h"

int layer_save_handle(struct agent *agent, const struct frame *frame);
int layer_put_handle(struct agent *agent, const struct frame *frame);

#endif
