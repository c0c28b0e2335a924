/* The state of one run, shared by the phases. */
#ifndef RUN_H
#define RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "exit_codes.h"
#include "hash.h"
#include "ipc.h"
#include "options.h"
#include "plan.h"
#include "proctable.h"

#define RUN_ID_SIZE 24
#define LOG_BUFFER_SIZE 8192

/* A process that waits to become a worker; pid 0: there is none, or none any more. */
struct spare {
    pid_t pid;
    int handle; /* a pidfd */
    int in;     /* its frames */
    int out;
    int log;
};

/* Whose process it is, as /proc says after its lock-down. */
struct identity {
    unsigned user;
    unsigned group;
    uint64_t capabilities;
};

/* The SHA-256 of the filter that a policy has to be in force as. */
#define POLICY_COUNT 7
struct policy_hash {
    const struct policy *policy;
    char sha256[SHA256_HEX_SIZE];
};

/* A worker as it runs; pid 0: it does not. */
struct worker {
    enum process process;
    pid_t pid;
    int handle; /* a pidfd: what it is ended by */
    struct channel channel;
    int log; /* read end of its log pipe, or -1 */
    char log_buffer[LOG_BUFFER_SIZE];
    size_t log_size;
    unsigned layers;  /* as it reported them; 0: it is not ready yet */
    uint64_t heard;   /* bytes of its frames so far */
    uint64_t logged;  /* bytes of its log lines so far */
    double closed_at; /* when it closed its pipe, by monotonic_seconds() */
    struct identity identity;
    struct spare spares[WORKER_STARTS_MAX];
    unsigned started; /* how many of them were taken */
};

/* The first failure decides; later ones are consequences. */
struct failure {
    bool set;
    int code;
    char message[4600];
};

struct backup {
    char *key;
    char *name;
    char stamp[16];      /* YYYYMMDD-HHMMSS */
    unsigned format;     /* enum archive_format */
    unsigned encryption; /* enum encryption */
    uint64_t size;
    uint64_t modified;
    char *etag;
    char *version_id;
    char *signature; /* the .minisig file beside it, or NULL */
    size_t signature_size;
};

/* How far the run has come, for what a failure must undo. */
struct progress_marks {
    bool locked;
    bool prepared;      /* the run's volume and stager exist */
    bool stopping;      /* the note is written: containers may be stopped */
    bool concluded;     /* past the point of no return */
    bool started;       /* the stack runs again */
    bool something_new; /* anything at all was restored */
};

#define PHASE_COUNT 7

struct run {
    struct options options;
    char id[RUN_ID_SIZE];
    struct failure failure;
    struct worker workers[PROCESS_COUNT];
    int pipes[PIPE_COUNT][2];
    unsigned user;   /* that it was started as */
    bool own_users;  /* workers become users of their own */
    unsigned layers; /* of the supervisor's own sandbox */
    struct policy_hash policies[POLICY_COUNT];
    int signals;           /* signalfd */
    int caught;            /* the signal that ends the run, or 0 */
    bool watching;         /* starts of containers are told from here on, see watch_starts() */
    bool unwinding;        /* a failure is being undone: signals wait */
    const char *directory; /* where the workers' executables are */
    char self[72];         /* our own container id, or empty */
    /* where the backups are */
    char *bucket;
    char *prefix;
    char *endpoint;
    char *region;
    bool file_store;
    uint64_t as_of;        /* AS_OF in seconds since 1970, or 0 */
    char before[16];       /* BACKUP_BEFORE as a stamp of names, or empty */
    char minisign_key[64]; /* with which backups have to be signed, or empty */
    struct backup backup;
    struct plan plan;
    struct progress_marks marks;
    uint64_t fetched;
    uint64_t run_volume_free;
    char sha256[65]; /* of the archive */
    double phase_seconds[PHASE_COUNT];
    double started_at;
    double stopped_at; /* monotonic seconds; 0: the stack was not stopped */
    double running_at;
    char unended[RUN_ID_SIZE + 64]; /* the earlier run whose recovery failed, or empty */
    unsigned volumes_restored;
    unsigned databases_restored;
};

/* Record a failure (the first one stays). Always returns -1, so that it ends a function. */
int run_fail(struct run *run, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Seconds of the monotonic clock. */
double monotonic_seconds(void);

#endif
