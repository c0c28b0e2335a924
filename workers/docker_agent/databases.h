/*
 * The database verbs of the docker-agent: probe, ready, prepare, load, finish, check. What is the same for every
 * product is here; postgres.c and mariadb.c hold what is not, load.c the loads.
 *
 * Between messages the agent keeps, for each server, the names that the supervisor sent and what `prepare` changed:
 * enough for `finish`. It is in memory alone: after a crash the server's data directory is put back as a whole, and
 * the settings that were changed do not outlive a restart of the server.
 */
#ifndef DATABASES_H
#define DATABASES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent.h"
#include "database_client.h"

#define VERSION_MAX 128
#define BLOCKER_MAX 2048
#define FINDING_MAX 2048

/* What a step of a verb ends in. */
enum outcome {
    OUTCOME_DONE = 0,
    OUTCOME_FAILED = 1,  /* agent->engine.error and .error_code say why; nothing was sent yet */
    OUTCOME_BROKEN = -1, /* the channel: the process has to end */
};

struct name_list {
    char **names;
    size_t count;
};

bool name_list_has(const struct name_list *list, const char *name);
/* 0, or -1 (no memory). A name that is there already is no error. */
int name_list_add(struct name_list *list, const char *name);
void name_list_clear(struct name_list *list);

/* What was before `prepare` in a MariaDB server, and is put back by `finish`. */
struct mariadb_saved {
    bool saved;
    char event_scheduler[16];
    char max_allowed_packet[24];
    char *init_connect;               /* heap */
    char *healthcheck;                /* SQL that puts the image's health check users back; heap */
    struct name_list event_databases; /* and, for each, */
    char **events;                    /* its events as SQL */
};

/* One server between messages. */
struct database_state {
    unsigned container;
    bool prepared; /* the names were used: the next one starts anew */
    bool drop_extras;
    struct name_list databases; /* of the dump */
    struct name_list roles;
    struct mariadb_saved mariadb;
};

/* What a probe finds; texts are empty where there is nothing to say. */
struct probe {
    char version[VERSION_MAX];
    char blocker[BLOCKER_MAX];
};

/* Adds a reason to probe->blocker; what no longer fits is cut. */
void probe_block(struct probe *probe, const char *reason);

/* What a check counts. */
struct census {
    uint64_t databases;
    uint64_t tables;
    bool root_remote; /* MariaDB: root may log in from any host */
};

/* What an undo dump holds, to be compared after it was loaded. entries: roles of PostgreSQL, tables of MariaDB. */
struct undo_census {
    uint64_t databases;
    uint64_t entries;
    uint64_t bytes; /* on disk */
};

/* Sends a `finding` about the server; longer text is cut. DONE or BROKEN. */
enum outcome server_finding(struct server *server, bool severe, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* FAILED, with a query's error as the reason: "WHAT of CONTAINER: error". */
enum outcome server_failed(struct server *server, const char *what, const struct answer *answer);

/* The agent's memory of a server, made where there is none. NULL: out of memory. */
struct database_state *state_of(struct agent *agent, uint64_t container);

/* Every message from database_probe to database_check. 0, or -1 where the process has to end. */
int databases_handle(struct agent *agent, const struct frame *frame);

#endif
