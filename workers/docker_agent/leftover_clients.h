/*
 * Clients that a killed run left in a database's container: the Engine does not end an exec with the connection that
 * started it, so a psql goes on with what it has read already, and may connect again. They are ended by ending their
 * sessions, as often as it takes, until no process of theirs is left.
 */
#ifndef LEFTOVER_CLIENTS_H
#define LEFTOVER_CLIENTS_H

#include "databases.h"

/* Everybody else is disconnected. DONE: no client of an earlier run is there any more, in the container or the server.
 */
enum outcome leftover_clients_end(struct server *server);

#endif
