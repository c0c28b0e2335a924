/* The verbs target, database_target and list_users, and the plan's mounts; see targets.h. */
#include "targets.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "run_objects.h"
#include "stack.h"

static void plan_mount_free(struct plan_mount *mount)
{
    free(mount->name);
    free(mount->source);
    free(mount->subpath);
    *mount = (struct plan_mount){0};
}

void plan_clear(struct agent *agent)
{
    for (size_t i = 0; i < agent->mount_count; i++) {
        plan_mount_free(&agent->mounts[i]);
    }
    free(agent->mounts);
    agent->mounts = NULL;
    agent->mount_count = 0;
}

static bool same_mount(const struct plan_mount *planned, const struct container_mount *mount)
{
    bool is_volume = strcmp(mount->type, "volume") == 0;
    if (planned->is_volume != is_volume || strcmp(planned->subpath, mount->subpath) != 0) {
        return false;
    }
    return is_volume ? strcmp(planned->name, mount->name) == 0 : strcmp(planned->source, mount->source) == 0;
}

static int plan_append(struct agent *agent, const struct container_mount *mount)
{
    struct plan_mount *longer = reallocarray(agent->mounts, agent->mount_count + 1, sizeof *longer);
    if (longer == NULL) {
        return -1;
    }
    agent->mounts = longer;
    bool is_volume = strcmp(mount->type, "volume") == 0;
    struct plan_mount added = {is_volume, strdup(is_volume ? mount->name : ""), strdup(mount->source),
                               strdup(mount->subpath)};
    if (added.name == NULL || added.source == NULL || added.subpath == NULL) {
        plan_mount_free(&added);
        return -1;
    }
    agent->mounts[agent->mount_count++] = added;
    return 0;
}

int plan_add(struct agent *agent, const struct container_mount *mount, unsigned *index)
{
    for (size_t i = 0; i < agent->mount_count; i++) {
        if (same_mount(&agent->mounts[i], mount)) {
            *index = (unsigned)i;
            return 0;
        }
    }
    if (agent->mount_count > MAX_MOUNTS) {
        return engine_error(&agent->engine, EXIT_DOCKER, "the labels name more than %d mounts", MAX_MOUNTS);
    }
    if (plan_append(agent, mount) != 0) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    *index = (unsigned)(agent->mount_count - 1);
    return 0;
}

/* Adds the parts to the plan and tells of them: 0; 1 where `failed` was sent instead; -1: the process ends. */
static int send_roots(struct agent *agent, uint64_t stream, const struct target_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        const struct target_part *part = &parts->parts[i];
        bool is_volume = strcmp(part->mount->type, "volume") == 0;
        unsigned index = 0;
        if (plan_add(agent, part->mount, &index) != 0) {
            return agent_fail_engine(agent) != 0 ? -1 : 1;
        }
        if (AGENT_SEND(agent, target_root, .stream = stream, .mount = index, .type = text_of(part->mount->type),
                       .source = text_of(is_volume ? part->mount->name : part->mount->source),
                       .subpath = text_of(part->subpath), .prefix = text_of(part->prefix),
                       .read_only = part->mount->read_only) != 0) {
            return -1;
        }
    }
    return 0;
}

static int answer_target(struct agent *agent, uint64_t stream, const struct container *container, const char *path)
{
    cleanup_target_parts struct target_parts parts;
    if (target_resolve(container, path, agent->engine.socket_path, &parts) != 0) {
        return agent_fail(agent, EXIT_INTERNAL, "container %.255s: no memory", container->name);
    }
    if (parts.refusal[0] == '\0') {
        int sent = send_roots(agent, stream, &parts);
        if (sent != 0) {
            return sent < 0 ? -1 : 0;
        }
    }
    return AGENT_SEND(agent, target_end, .stream = stream, .covered = parts.covered, .refusal = text_of(parts.refusal));
}

int target_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_target message;
    if (AGENT_DECODE(agent, frame, target, &message) != 0) {
        return -1;
    }
    const struct container *container = agent_container(agent, message.container);
    if (container == NULL) {
        return agent_fail_engine(agent);
    }
    const char *path = container_label_path(container, message.label.data);
    if (path == NULL) {
        return agent_fail(agent, EXIT_DOCKER, "container %.255s has no label backup.volume-path.%.255s",
                          container->name, message.label.data);
    }
    return answer_target(agent, message.stream, container, path);
}

