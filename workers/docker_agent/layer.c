/*
 * The verbs layer_save and layer_put; see layer.h. A saved tar has names below `./`, as the archive API gives the
 * contents of a directory, so that every spool is put at the label's path itself.
 */
#include "layer.h"

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "run_objects.h"
#include "stack.h"
#include "stager_session.h"
#include "targets.h"

/* A tar between the Engine and a spool. */
struct passage {
    struct agent *agent;
    struct spool *spool;
    const uint8_t *chunk; /* of the spool, not given to the Engine yet */
    size_t chunk_size;
    uint64_t bytes;
};

/* The container's path of the label, normalised. 0, or -1 with engine->error. */
static int find_path(struct agent *agent, uint64_t index, const char *label, char path[4097],
                     const struct container **container)
{
    *container = agent_container(agent, index);
    if (*container == NULL) {
        return -1;
    }
    const char *configured = container_label_path(*container, label);
    if (configured == NULL || path_normalise(configured, path, 4097) != 0 || strcmp(path, "/") == 0) {
        return engine_error(&agent->engine, EXIT_DOCKER,
                            "container %.255s has no usable label backup.volume-path.%.255s", (*container)->name,
                            label);
    }
    return 0;
}

static int into_spool(void *context, const uint8_t *data, size_t size)
{
    struct passage *passage = context;
    passage->bytes += size;
    return spool_fill(passage->spool, data, size);
}

static ssize_t out_of_spool(void *context, uint8_t *data, size_t capacity)
{
    struct passage *passage = context;
    while (passage->chunk_size == 0) {
        enum spool_result result = spool_wait(passage->spool, &passage->chunk, &passage->chunk_size);
        if (result == SPOOL_END) {
            return 0;
        }
        if (result != SPOOL_CHUNK) {
            return -1;
        }
    }
    size_t part = passage->chunk_size < capacity ? passage->chunk_size : capacity;
    memcpy(data, passage->chunk, part);
    passage->chunk += part;
    passage->chunk_size -= part;
    passage->bytes += part;
    return (ssize_t)part;
}

static int save(struct agent *agent, const struct container *container, const char *path, unsigned stream,
                uint64_t *bytes)
{
    cleanup_spool struct spool *spool = NULL;
    cleanup_free char *contents = NULL;
    cleanup_free char *url = NULL;
    char what[600];
    snprintf(what, sizeof what, "save %.255s of container %.255s", path, container->name);
    if (asprintf(&contents, "%s/.", path) < 0) {
        contents = NULL;
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    if (engine_path(&agent->engine, &url, "/containers/%s/archive?path=%s", container->id, contents) != 0 ||
        spool_open(agent, agent->stager_run, &spool) != 0 || spool_receive(spool, stream) != 0) {
        return -1;
    }
    struct passage passage = {.agent = agent, .spool = spool};
    const struct engine_request request = {
        .method = "GET", .path = url, .sink = into_spool, .sink_context = &passage, .what = what};
    if (engine_call(&agent->engine, &request, NULL) != 0 || spool_full(spool) != 0) {
        return -1;
    }
    *bytes = passage.bytes;
    return 0;
}

static int put(struct agent *agent, const struct container *container, const char *path, unsigned stream,
               uint64_t *bytes)
{
    cleanup_spool struct spool *spool = NULL;
    cleanup_free char *url = NULL;
    char what[600];
    snprintf(what, sizeof what, "write %.255s of container %.255s", path, container->name);
    if (engine_path(&agent->engine, &url, "/containers/%s/archive?path=%s", container->id, path) != 0 ||
        spool_open(agent, agent->stager_run, &spool) != 0 || spool_request(spool, stream) != 0) {
        return -1;
    }
    struct passage passage = {.agent = agent, .spool = spool};
    const struct engine_request request = {
        .method = "PUT", .path = url, .source = out_of_spool, .source_context = &passage, .what = what};
    if (engine_call(&agent->engine, &request, NULL) != 0) {
        return -1;
    }
    *bytes = passage.bytes;
    return 0;
}

int layer_save_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_layer_save message;
    if (AGENT_DECODE(agent, frame, layer_save, &message) != 0) {
        return -1;
    }
    char path[4097];
    const struct container *container = NULL;
    uint64_t bytes = 0;
    if (find_path(agent, message.container, message.label.data, path, &container) != 0 ||
        save(agent, container, path, (unsigned)message.stream, &bytes) != 0) {
        return agent_fail_engine(agent);
    }
    return AGENT_SEND(agent, layer_done, .bytes = bytes);
}

int layer_put_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_layer_put message;
    if (AGENT_DECODE(agent, frame, layer_put, &message) != 0) {
        return -1;
    }
    char path[4097];
    const struct container *container = NULL;
    uint64_t bytes = 0;
    if (find_path(agent, message.container, message.label.data, path, &container) != 0 ||
        put(agent, container, path, (unsigned)message.stream, &bytes) != 0) {
        return agent_fail_engine(agent);
    }
    return AGENT_SEND(agent, layer_done, .bytes = bytes);
}
