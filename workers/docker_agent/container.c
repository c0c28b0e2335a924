/* A container, read from the Engine's answer to an inspect. Pure: no Engine needed. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "stack.h"

#define LABEL_PREFIX "backup.volume-path."

int path_normalise(const char *path, char *out, size_t size)
{
    if (path[0] != '/' || size < 2) {
        return -1;
    }
    size_t used = 0;
    for (const char *at = path; *at != '\0';) {
        at += strspn(at, "/");
        size_t part = strcspn(at, "/");
        if (part == 2 && at[0] == '.' && at[1] == '.') {
            return -1;
        }
        if (part > 0 && !(part == 1 && at[0] == '.')) {
            if (part + 1 >= size - used) {
                return -1;
            }
            out[used] = '/';
            memcpy(out + used + 1, at, part);
            used += part + 1;
        }
        at += part;
    }
    if (used == 0) {
        out[used++] = '/';
    }
    out[used] = '\0';
    return 0;
}

static int copy_text(char **out, const char *text)
{
    *out = strdup(text);
    return *out == NULL ? -1 : 0;
}

static void copy_word(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

static int copy_path(char **out, const char *path)
{
    char normal[PATH_MAX];
    return copy_text(out, path_normalise(path, normal, sizeof normal) == 0 ? normal : path);
}

/* The subpath of a volume mount stands in HostConfig.Mounts alone. */
static const char *subpath_of(const cJSON *inspect, const char *destination)
{
    const cJSON *mount = NULL;
    cJSON_ArrayForEach(mount, json_member(inspect, "HostConfig.Mounts"))
    {
        char target[PATH_MAX];
        if (path_normalise(json_text(mount, "Target"), target, sizeof target) == 0 &&
            strcmp(target, destination) == 0) {
            return json_text(mount, "VolumeOptions.Subpath");
        }
    }
    return "";
}

static int parse_mount(const cJSON *inspect, const cJSON *json, struct container_mount *mount)
{
    mount->read_only = !json_true(json, "RW");
    if (copy_text(&mount->type, json_text(json, "Type")) != 0 ||
        copy_text(&mount->name, json_text(json, "Name")) != 0 ||
        copy_path(&mount->source, json_text(json, "Source")) != 0 ||
        copy_path(&mount->destination, json_text(json, "Destination")) != 0) {
        return -1;
    }
    return copy_text(&mount->subpath, subpath_of(inspect, mount->destination));
}

/* `--tmpfs` mounts are not among the container's Mounts. */
static int parse_tmpfs(const cJSON *json, struct container_mount *mount)
{
    if (copy_text(&mount->type, "tmpfs") != 0 || copy_text(&mount->name, "") != 0 ||
        copy_text(&mount->source, "") != 0 || copy_path(&mount->destination, json->string) != 0) {
        return -1;
    }
    return copy_text(&mount->subpath, "");
}

static int parse_mounts(const cJSON *inspect, struct container *container)
{
    const cJSON *mounts = json_member(inspect, "Mounts");
    const cJSON *tmpfs = json_member(inspect, "HostConfig.Tmpfs");
    tmpfs = cJSON_IsObject(tmpfs) ? tmpfs : NULL;
    size_t count = (size_t)cJSON_GetArraySize(mounts) + (size_t)cJSON_GetArraySize(tmpfs);
    container->mounts = calloc(count + 1, sizeof *container->mounts);
    if (container->mounts == NULL) {
        return -1;
    }
    const cJSON *json = NULL;
    cJSON_ArrayForEach(json, mounts)
    {
        if (parse_mount(inspect, json, &container->mounts[container->mount_count++]) != 0) {
            return -1;
        }
    }
    cJSON_ArrayForEach(json, tmpfs)
    {
        if (parse_tmpfs(json, &container->mounts[container->mount_count++]) != 0) {
            return -1;
        }
    }
    return 0;
}

static int parse_labels(const cJSON *labels, struct container *container)
{
    container->labels = calloc((size_t)cJSON_GetArraySize(labels) + 1, sizeof *container->labels);
    if (container->labels == NULL) {
        return -1;
    }
    const cJSON *json = NULL;
    cJSON_ArrayForEach(json, labels)
    {
        if (!cJSON_IsString(json) || json->string == NULL ||
            strncmp(json->string, LABEL_PREFIX, strlen(LABEL_PREFIX)) != 0) {
            continue;
        }
        struct volume_label *label = &container->labels[container->label_count++];
        if (copy_text(&label->name, json->string + strlen(LABEL_PREFIX)) != 0 ||
            copy_text(&label->path, json->valuestring) != 0) {
            return -1;
        }
    }
    return 0;
}

