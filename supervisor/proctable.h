/* The process table: start reading here. One row a worker; nothing else knows how many there are. */
#ifndef PROCTABLE_H
#define PROCTABLE_H

#include <stdbool.h>

#include "messages.h"
#include "sandbox.h"

enum process { PROCESS_FETCHER, PROCESS_UNPACKER, PROCESS_AGENT, PROCESS_STRETCHER, PROCESS_COUNT };

/* Where a worker's bulk descriptors lead. */
enum data_pipe { PIPE_NONE, PIPE_ARCHIVE, PIPE_STREAMS, PIPE_COUNT };

/* A secret that a worker reads itself, from a file that the supervisor opens and never reads. */
enum secret { SECRET_NONE, SECRET_AGE_IDENTITY, SECRET_AGE_PASSPHRASE };
#define WORKER_STARTS_MAX 2

struct process_rule {
    const char *name;       /* as in the log */
    const char *executable; /* beside the supervisor, or in libexec */
    const struct policy *policy;
    const struct policy *directory_policy; /* instead of it where the backups are in a directory, or NULL */
    enum party party;
    enum data_pipe data_in;
    enum data_pipe data_out;
    bool relays_stager; /* its channel carries the stager's conversation too */
    enum secret secret;
    unsigned starts; /* how often a run may start it, at most WORKER_STARTS_MAX */
    unsigned user;   /* its own uid and gid where the supervisor may give it away (include/identities.h) */
    const char *holds;
    const char *never_has;
};

extern const struct process_rule process_table[PROCESS_COUNT];

#endif
