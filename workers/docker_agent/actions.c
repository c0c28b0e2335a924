/* The verbs act and act_run; see actions.h. */
#include "actions.h"

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"

#define ACTIONS_MAX (2 * (MAX_CONTAINERS + 1))

/* A queued action on its way. */
struct running_action {
    struct agent *agent;
    const struct queued_action *actions;
    struct engine_parallel *calls;
    size_t *order; /* index into actions of each call */
    bool broken;   /* the channel is: nothing more can be said */
};

static bool is_policy(const char *name)
{
    static const char *const names[] = {"", "no", "always", "unless-stopped", "on-failure"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

int act_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_act message;
    if (AGENT_DECODE(agent, frame, act, &message) != 0) {
        return -1;
    }
    if (message.action > ACTION_SET_RESTART || !is_policy(message.policy.data)) {
        agent->channel.violation = "act with an unknown action or restart policy";
        return -1;
    }
    if (agent->action_count == ACTIONS_MAX) {
        agent->channel.violation = "more actions than containers";
        return -1;
    }
    if (agent->actions == NULL) {
        agent->actions = calloc(ACTIONS_MAX, sizeof *agent->actions);
    }
    if (agent->actions == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "no memory");
    }
    struct queued_action *action = &agent->actions[agent->action_count++];
    *action = (struct queued_action){(unsigned)message.container, (unsigned)message.action, (unsigned)message.seconds,
                                     (unsigned)message.retries, ""};
    snprintf(action->policy, sizeof action->policy, "%s", message.policy.data);
    return 0;
}

static int send_acted(struct agent *agent, const struct queued_action *action, bool ok, const char *message)
{
    return AGENT_SEND(agent, acted, .container = action->container, .action = action->action, .ok = ok,
                      .message = text_of(message));
}

static const char *verb_of(unsigned action)
{
    static const char *const verbs[] = {"stop", "start", "pause", "unpause", "update"};
    return verbs[action];
}

static int describe_restart(const struct queued_action *action, char **json)
{
    cleanup_json cJSON *body = cJSON_CreateObject();
    cJSON *policy = cJSON_AddObjectToObject(body, "RestartPolicy");
    if (cJSON_AddStringToObject(policy, "Name", action->policy) == NULL ||
        cJSON_AddNumberToObject(policy, "MaximumRetryCount", action->retries) == NULL) {
        return -1;
    }
    *json = cJSON_PrintUnformatted(body);
    return *json == NULL ? -1 : 0;
}

/* Builds the request of an action on a container that was checked just now. Its strings are freed by free_call(). */
static int build_call(struct agent *agent, const struct queued_action *action, const struct container *container,
                      struct engine_request *request)
{
    char seconds[16];
    char *path = NULL;
    char *what = NULL;
    char *json = NULL;
    snprintf(seconds, sizeof seconds, "%u", action->seconds);
    const char *verb = verb_of(action->action);
    int result = action->action == ACTION_STOP
                     ? engine_path(&agent->engine, &path, "/containers/%s/stop?t=%s", container->id, seconds)
                     : engine_path(&agent->engine, &path, "/containers/%s/%s", container->id, verb);
    *request = (struct engine_request){.method = "POST", .path = path, .timeout = agent->timeout};
    if (result != 0 || asprintf(&what, "%s container %s", verb, container->name) < 0) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    request->what = what;
    if (action->action == ACTION_SET_RESTART && describe_restart(action, &json) != 0) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    request->json = json;
    request->timeout += action->action == ACTION_STOP ? action->seconds : 0;
    return 0;
}

static void free_call(struct engine_parallel *call)
{
    free((char *)(uintptr_t)call->request.path);
    free((char *)(uintptr_t)call->request.what);
    free((char *)(uintptr_t)call->request.json);
}

/* Checks the container and builds the call: 0, or -1 with engine->error. */
static int admit_action(struct agent *agent, const struct queued_action *action, struct engine_request *request)
{
    const struct container *container = agent_container(agent, action->container);
    if (container == NULL) {
        return -1;
    }
    if (container->self) {
        return engine_error(&agent->engine, EXIT_DOCKER, "%s container %.255s: it is the one this restore runs in",
                            verb_of(action->action), container->name);
    }
    if (action->action == ACTION_START) {
        agent->containers[action->container].started_by_us = true;
    }
    return build_call(agent, action, container, request);
}

static void on_finished(void *context, size_t index)
{
    struct running_action *run = context;
    const struct engine_parallel *call = &run->calls[index];
    const struct queued_action *action = &run->actions[run->order[index]];
    if (!run->broken && send_acted(run->agent, action, call->ok, call->ok ? "" : call->error) != 0) {
        run->broken = true;
    }
}

/* Fills calls and order with the actions that are allowed; answers the others. */
static size_t admit_all(struct running_action *run, size_t count)
{
    size_t admitted = 0;
    for (size_t i = 0; i < count && !run->broken; i++) {
        struct engine_parallel *call = &run->calls[admitted];
        if (admit_action(run->agent, &run->actions[i], &call->request) == 0) {
            run->order[admitted++] = i;
            continue;
        }
        free_call(call);
        *call = (struct engine_parallel){0};
        run->broken = send_acted(run->agent, &run->actions[i], false, run->agent->engine.error) != 0;
    }
    return admitted;
}

int act_run_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_act_run message;
    if (AGENT_DECODE(agent, frame, act_run, &message) != 0) {
        return -1;
    }
    size_t count = agent->action_count;
    agent->action_count = 0;
    cleanup_free struct engine_parallel *calls = calloc(count + 1, sizeof *calls);
    cleanup_free size_t *order = calloc(count + 1, sizeof *order);
    if (calls == NULL || order == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "no memory");
    }
    struct running_action run = {agent, agent->actions, calls, order, false};
    size_t admitted = admit_all(&run, count);
    if (!run.broken && admitted > 0) {
        engine_call_all(&agent->engine, calls, admitted, (unsigned)message.deadline, on_finished, &run);
    }
    for (size_t i = 0; i < admitted; i++) {
        free_call(&calls[i]);
    }
    return run.broken ? -1 : AGENT_SEND_EMPTY(agent, act_end);
}
