/* What is particular to PostgreSQL, 9.6 and later. All steps talk to the server by psql on the container's socket. */
#ifndef POSTGRES_H
#define POSTGRES_H

#include "databases.h"

/* SQL that a load runs before the dump: whoever came back since `prepare` is disconnected. */
extern const char postgres_load_first[];

/* Rows: at least one where a load's session is at work, so that silence on its streams is no stall. */
extern const char postgres_busy_query[];

/* Ends the sessions of loads. */
extern const char postgres_end_loads[];

/* Disconnects everybody else, and waits a few seconds until they are gone. */
extern const char postgres_disconnect_others[];

/* One query on the given host (NULL: socket). The failure, and the version where it is CLIENT_OK. */
enum client_failure postgres_version(struct server *server, const char *host, char *version, size_t size, char *error,
                                     size_t error_size);

/* What would block a DROP DATABASE: prepared transactions, logical slots, subscriptions; and who cannot do it. */
enum outcome postgres_probe(struct server *server, struct probe *probe);

/*
 * Closes the dump's databases to others and disconnects everybody; databases and roles that the dump does not know are
 * reported, or the databases dropped (roles can go only once what they own is gone: postgres_finish()).
 */
enum outcome postgres_prepare(struct server *server, struct database_state *state);

/* Opens databases that are still closed (where nothing was loaded), drops extra roles where asked. */
enum outcome postgres_finish(struct server *server, struct database_state *state);

/* Counts databases and user tables; invalid indexes and passwords that the server no longer takes are findings. */
enum outcome postgres_check(struct server *server, struct census *census);

/* For an undo dump: what there is; everybody disconnected, with the roles whose DROP and CREATE cannot be loaded. */
enum outcome postgres_undo_census(struct server *server, struct undo_census *census);
enum outcome postgres_undo_begin(struct server *server, struct name_list *roles);

/* Clears the server of databases, tablespaces and roles, wherever a load or an earlier reset was interrupted. */
enum outcome postgres_undo_reset(struct server *server);

#endif
