/*
 * The Engine's events, followed on a connection of their own: a container that starts on a target while it is swapped
 * or loaded is told to the supervisor (user_started), whatever verb runs. A stream that is lost is subscribed to again
 * from the last event on, and who runs by then is looked at.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <poll.h>

#include "agent.h"

/*
 * poll() that follows the events meanwhile; `fds` has room for one more than `count`. As poll(), but it may return 0
 * before the time; -1 also where the channel is broken.
 */
int events_poll(struct agent *agent, struct pollfd *fds, nfds_t count, int timeout_ms);

int watch_handle(struct agent *agent, const struct frame *frame);

#endif