static int parse_texts(const cJSON *inspect, const cJSON *labels, struct container *container)
{
    const char *name = json_text(inspect, "Name");
    bool failed = copy_text(&container->name, name[0] == '/' ? name + 1 : name) != 0 ||
                  copy_text(&container->service, json_label(labels, "com.docker.compose.service")) != 0 ||
                  copy_text(&container->image, json_text(inspect, "Config.Image")) != 0 ||
                  copy_text(&container->image_id, json_text(inspect, "Image")) != 0 ||
                  copy_text(&container->user, json_text(inspect, "Config.User")) != 0 ||
                  copy_text(&container->depends_on, json_label(labels, "com.docker.compose.depends_on")) != 0 ||
                  copy_text(&container->restart_policy, json_text(inspect, "HostConfig.RestartPolicy.Name")) != 0;
    return failed ? -1 : 0;
}

static bool is_full_id(const char *id)
{
    return strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;
}

int container_parse(const cJSON *inspect, const char *self, struct container *container)
{
    *container = (struct container){0};
    const char *id = json_text(inspect, "Id");
    if (!is_full_id(id)) {
        return -1;
    }
    const cJSON *labels = json_member(inspect, "Config.Labels");
    copy_word(container->id, sizeof container->id, id);
    container->self = self[0] != '\0' && strncmp(id, self, strlen(self)) == 0;
    container->oneoff = strcmp(json_label(labels, "com.docker.compose.oneoff"), "True") == 0;
    container->swarm = json_label(labels, "com.docker.swarm.service.id")[0] != '\0';
    uint64_t retries = json_number(inspect, "HostConfig.RestartPolicy.MaximumRetryCount");
    container->restart_retries = retries > 1000000 ? 1000000 : (unsigned)retries;
    unsigned long number = strtoul(json_label(labels, "com.docker.compose.container-number"), NULL, 10);
    container->number = number > 100000 ? 100000 : (unsigned)number;
    if (parse_texts(inspect, labels, container) != 0 || parse_mounts(inspect, container) != 0 ||
        parse_labels(labels, container) != 0) {
        return -1;
    }
    return container_renew(inspect, container);
}

static void free_addresses(struct container *container)
{
    for (size_t i = 0; i < container->address_count; i++) {
        free(container->addresses[i]);
    }
    free(container->addresses);
    container->addresses = NULL;
    container->address_count = 0;
}

static int add_addresses(const cJSON *networks, const char *member, struct container *container)
{
    const cJSON *network = NULL;
    cJSON_ArrayForEach(network, networks)
    {
        const char *address = json_text(network, member);
        if (address[0] == '\0') {
            continue;
        }
        if (copy_text(&container->addresses[container->address_count], address) != 0) {
            return -1;
        }
        container->address_count++;
    }
    return 0;
}

int container_renew(const cJSON *inspect, struct container *container)
{
    copy_word(container->state, sizeof container->state, json_text(inspect, "State.Status"));
    const char *health = json_text(inspect, "State.Health.Status");
    copy_word(container->health, sizeof container->health, strcmp(health, "none") == 0 ? "" : health);
    container->exit_code = (unsigned)json_number(inspect, "State.ExitCode") & 0xff;
    const cJSON *networks = json_member(inspect, "NetworkSettings.Networks");
    free_addresses(container);
    container->addresses = calloc(2 * (size_t)cJSON_GetArraySize(networks) + 1, sizeof *container->addresses);
    if (container->addresses == NULL || add_addresses(networks, "IPAddress", container) != 0) {
        return -1;
    }
    return add_addresses(networks, "GlobalIPv6Address", container);
}

const char *container_label_path(const struct container *container, const char *name)
{
    for (size_t i = 0; i < container->label_count; i++) {
        if (strcmp(container->labels[i].name, name) == 0) {
            return container->labels[i].path;
        }
    }
    return NULL;
}

void container_free(struct container *container)
{
    free_addresses(container);
    for (size_t i = 0; i < container->mount_count; i++) {
        struct container_mount *mount = &container->mounts[i];
        free(mount->type);
        free(mount->name);
        free(mount->source);
        free(mount->destination);
        free(mount->subpath);
    }
    for (size_t i = 0; i < container->label_count; i++) {
        free(container->labels[i].name);
        free(container->labels[i].path);
    }
    free(container->mounts);
    free(container->labels);
    free(container->name);
    free(container->service);
    free(container->image);
    free(container->image_id);
    free(container->user);
    free(container->depends_on);
    free(container->restart_policy);
    *container = (struct container){0};
}
