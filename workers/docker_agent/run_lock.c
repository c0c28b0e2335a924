/*
 * The lock of a project: a container restore-PROJECT that is created and never started, so that the Engine's rule of
 * unique names decides who has it. It is stale when neither its owner nor a stager of its run is running.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "run_objects.h"
#include "run_search.h"

#define OWNER_CONTAINER "container:"
#define TAKE_OVER_TRIES 200 /* a stager whose owner is gone ends by itself, after the verb it is in */
#define TAKE_OVER_PAUSE_MS 50

/* Who has the lock, as its labels say. */
struct holder {
    char id[65]; /* of the lock's container: removed by id, so that nobody else's new lock is taken for it */
    char run[65];
    char owner[257];
    char boot_id[65];
    uint64_t since;
    bool stager_runs;
    bool owner_gone; /* seen to be gone; false also where the agent cannot see it */
};

static int inspect_container(struct agent *agent, const char *name, const char *what, cJSON **answer)
{
    cleanup_free char *path = NULL;
    if (engine_path(&agent->engine, &path, "/containers/%s/json", name) != 0) {
        return -1;
    }
    return engine_call(&agent->engine, &(struct engine_request){.method = "GET", .path = path, .what = what}, answer);
}

/* Whether an owner `container:ID` does not run. */
static int judge_owner(struct agent *agent, struct holder *holder)
{
    if (strncmp(holder->owner, OWNER_CONTAINER, strlen(OWNER_CONTAINER)) != 0) {
        return 0;
    }
    cleanup_json cJSON *answer = NULL;
    if (inspect_container(agent, holder->owner + strlen(OWNER_CONTAINER), "inspect the lock's owner", &answer) != 0) {
        holder->owner_gone = agent->engine.status == 404;
        return holder->owner_gone ? 0 : -1;
    }
    holder->owner_gone = !json_true(answer, "State.Running");
    return 0;
}

/* An engine whose disk was full lists containers as running that are not: each is asked itself. */
static int judge_stagers(struct agent *agent, struct holder *holder)
{
    cleanup_json cJSON *list = NULL;
    if (run_containers(agent, holder->run, true, &list) != 0) {
        return -1;
    }
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list)
    {
        cleanup_json cJSON *answer = NULL;
        if (inspect_container(agent, json_text(item, "Id"), "inspect a helper of the lock's run", &answer) != 0) {
            if (agent->engine.status != 404) {
                return -1;
            }
            continue;
        }
        holder->stager_runs = holder->stager_runs || json_true(answer, "State.Running");
    }
    return 0;
}

/* 1: *holder is filled, 0: nobody has the lock, -1: engine->error. */
static int look_at_lock(struct agent *agent, struct holder *holder)
{
    *holder = (struct holder){0};
    char name[160];
    snprintf(name, sizeof name, "restore-%s", agent->project);
    cleanup_json cJSON *answer = NULL;
    if (inspect_container(agent, name, "inspect the lock", &answer) != 0) {
        return agent->engine.status == 404 ? 0 : -1;
    }
    const cJSON *labels = json_member(answer, "Config.Labels");
    if (strcmp(json_label(labels, LABEL_PROJECT), agent->project) != 0 ||
        strcmp(json_label(labels, LABEL_ROLE), "lock") != 0) {
        return engine_error(&agent->engine, EXIT_DOCKER,
                            "a container %s exists that is no lock of ours: rename or remove it", name);
    }
    snprintf(holder->id, sizeof holder->id, "%s", json_text(answer, "Id"));
    snprintf(holder->run, sizeof holder->run, "%s", json_label(labels, LABEL_RUN));
    snprintf(holder->owner, sizeof holder->owner, "%s", json_label(labels, LABEL_OWNER));
    snprintf(holder->boot_id, sizeof holder->boot_id, "%s", json_label(labels, LABEL_BOOT));
    holder->since = strtoull(json_label(labels, LABEL_SINCE), NULL, 10);
    return judge_owner(agent, holder) != 0 || judge_stagers(agent, holder) != 0 ? -1 : 1;
}

