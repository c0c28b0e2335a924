/*
 * What the parts of the docker-agent share: its state, the containers it knows and how a verb answers.
 *
 * A verb is a function `int NAME_handle(struct agent *, const struct frame *)`: it decodes the frame, does its work and
 * sends its answers. It returns 0 also where the work failed and `failed` was sent, and -1 where the process has to end
 * (protocol violation or a broken channel; channel.violation says which).
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine_api.h"
#include "ipc.h"

struct databases;      /* databases.c */
struct watch;          /* events.c */
struct stager_session; /* stager_session.c */

/* One mount of a container, as the Engine describes it. Strings are never NULL; empty where they do not apply. */
struct container_mount {
    char *type;        /* volume, bind, tmpfs, ... */
    char *name;        /* of a volume */
    char *source;      /* path on the host */
    char *destination; /* normalised path in the container */
    char *subpath;     /* VolumeOptions.Subpath */
    bool read_only;
};

/* backup.volume-path.NAME=PATH */
struct volume_label {
    char *name;
    char *path; /* as it stands in the label */
};

/* A container of the project. Fixed at list_stack; the last group is renewed by agent_container(). Owned by the agent.
 */
struct container {
    char id[65]; /* full id, lower-case hex */
    char *name;  /* without the leading slash */
    char *service;
    char *image;    /* as it was asked for */
    char *image_id; /* sha256:... */
    char *user;     /* Config.User, may be empty */
    char *depends_on;
    char *restart_policy;
    unsigned restart_retries;
    unsigned number;
    bool oneoff;
    bool self;  /* the container we run in: never acted upon */
    bool swarm; /* a task of a Swarm service */
    struct container_mount *mounts;
    size_t mount_count;
    struct volume_label *labels;
    size_t label_count;
    bool started_by_us; /* for the load of a database: no news to the supervisor */

    char state[16];  /* created, running, paused, restarting, removing, exited, dead */
    char health[16]; /* starting, healthy, unhealthy; empty without a health check */
    unsigned exit_code;
    char **addresses; /* IP addresses (v4, then v6) in the container's networks; none while it does not run */
    size_t address_count;
};

/* A mount of the plan: what the stager finds at /mounts/INDEX. Named by volume or by bind source, never both. */
struct plan_mount {
    bool is_volume;
    char *name;    /* of the volume; empty for a bind */
    char *source;  /* path on the host; for a volume where the Engine tells it */
    char *subpath; /* VolumeOptions.Subpath of the target's mount, or empty */
};

/* An action queued by `act`. */
struct queued_action {
    unsigned container;
    unsigned action; /* enum container_action */
    unsigned seconds;
    unsigned retries;
    char policy[33];
};

struct agent {
    struct channel channel; /* to the supervisor */
    struct engine engine;
    char project[129];
    char self[129];         /* prefix of our own container's id, or empty */
    char stager_image[513]; /* a preloaded image, or empty: import our own */
    char run[65];           /* of `lock` or `prepare`; empty before */
    unsigned timeout;       /* seconds for one Engine request */
    struct container *containers;
    size_t container_count;
    struct plan_mount *mounts;
    size_t mount_count;
    struct queued_action *actions;
    size_t action_count;
    struct stager_session *stager; /* the run's stager, or NULL */
    char stager_run[65];           /* whose stager was made or opened last: ours, or that of a run being recovered */
    unsigned helpers;              /* number of the last helper container of the run; the stager is 1 */
    uint8_t *stager_tar;           /* the image to import, read before the lock-down */
    size_t stager_tar_size;
    struct watch *watch;         /* of events.c, while the Engine's events are followed; or NULL */
    struct databases *databases; /* of databases.c, kept between its messages; NULL at first */
};

/* Sends a message to the supervisor: 0, or -1 where the process has to end.
 * AGENT_SEND(agent, loading, .container = index, .bytes = bytes) */
#define AGENT_SEND(agent, name, ...) agent_sent(SEND(&(agent)->channel, name, __VA_ARGS__))
#define AGENT_SEND_EMPTY(agent, name)                                                                                  \
    agent_sent(channel_send(&(agent)->channel, MESSAGE_##name, &(struct msg_##name){}))
int agent_sent(enum ipc_result result);

/* Decodes the frame into the struct msg_NAME at `message`: 0, or -1 (violation). */
#define AGENT_DECODE(agent, frame, name, message)                                                                      \
    agent_sent(channel_decode(&(agent)->channel, (frame), MESSAGE_##name, (message)))

/*
 * Ends the running verb with `failed`: formatted, or with the engine's last error (agent->engine.error and
 * .error_code). Return what they return.
 */
int agent_fail(struct agent *agent, unsigned code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int agent_fail_engine(struct agent *agent);

/*
 * The container of that index, checked against the Engine now: it exists under its full id, its label
 * com.docker.compose.project still is this project's and its image id is unchanged; state, health, exit code and
 * addresses are renewed. Call it before each use of a container. NULL with agent->engine.error set (EXIT_DOCKER) where
 * there is none, the Engine does not answer or a check fails. The pointer stays good until the next list_stack.
 */
const struct container *agent_container(struct agent *agent, uint64_t index);

/* What the Engine tells about a container of the table, checked in the same way (cJSON_Delete() it in either case). 0,
 * or -1 with agent->engine.error. */
int agent_inspect(struct agent *agent, const struct container *container, cJSON **answer);

/* Config.Env of a container, asked anew and wiped when freed. */
struct environment {
    char **lines; /* NAME=VALUE */
    size_t count;
};
#define cleanup_environment __attribute__((cleanup(environment_free)))

/* 0, or -1 with agent->engine.error. `out` must be freed in either case. */
int agent_environment(struct agent *agent, const struct container *container, struct environment *out);
/* The value of a variable; NULL where it is not set. Belongs to `environment`. */
const char *environment_get(const struct environment *environment, const char *name);
void environment_free(struct environment *environment);

/*
 * One regular file of a container through the archive API (works without a shell, running or stopped), at most `limit`
 * bytes: for secrets that a *_FILE variable names. *data is on the heap, NUL-terminated, and belongs to the caller
 * (secret_free()). 0, or -1 with agent->engine.error.
 */
int agent_read_file(struct agent *agent, const struct container *container, const char *path, size_t limit, char **data,
                    size_t *size);

#endif
