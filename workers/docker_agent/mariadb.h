/* What is particular to MariaDB, 10.1 and later. All steps talk to the server by its client on the socket, as root. */
#ifndef MARIADB_H
#define MARIADB_H

#include "databases.h"

/* Rows: at least one where another session of ours is at work, so that silence on its streams is no stall. */
extern const char mariadb_busy_query[];

/* Disconnects everybody else: other clients, and the sessions of loads. */
extern const char mariadb_kill_others[];

/* One query on the given host (NULL: socket). The failure, and the version where it is CLIENT_OK. */
enum client_failure mariadb_version(struct server *server, const char *host, char *version, size_t size, char *error,
                                    size_t error_size);

/* Asks the server on its socket which TCP port it listens on, into server->port; 0 where it does not tell. */
void mariadb_find_port(struct server *server);

/* What would block the load: prepared XA transactions. */
enum outcome mariadb_probe(struct server *server, struct probe *probe);

/*
 * Saves the events of all databases and the image's health check users, which the dump replaces by nothing or by old
 * ones; keeps other clients out; drops the dump's databases (system ones aside), so that nothing newer than the dump
 * stays in them. Databases that the dump does not know are reported, or dropped.
 */
enum outcome mariadb_prepare(struct server *server, struct database_state *state);

/* Puts back what `prepare` saved, events of databases that are there, and reads the restored privileges. */
enum outcome mariadb_finish(struct server *server, struct database_state *state);

enum outcome mariadb_check(struct server *server, struct census *census);

/* For an undo dump: what there is; what `prepare` saves is saved and others are kept out. *history: the server has
 * versioned tables, whose history must be in it. */
enum outcome mariadb_undo_census(struct server *server, struct undo_census *census);
enum outcome mariadb_undo_begin(struct server *server, struct database_state *state, bool *history);

/* Clears the server of all databases but its own, and keeps clients and events out until its restart. */
enum outcome mariadb_undo_reset(struct server *server);

void mariadb_saved_clear(struct mariadb_saved *saved);

#endif
