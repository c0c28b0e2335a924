/* What is to be restored, as data: containers of the stack, streams of the archive, roots on disk. */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"

/* One container of the stack, as the Engine had it when the run began. Texts are owned. */
struct container {
    unsigned index; /* the docker-agent's */
    char *id;
    char *name;
    char *service;
    unsigned number;
    bool oneoff;
    bool self;
    bool swarm;
    char *state;
    char *health;
    char *user;
    char *image;
    char *image_id;
    char *restart_policy;
    unsigned restart_retries;
    unsigned databases; /* bits 1 << enum section_kind */
    char *depends_on;
    bool was_running; /* running or paused */
    bool was_paused;
    bool was_healthy;
    bool uses_target;   /* it runs, and mounts something that is restored */
    bool apart;         /* nothing of it is restored: it is left alone (scope.h) */
    bool has_undo_dump; /* recovery: a database that is brought back by its dump; it has to run meanwhile */
};

/* A directory on disk that a stream, or several, is restored into. */
struct root {
    unsigned id;
    unsigned mount;
    char *subpath;
    char *source; /* for people: the volume's name or the bind's path */
    bool probed;
    uint64_t device;
    uint64_t inode;
    uint64_t free_bytes;
    uint64_t entries;
    uint32_t uid;
    uint32_t gid;
    unsigned database; /* enum section_kind: whose live data directory it is */
    int same_as;       /* index of the first root with the same device and inode, or -1 */
    bool staged_by_volume;
    bool copied; /* the cold copy of a data directory */
};

/* Where (part of) a stream goes: entries below `prefix` to a root. */
struct destination {
    unsigned root; /* index into plan.roots */
    char *prefix;
    bool read_only;
};

/* Names, each once. */
struct name_list {
    char **names;
    unsigned count;
};

/* A section of the archive that has, or may have, a target in the stack. */
struct stream {
    unsigned id;
    enum section_kind kind;
    char *service;
    char *name;         /* of the volume label; empty for databases */
    char *path;         /* the label's */
    unsigned container; /* index into plan.containers of the first container */
    struct destination *destinations;
    unsigned destination_count;
    bool layer;    /* the path lies in the container's own layer */
    bool saved;    /* layer: its former content is spooled, and is written back by an undo */
    char *refusal; /* why it cannot be restored, should the archive hold it */
    char *login;   /* databases */
    char *version; /* of the server, where known */
    char *dump_version;
    bool was_running;
    bool undo_dumped; /* databases: what it held before is in its undo dump, which is on disk */
    uint64_t undo_bytes;
    uint64_t undo_databases;
    uint64_t undo_entries;
    bool server_stopped; /* databases: stopped by us or found stopped, so that its directory is quiet */
    bool seen;           /* the archive holds it */
    bool deferred;       /* staged by a second pass after the stop: a live data directory */
    bool done;
    uint64_t entries;
    uint64_t bytes;
    char sha256[65]; /* of what was staged: the clean tar, or the SQL; empty where nobody asked */
    uint64_t staged_entries;
    uint64_t staged_bytes;
    bool totalled;
    bool staged;
    bool different;
    struct name_list databases; /* that the dump creates */
    struct name_list roles;     /* the same */
    uint64_t tables;
};

struct plan {
    struct container *containers;
    unsigned container_count;
    struct stream *streams;
    unsigned stream_count;
    struct root *roots;
    unsigned root_count;
};

/* All return NULL where memory is out. The arrays move as they grow: keep indices, not pointers. */
struct container *plan_add_container(struct plan *plan, const struct msg_container *message);
struct stream *plan_stream(struct plan *plan, enum section_kind kind, const char *service, const char *name,
                           unsigned container);
struct stream *plan_find_stream(struct plan *plan, enum section_kind kind, const char *service, const char *name);
struct root *plan_root(struct plan *plan, unsigned mount, const char *subpath, const char *source);
int plan_add_destination(struct stream *stream, unsigned root, const char *prefix, bool read_only);
int name_list_add(struct name_list *list, const char *name);

bool is_database(enum section_kind kind);
const char *database_engine(enum section_kind kind); /* "PostgreSQL", "MariaDB" */

/* The container with the docker-agent's index; NULL where the agent made it up. */
struct container *plan_container(struct plan *plan, uint64_t index);

/* Copy a decoded text, or a string: owned by the caller. */
char *copy_text(struct text text);

/*
 * Waves of containers by the label com.docker.compose.depends_on: wave[i] is 0 for those that depend on nothing
 * in the stack. Cycles are cut. `conditions` of one dependency, for waiting: see dependency_condition().
 */
unsigned plan_waves(const struct plan *plan, unsigned *wave);

enum condition { CONDITION_NONE, CONDITION_STARTED, CONDITION_HEALTHY, CONDITION_COMPLETED };

/* The condition under which `service` is named in a depends_on label, or CONDITION_NONE. */
enum condition dependency_condition(const char *depends_on, const char *service);

#endif