static int report_holder(struct agent *agent, const struct holder *holder)
{
    return AGENT_SEND(agent, lock_held, .run = text_of(holder->run), .owner = text_of(holder->owner),
                      .since = holder->since, .boot_id = text_of(holder->boot_id), .stager_runs = holder->stager_runs);
}

/* Our image was for a lock that we do not get. */
static int give_up_lock(struct agent *agent, const char *run, const struct holder *holder)
{
    run_image_remove(agent, run);
    return report_holder(agent, holder);
}

/* Removes a stale lock. Others may be at it too: a removal under way (409) is as good. 0, or -1. */
static int remove_stale(struct agent *agent, const struct holder *holder)
{
    log_info("the lock of run %s is stale: its owner %s does not run", holder->run, holder->owner);
    return container_remove(agent, holder->id) == 0 || agent->engine.status == 409 ? 0 : -1;
}

/* 0: the lock is ours. 1: somebody has it. -1: engine->error. Of several that find a stale lock, one gets the new one.
 */
static int try_lock(struct agent *agent, const struct msg_lock *message, struct holder *holder)
{
    for (int i = 0; i < TAKE_OVER_TRIES; i++) {
        if (run_lock_create(agent, message) == 0) {
            return 0;
        }
        if (agent->engine.status != 409) {
            return -1;
        }
        int held = look_at_lock(agent, holder);
        if (held < 0 || (held == 1 && !holder->owner_gone)) {
            return held;
        }
        if (held == 1 && !holder->stager_runs && remove_stale(agent, holder) != 0) {
            return -1;
        }
        poll(NULL, 0, TAKE_OVER_PAUSE_MS);
    }
    if (holder->stager_runs) {
        return 1;
    }
    return engine_error(&agent->engine, EXIT_LOCKED, "the stale lock of run %s cannot be removed", holder->run);
}

int lock_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_lock message;
    if (AGENT_DECODE(agent, frame, lock, &message) != 0) {
        return -1;
    }
    if (!is_plain_name(message.run.data, 64)) {
        return agent_fail(agent, EXIT_INTERNAL, "lock: '%.64s' cannot name a run", message.run.data);
    }
    struct holder holder;
    if (run_image_ensure(agent, message.run.data) != 0) {
        return agent_fail_engine(agent);
    }
    int result = try_lock(agent, &message, &holder);
    if (result > 0) {
        return give_up_lock(agent, message.run.data, &holder);
    }
    if (result < 0) {
        int failed = agent_fail_engine(agent);
        run_image_remove(agent, message.run.data);
        return failed;
    }
    snprintf(agent->run, sizeof agent->run, "%s", message.run.data);
    return AGENT_SEND_EMPTY(agent, locked);
}

int break_lock_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_break_lock message;
    if (AGENT_DECODE(agent, frame, break_lock, &message) != 0) {
        return -1;
    }
    struct holder holder;
    int held = look_at_lock(agent, &holder);
    if (held < 0) {
        return agent_fail_engine(agent);
    }
    if (held == 1 && strcmp(holder.run, message.run.data) != 0) {
        return agent_fail(agent, EXIT_LOCKED, "the lock is held by run %s by now", holder.run);
    }
    if (held == 1 && holder.stager_runs) {
        return agent_fail(agent, EXIT_LOCKED, "a helper container of run %s is still running", holder.run);
    }
    if (held == 1 && container_remove(agent, holder.id) != 0) {
        return agent_fail_engine(agent);
    }
    return AGENT_SEND_EMPTY(agent, removed);
}

int unlock_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_unlock message;
    if (AGENT_DECODE(agent, frame, unlock, &message) != 0) {
        return -1;
    }
    struct holder holder;
    int held = look_at_lock(agent, &holder);
    if (held < 0) {
        return agent_fail_engine(agent);
    }
    if (held == 1 && strcmp(holder.run, agent->run) == 0 && container_remove(agent, holder.id) != 0) {
        return agent_fail_engine(agent);
    }
    return AGENT_SEND_EMPTY(agent, removed);
}
