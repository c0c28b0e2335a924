/* list_stack and inspect: the project's containers, pinned by full id in the agent's table. */
#include "stack.h"

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "targets.h"

#define PROJECT_LABEL "com.docker.compose.project"

static void forget(struct agent *agent)
{
    for (size_t i = 0; i < agent->container_count; i++) {
        container_free(&agent->containers[i]);
    }
    free(agent->containers);
    agent->containers = NULL;
    agent->container_count = 0;
    plan_clear(agent);
}

/* What an environment looks like, as bits 1 << enum section_kind; the values are not looked at. */
static unsigned databases_of(const cJSON *env)
{
    static const struct {
        const char *prefix;
        enum section_kind kind;
    } signs[] = {
        {"POSTGRES_", SECTION_POSTGRES},
        {"PGDATA=", SECTION_POSTGRES},
        {"MARIADB_", SECTION_MARIADB},
        {"MYSQL_", SECTION_MARIADB},
    };
    unsigned bits = 0;
    const cJSON *line = NULL;
    cJSON_ArrayForEach(line, env)
    {
        for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
            if (cJSON_IsString(line) && strncmp(line->valuestring, signs[i].prefix, strlen(signs[i].prefix)) == 0) {
                bits |= 1U << signs[i].kind;
            }
        }
    }
    return bits;
}

/* Containers of the project, running or not; *list is a JSON array. */
static int ask_for_list(struct agent *agent, cJSON **list)
{
    cleanup_free char *filter = NULL;
    cleanup_free char *path = NULL;
    if (asprintf(&filter, "{\"label\":[\"" PROJECT_LABEL "=%s\"]}", agent->project) < 0) {
        filter = NULL;
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    if (engine_path(&agent->engine, &path, "/containers/json?all=1&filters=%s", filter) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "GET", .path = path, .what = "list the stack's containers"};
    return engine_call(&agent->engine, &request, list);
}

struct listed {
    struct container container;
    unsigned databases;
};

/* 1: taken, 0: gone or not the project's since it was listed, -1: engine->error. */
static int look_at(struct agent *agent, const char *id, struct listed *listed)
{
    cleanup_free char *path = NULL;
    cleanup_json cJSON *answer = NULL;
    if (engine_path(&agent->engine, &path, "/containers/%s/json", id) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "GET", .path = path, .what = "inspect a container of the stack"};
    if (engine_call(&agent->engine, &request, &answer) != 0) {
        return agent->engine.status == 404 ? 0 : -1;
    }
    if (strcmp(json_label(json_member(answer, "Config.Labels"), PROJECT_LABEL), agent->project) != 0) {
        return 0;
    }
    if (container_parse(answer, agent->self, &listed->container) != 0) {
        container_free(&listed->container);
        return engine_error(&agent->engine, EXIT_DOCKER, "inspect container %.64s: the Engine's answer lacks its id",
                            id);
    }
    listed->databases = databases_of(json_member(answer, "Config.Env"));
    return 1;
}

static int by_service(const void *left, const void *right)
{
    const struct container *a = &((const struct listed *)left)->container;
    const struct container *b = &((const struct listed *)right)->container;
    int order = strcmp(a->service, b->service);
    if (order == 0) {
        order = a->number < b->number ? -1 : a->number > b->number;
    }
    return order == 0 ? strcmp(a->id, b->id) : order;
}

static int collect(struct agent *agent, const cJSON *list, struct listed *listed, size_t *count)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list)
    {
        int taken = look_at(agent, json_text(item, "Id"), &listed[*count]);
        if (taken < 0) {
            return -1;
        }
        *count += (size_t)taken;
    }
    return 0;
}

/* Moves the containers into the agent's table, which owns them from then on. */
static int adopt(struct agent *agent, const struct listed *listed, size_t count)
{
    agent->containers = calloc(count + 1, sizeof *agent->containers);
    if (agent->containers == NULL) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    for (size_t i = 0; i < count; i++) {
        agent->containers[i] = listed[i].container;
    }
    agent->container_count = count;
    return 0;
}

