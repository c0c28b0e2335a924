/* What every verb of the docker-agent uses: answers, checked containers, their environment and single files. */
#include "agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "secret.h"
#include "single_file.h"
#include "stack.h"

int agent_sent(enum ipc_result result)
{
    return result == IPC_OK ? 0 : -1;
}

int agent_fail(struct agent *agent, unsigned code, const char *format, ...)
{
    char message[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return agent_sent(channel_fail(&agent->channel, code, "%s", message));
}

int agent_fail_engine(struct agent *agent)
{
    return agent_fail(agent, agent->engine.error_code, "%s", agent->engine.error);
}

/* GET /containers/ID/json of a container of the table. */
static int ask(struct agent *agent, const struct container *container, cJSON **answer)
{
    cleanup_free char *path = NULL;
    if (engine_path(&agent->engine, &path, "/containers/%s/json", container->id) != 0) {
        return -1;
    }
    char what[300];
    snprintf(what, sizeof what, "inspect container %.255s", container->name);
    return engine_call(&agent->engine, &(struct engine_request){.method = "GET", .path = path, .what = what}, answer);
}

/* Issue 4: a container's id is pinned when it is listed and checked against label, full id and image before each use.
 */
static int check_identity(struct agent *agent, const struct container *container, const cJSON *answer)
{
    const char *project = json_label(json_member(answer, "Config.Labels"), "com.docker.compose.project");
    const char *changed = NULL;
    if (strcmp(json_text(answer, "Id"), container->id) != 0) {
        changed = "has another id";
    } else if (strcmp(project, agent->project) != 0) {
        changed = "does not belong to the project";
    } else if (strcmp(json_text(answer, "Image"), container->image_id) != 0) {
        changed = "has another image";
    }
    if (changed == NULL) {
        return 0;
    }
    return engine_error(&agent->engine, EXIT_DOCKER,
                        "container %.255s %s than when it was listed: run the restore again", container->name, changed);
}

int agent_inspect(struct agent *agent, const struct container *container, cJSON **answer)
{
    return ask(agent, container, answer) != 0 ? -1 : check_identity(agent, container, *answer);
}

const struct container *agent_container(struct agent *agent, uint64_t index)
{
    agent->engine.status = 0;
    if (index >= agent->container_count) {
        engine_error(&agent->engine, EXIT_DOCKER, "there is no container number %llu in the listing",
                     (unsigned long long)index);
        return NULL;
    }
    struct container *container = &agent->containers[index];
    cleanup_json cJSON *answer = NULL;
    if (agent_inspect(agent, container, &answer) != 0) {
        return NULL;
    }
    if (container_renew(answer, container) != 0) {
        engine_error(&agent->engine, EXIT_INTERNAL, "inspect container %.255s: no memory", container->name);
        return NULL;
    }
    return container;
}

static int copy_lines(const cJSON *env, struct environment *out)
{
    out->lines = calloc((size_t)cJSON_GetArraySize(env) + 1, sizeof *out->lines);
    if (out->lines == NULL) {
        return -1;
    }
    const cJSON *line = NULL;
    cJSON_ArrayForEach(line, env)
    {
        if (!cJSON_IsString(line)) {
            continue;
        }
        out->lines[out->count] = strdup(line->valuestring);
        if (out->lines[out->count] == NULL) {
            return -1;
        }
        out->count++;
    }
    return 0;
}

int agent_environment(struct agent *agent, const struct container *container, struct environment *out)
{
    *out = (struct environment){NULL, 0};
    cleanup_json cJSON *answer = NULL;
    if (agent_inspect(agent, container, &answer) != 0) {
        return -1;
    }
    if (copy_lines(json_member(answer, "Config.Env"), out) != 0) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "environment of container %.255s: no memory",
                            container->name);
    }
    return 0;
}

const char *environment_get(const struct environment *environment, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < environment->count; i++) {
        const char *line = environment->lines[i];
        if (strncmp(line, name, length) == 0 && line[length] == '=') {
            return line + length + 1;
        }
    }
    return NULL;
}

void environment_free(struct environment *environment)
{
    for (size_t i = 0; i < environment->count; i++) {
        secret_free(environment->lines[i]);
    }
    free(environment->lines);
    *environment = (struct environment){NULL, 0};
}

static int file_sink(void *context, const uint8_t *data, size_t size)
{
    return single_file_feed(context, data, size);
}

int agent_read_file(struct agent *agent, const struct container *container, const char *path, size_t limit, char **data,
                    size_t *size)
{
    cleanup_free char *url = NULL;
    if (engine_path(&agent->engine, &url, "/containers/%s/archive?path=%s", container->id, path) != 0) {
        return -1;
    }
    char what[600];
    snprintf(what, sizeof what, "read %.255s in container %.255s", path, container->name);
    cleanup_single_file struct single_file file = {.limit = limit};
    const struct engine_request request = {
        .method = "GET", .path = url, .sink = file_sink, .sink_context = &file, .what = what};
    int result = engine_call(&agent->engine, &request, NULL);
    if (file.refusal != NULL) {
        return engine_error(&agent->engine, EXIT_DOCKER, "%s: %s", what, file.refusal);
    }
    if (result != 0) {
        return -1;
    }
    if (single_file_take(&file, data, size) != 0) {
        return engine_error(&agent->engine, EXIT_DOCKER, "%s: %s", what, "the archive is incomplete");
    }
    return 0;
}
