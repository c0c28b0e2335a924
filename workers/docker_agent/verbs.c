/* The closed list of what the supervisor can ask of the docker-agent: one line a verb. */
#include "verbs.h"

#include <stdio.h>
#include <string.h>

#include "actions.h"
#include "cleanup.h"
#include "databases.h"
#include "events.h"
#include "exit_codes.h"
#include "layer.h"
#include "relay.h"
#include "run_objects.h"
#include "stack.h"
#include "targets.h"
#include "undo_dump.h"

typedef int verb(struct agent *agent, const struct frame *frame);

static int ping_handle(struct agent *agent, const struct frame *frame);

static verb *const verbs[MESSAGE_COUNT] = {
    [MESSAGE_ping] = ping_handle,
    [MESSAGE_lock] = lock_handle,
    [MESSAGE_break_lock] = break_lock_handle,
    [MESSAGE_unlock] = unlock_handle,
    [MESSAGE_list_leftovers] = list_leftovers_handle,
    [MESSAGE_remove_run] = remove_run_handle,
    [MESSAGE_list_stack] = list_stack_handle,
    [MESSAGE_inspect] = inspect_handle,
    [MESSAGE_target] = target_handle,
    [MESSAGE_database_target] = database_target_handle,
    [MESSAGE_list_users] = list_users_handle,
    [MESSAGE_watch] = watch_handle,
    [MESSAGE_prepare] = prepare_handle,
    [MESSAGE_open_stager] = open_stager_handle,
    [MESSAGE_close_stager] = close_stager_handle,
    [MESSAGE_act] = act_handle,
    [MESSAGE_act_run] = act_run_handle,
    [MESSAGE_layer_save] = layer_save_handle,
    [MESSAGE_layer_put] = layer_put_handle,
    [MESSAGE_database_probe] = databases_handle,
    [MESSAGE_database_ready] = databases_handle,
    [MESSAGE_database_name] = databases_handle,
    [MESSAGE_database_role] = databases_handle,
    [MESSAGE_database_prepare] = databases_handle,
    [MESSAGE_undo_probe] = undo_dump_handle,
    [MESSAGE_undo_dump] = undo_dump_handle,
    [MESSAGE_undo_reset] = undo_dump_handle,
    [MESSAGE_undo_count] = undo_dump_handle,
    [MESSAGE_load] = databases_handle,
    [MESSAGE_load_run] = databases_handle,
    [MESSAGE_database_finish] = databases_handle,
    [MESSAGE_database_check] = databases_handle,
};

int verb_handle(struct agent *agent, const struct frame *frame)
{
    if (frame->receiver == PARTY_STAGER) {
        return relay_to_stager(agent, frame);
    }
    verb *handle = verbs[frame->type];
    if (handle == NULL) {
        agent->channel.violation = "a message that is no verb";
        return -1;
    }
    return handle(agent, frame);
}

/* The Engine's security options (seccomp, rootless, userns, selinux ...), joined by spaces. 0 or -1. */
static int security_options(struct agent *agent, char *out, size_t size)
{
    cleanup_json cJSON *info = NULL;
    const struct engine_request request = {
        .method = "GET", .path = "/info", .what = "ask for the engine's information"};
    out[0] = '\0';
    if (engine_call(&agent->engine, &request, &info) != 0) {
        return -1;
    }
    size_t used = 0;
    const cJSON *option = NULL;
    cJSON_ArrayForEach(option, json_member(info, "SecurityOptions"))
    {
        if (cJSON_IsString(option) && strlen(option->valuestring) + 2 < size - used) {
            used += (size_t)snprintf(out + used, size - used, "%s%s", used == 0 ? "" : " ", option->valuestring);
        }
    }
    return 0;
}

static int ping_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_ping message;
    if (AGENT_DECODE(agent, frame, ping, &message) != 0) {
        return -1;
    }
    char security[1024];
    cleanup_json cJSON *version = NULL;
    if (engine_negotiate(&agent->engine, &version) != 0 || security_options(agent, security, sizeof security) != 0) {
        return agent_fail(agent, EXIT_DOCKER, "Cannot access Docker daemon. Is /var/run/docker.sock mounted? (%s)",
                          agent->engine.error);
    }
    const char *name = json_text(version, "Version");
    const char *architecture = json_text(version, "Arch");
    const char *api = agent->engine.api + strlen("/v");
    return AGENT_SEND(agent, engine, .version = {name, strnlen(name, 128)}, .api_version = text_of(api),
                      .architecture = {architecture, strnlen(architecture, 64)}, .security = text_of(security));
}