/* A text of the Engine, cut to what the message takes; only for texts that nothing is decided by. */
static struct text cut(const char *text, size_t most)
{
    return (struct text){text, strnlen(text, most)};
}

static int send_labels(struct agent *agent, size_t index)
{
    const struct container *container = &agent->containers[index];
    for (size_t i = 0; i < container->label_count; i++) {
        const struct volume_label *label = &container->labels[i];
        if (strlen(label->name) > 255 || strlen(label->path) > 4096) {
            int sent = agent_sent(channel_warn(&agent->channel,
                                               "container %.255s: label backup.volume-path.%.100s... is "
                                               "too long and is left out",
                                               container->name, label->name));
            if (sent != 0) {
                return -1;
            }
            continue;
        }
        if (AGENT_SEND(agent, volume_label, .container = index, .name = text_of(label->name),
                       .path = text_of(label->path)) != 0) {
            return -1;
        }
    }
    return 0;
}

static int send_container(struct agent *agent, size_t index, unsigned databases)
{
    const struct container *container = &agent->containers[index];
    int sent = AGENT_SEND(
        agent, container, .index = index, .id = text_of(container->id), .name = cut(container->name, 255),
        .service = cut(container->service, 255), .number = container->number, .oneoff = container->oneoff,
        .self = container->self, .swarm = container->swarm, .state = text_of(container->state),
        .health = text_of(container->health), .exit_code = container->exit_code, .image = cut(container->image, 512),
        .image_id = cut(container->image_id, 128), .user = cut(container->user, 128),
        .restart_policy = cut(container->restart_policy, 32), .restart_retries = container->restart_retries,
        .databases = databases, .depends_on = text_of(container->depends_on));
    return sent != 0 ? -1 : send_labels(agent, index);
}

static int send_stack(struct agent *agent, const struct listed *listed)
{
    for (size_t i = 0; i < agent->container_count; i++) {
        if (strlen(agent->containers[i].depends_on) > 4096) {
            return agent_fail(agent, EXIT_DOCKER,
                              "container %.255s: its label com.docker.compose.depends_on is longer "
                              "than 4096 bytes",
                              agent->containers[i].name);
        }
        if (send_container(agent, i, listed[i].databases) != 0) {
            return -1;
        }
    }
    return AGENT_SEND_EMPTY(agent, stack_end);
}

int list_stack_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_list_stack message;
    if (AGENT_DECODE(agent, frame, list_stack, &message) != 0) {
        return -1;
    }
    forget(agent);
    cleanup_json cJSON *list = NULL;
    if (ask_for_list(agent, &list) != 0) {
        return agent_fail_engine(agent);
    }
    if (cJSON_GetArraySize(list) > MAX_CONTAINERS) {
        return agent_fail(agent, EXIT_DOCKER, "project %s has more than %d containers", agent->project, MAX_CONTAINERS);
    }
    cleanup_free struct listed *listed = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *listed);
    size_t count = 0;
    if (listed == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "no memory");
    }
    int result = collect(agent, list, listed, &count);
    qsort(listed, count, sizeof *listed, by_service);
    if (adopt(agent, listed, count) != 0 || result != 0) {
        return agent_fail_engine(agent);
    }
    return send_stack(agent, listed);
}

int inspect_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_inspect message;
    if (AGENT_DECODE(agent, frame, inspect, &message) != 0) {
        return -1;
    }
    const struct container *container = agent_container(agent, message.container);
    if (container == NULL && agent->engine.status == 404) {
        return AGENT_SEND(agent, container_state, .container = message.container, .exists = 0, .state = text_of(""),
                          .health = text_of(""));
    }
    if (container == NULL) {
        return agent_fail_engine(agent);
    }
    return AGENT_SEND(agent, container_state, .container = message.container, .exists = 1,
                      .state = text_of(container->state), .health = text_of(container->health),
                      .exit_code = container->exit_code);
}