/* Where the server keeps its data: PGDATA for PostgreSQL, and the images' defaults. */
static int data_directory(struct agent *agent, const struct container *container, uint64_t kind, char *out, size_t size)
{
    cleanup_environment struct environment environment;
    if (agent_environment(agent, container, &environment) != 0) {
        return -1;
    }
    const char *path = "/var/lib/mysql";
    if (kind == SECTION_POSTGRES) {
        const char *configured = environment_get(&environment, "PGDATA");
        path = configured == NULL || configured[0] == '\0' ? "/var/lib/postgresql/data" : configured;
    }
    snprintf(out, size, "%s", path);
    return 0;
}

int database_target_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_database_target message;
    if (AGENT_DECODE(agent, frame, database_target, &message) != 0) {
        return -1;
    }
    if (message.kind != SECTION_POSTGRES && message.kind != SECTION_MARIADB) {
        agent->channel.violation = "database_target of a section that is no database";
        return -1;
    }
    char path[PATH_MAX];
    const struct container *container = agent_container(agent, message.container);
    if (container == NULL || data_directory(agent, container, message.kind, path, sizeof path) != 0) {
        return agent_fail_engine(agent);
    }
    return answer_target(agent, message.stream, container, path);
}

static size_t index_of(const struct agent *agent, const char *id)
{
    size_t index = 0;
    while (index < agent->container_count && strcmp(agent->containers[index].id, id) != 0) {
        index++;
    }
    return index;
}

static int send_user(struct agent *agent, const cJSON *container, size_t mount, bool read_only, bool started)
{
    const char *id = json_text(container, "Id");
    const cJSON *first_name = cJSON_GetArrayItem(json_member(container, "Names"), 0);
    const char *name = cJSON_IsString(first_name) ? first_name->valuestring : "";
    const char *project = json_label(json_member(container, "Labels"), "com.docker.compose.project");
    size_t index = index_of(agent, id);
    bool in_stack = index < agent->container_count;
    name += name[0] == '/' ? 1 : 0;
    if (started) {
        return AGENT_SEND(agent, user_started, .id = {id, strnlen(id, 64)}, .name = {name, strnlen(name, 255)},
                          .project = {project, strnlen(project, 128)}, .mount = mount, .in_stack = in_stack,
                          .index = in_stack ? index : 0, .read_only = read_only);
    }
    return AGENT_SEND(agent, mount_user, .id = {id, strnlen(id, 64)}, .name = {name, strnlen(name, 255)},
                      .project = {project, strnlen(project, 128)}, .mount = mount, .in_stack = in_stack,
                      .index = in_stack ? index : 0, .read_only = read_only);
}

/* Tells of the plan's mounts that a container has too. */
static int send_uses(struct agent *agent, const cJSON *container, bool started)
{
    for (size_t i = 0; i < agent->mount_count; i++) {
        const cJSON *mount = NULL;
        cJSON_ArrayForEach(mount, json_member(container, "Mounts"))
        {
            char source[PATH_MAX];
            if (path_normalise(json_text(mount, "Source"), source, sizeof source) != 0) {
                source[0] = '\0';
            }
            if (plan_mount_overlaps(&agent->mounts[i], json_text(mount, "Type"), json_text(mount, "Name"), source) &&
                send_user(agent, container, i, !json_true(mount, "RW"), started) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Ourselves and the run's own helpers are no users. */
static bool is_ours(const struct agent *agent, const cJSON *container)
{
    const char *id = json_text(container, "Id");
    const char *project = json_label(json_member(container, "Labels"), LABEL_PROJECT);
    bool self = agent->self[0] != '\0' && strncmp(id, agent->self, strlen(agent->self)) == 0;
    return self || strcmp(project, agent->project) == 0;
}

int users_tell(struct agent *agent, const cJSON *list, bool started)
{
    const cJSON *container = NULL;
    cJSON_ArrayForEach(container, list)
    {
        size_t index = index_of(agent, json_text(container, "Id"));
        bool by_us = started && index < agent->container_count && agent->containers[index].started_by_us;
        if (!by_us && !is_ours(agent, container) && send_uses(agent, container, started) != 0) {
            return -1;
        }
    }
    return 0;
}

int list_users_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_list_users message;
    if (AGENT_DECODE(agent, frame, list_users, &message) != 0) {
        return -1;
    }
    cleanup_json cJSON *list = NULL;
    const struct engine_request request = {
        .method = "GET", .path = "/containers/json", .what = "list the running containers"};
    if (engine_call(&agent->engine, &request, &list) != 0) {
        return agent_fail_engine(agent);
    }
    return users_tell(agent, list, false) != 0 ? -1 : AGENT_SEND_EMPTY(agent, users_end);
}
