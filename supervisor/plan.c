/* The plan's containers, streams and roots, and the order that dependencies give. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

/* Room for one more in an array that doubles at powers of two. Returns the array, or NULL. */
static void *grow(void *array, unsigned count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0) {
        return array;
    }
    size_t room = count == 0 ? 1 : 2 * (size_t)count;
    return reallocarray(array, room, size);
}

char *copy_text(struct text text)
{
    return strndup(text.data, text.size);
}

bool is_database(enum section_kind kind)
{
    return kind == SECTION_POSTGRES || kind == SECTION_MARIADB;
}

const char *database_engine(enum section_kind kind)
{
    return kind == SECTION_POSTGRES ? "PostgreSQL" : "MariaDB";
}

struct container *plan_add_container(struct plan *plan, const struct msg_container *message)
{
    void *grown = grow(plan->containers, plan->container_count, sizeof *plan->containers);
    if (grown == NULL) {
        return NULL;
    }
    plan->containers = grown;
    struct container *container = &plan->containers[plan->container_count];
    *container = (struct container){
        .index = (unsigned)message->index,
        .id = copy_text(message->id),
        .name = copy_text(message->name),
        .service = copy_text(message->service),
        .number = (unsigned)message->number,
        .oneoff = message->oneoff != 0,
        .self = message->self != 0,
        .swarm = message->swarm != 0,
        .state = copy_text(message->state),
        .health = copy_text(message->health),
        .user = copy_text(message->user),
        .image = copy_text(message->image),
        .image_id = copy_text(message->image_id),
        .restart_policy = copy_text(message->restart_policy),
        .restart_retries = (unsigned)message->restart_retries,
        .databases = (unsigned)message->databases,
        .depends_on = copy_text(message->depends_on),
    };
    container->was_paused = strcmp(container->state, "paused") == 0;
    container->was_running = container->was_paused || strcmp(container->state, "running") == 0 ||
                             strcmp(container->state, "restarting") == 0;
    container->was_healthy = strcmp(container->health, "healthy") == 0;
    plan->container_count++;
    return container;
}

struct container *plan_container(struct plan *plan, uint64_t index)
{
    for (unsigned i = 0; i < plan->container_count; i++) {
        if (plan->containers[i].index == index) {
            return &plan->containers[i];
        }
    }
    return NULL;
}

struct stream *plan_find_stream(struct plan *plan, enum section_kind kind, const char *service, const char *name)
{
    for (unsigned i = 0; i < plan->stream_count; i++) {
        struct stream *stream = &plan->streams[i];
        if (stream->kind == kind && strcmp(stream->service, service) == 0 && strcmp(stream->name, name) == 0) {
            return stream;
        }
    }
    return NULL;
}

struct stream *plan_stream(struct plan *plan, enum section_kind kind, const char *service, const char *name,
                           unsigned container)
{
    struct stream *known = plan_find_stream(plan, kind, service, name);
    if (known != NULL) {
        return known;
    }
    void *grown = grow(plan->streams, plan->stream_count, sizeof *plan->streams);
    if (grown == NULL) {
        return NULL;
    }
    plan->streams = grown;
    struct stream *stream = &plan->streams[plan->stream_count];
    *stream = (struct stream){.id = plan->stream_count,
                              .kind = kind,
                              .service = strdup(service),
                              .name = strdup(name),
                              .container = container};
    plan->stream_count++;
    return stream->service == NULL || stream->name == NULL ? NULL : stream;
}

struct root *plan_root(struct plan *plan, unsigned mount, const char *subpath, const char *source)
{
    for (unsigned i = 0; i < plan->root_count; i++) {
        if (plan->roots[i].mount == mount && strcmp(plan->roots[i].subpath, subpath) == 0) {
            return &plan->roots[i];
        }
    }
    void *grown = grow(plan->roots, plan->root_count, sizeof *plan->roots);
    if (grown == NULL) {
        return NULL;
    }
    plan->roots = grown;
    struct root *root = &plan->roots[plan->root_count];
    *root = (struct root){
        .id = plan->root_count, .mount = mount, .subpath = strdup(subpath), .source = strdup(source), .same_as = -1};
    plan->root_count++;
    return root->subpath == NULL || root->source == NULL ? NULL : root;
}

int plan_add_destination(struct stream *stream, unsigned root, const char *prefix, bool read_only)
{
    for (unsigned i = 0; i < stream->destination_count; i++) {
        if (stream->destinations[i].root == root && strcmp(stream->destinations[i].prefix, prefix) == 0) {
            return 0; /* several containers of a service share the volume */
        }
    }
    void *grown = grow(stream->destinations, stream->destination_count, sizeof *stream->destinations);
    if (grown == NULL) {
        return -1;
    }
    stream->destinations = grown;
    stream->destinations[stream->destination_count++] = (struct destination){root, strdup(prefix), read_only};
    return 0;
}

int name_list_add(struct name_list *list, const char *name)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (strcmp(list->names[i], name) == 0) {
            return 0;
        }
    }
    void *grown = grow(list->names, list->count, sizeof *list->names);
    if (grown == NULL) {
        return -1;
    }
    list->names = grown;
    list->names[list->count] = strdup(name);
    return list->names[list->count++] == NULL ? -1 : 0;
}

/* The label reads "db:service_healthy:false,cache:service_started:true". */
enum condition dependency_condition(const char *depends_on, const char *service)
{
    size_t length = strlen(service);
    for (const char *at = depends_on; *at != '\0';) {
        size_t size = strcspn(at, ",");
        if (size > length && strncmp(at, service, length) == 0 && at[length] == ':') {
            const char *condition = at + length + 1;
            if (strncmp(condition, "service_healthy", 15) == 0) {
                return CONDITION_HEALTHY;
            }
            if (strncmp(condition, "service_completed_successfully", 30) == 0) {
                return CONDITION_COMPLETED;
            }
            return CONDITION_STARTED;
        }
        if (size == length && strncmp(at, service, length) == 0) {
            return CONDITION_STARTED;
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return CONDITION_NONE;
}

unsigned plan_waves(const struct plan *plan, unsigned *wave)
{
    memset(wave, 0, plan->container_count * sizeof *wave);
    unsigned highest = 0;
    bool moved = true;
    for (unsigned round = 0; moved && round < plan->container_count; round++) {
        moved = false;
        for (unsigned i = 0; i < plan->container_count; i++) {
            for (unsigned j = 0; j < plan->container_count; j++) {
                bool depends = i != j && dependency_condition(plan->containers[i].depends_on,
                                                              plan->containers[j].service) != CONDITION_NONE;
                if (depends && wave[i] <= wave[j] && wave[j] + 1 < plan->container_count) {
                    wave[i] = wave[j] + 1;
                    highest = wave[i] > highest ? wave[i] : highest;
                    moved = true;
                }
            }
        }
    }
    return highest + 1;
}
