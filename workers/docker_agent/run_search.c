/* The verbs list_leftovers and remove_run, and the search by labels that they share; see run_search.h. */
#include "run_search.h"

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "run_objects.h"

/* GET of a list, filtered by the labels of project and run; `path` ends where the filter is to be added. */
static int search(struct agent *agent, const char *path, const char *run, const char *what, cJSON **list)
{
    cleanup_free char *filter = NULL;
    cleanup_free char *query = NULL;
    cleanup_free char *whole = NULL;
    int length = run == NULL ? asprintf(&filter, "{\"label\":[\"" LABEL_PROJECT "=%s\"]}", agent->project)
                             : asprintf(&filter, "{\"label\":[\"" LABEL_PROJECT "=%s\",\"" LABEL_RUN "=%s\"]}",
                                        agent->project, run);
    if (length < 0) {
        filter = NULL;
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    if (engine_path(&agent->engine, &query, "filters=%s", filter) != 0) {
        return -1;
    }
    if (asprintf(&whole, "%s%s", path, query) < 0) {
        whole = NULL;
        return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
    }
    return engine_call(&agent->engine, &(struct engine_request){.method = "GET", .path = whole, .what = what}, list);
}

int run_containers(struct agent *agent, const char *run, bool running, cJSON **list)
{
    const char *path = running ? "/containers/json?" : "/containers/json?all=1&";
    return search(agent, path, run, "list the containers of restores", list);
}

/* One run that left something behind. */
struct leftover {
    char run[65];
    bool has_volume;
    bool has_stager;
};

struct leftovers {
    struct leftover *items;
    size_t count;
    size_t capacity;
};

/* The entry of the run that `labels` name; NULL where it is our own run, no run, or too many. */
static struct leftover *leftover_of(const struct agent *agent, struct leftovers *all, const cJSON *labels)
{
    const char *run = json_label(labels, LABEL_RUN);
    if (!is_plain_name(run, 64) || strcmp(run, agent->run) == 0) {
        return NULL;
    }
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->items[i].run, run) == 0) {
            return &all->items[i];
        }
    }
    if (all->count == all->capacity) {
        return NULL;
    }
    struct leftover *added = &all->items[all->count++];
    snprintf(added->run, sizeof added->run, "%s", run);
    return added;
}

static void note_containers(const struct agent *agent, const cJSON *containers, struct leftovers *all)
{
    const cJSON *container = NULL;
    cJSON_ArrayForEach(container, containers)
    {
        const cJSON *labels = json_member(container, "Labels");
        struct leftover *leftover = leftover_of(agent, all, labels);
        if (leftover != NULL && strcmp(json_label(labels, LABEL_ROLE), "stager") == 0) {
            leftover->has_stager = true;
        }
    }
}

static int send_leftovers(struct agent *agent, const struct leftovers *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct leftover *leftover = &all->items[i];
        if (AGENT_SEND(agent, leftover, .run = text_of(leftover->run), .has_volume = leftover->has_volume,
                       .has_stager = leftover->has_stager) != 0) {
            return -1;
        }
    }
    return AGENT_SEND_EMPTY(agent, leftovers_end);
}

int list_leftovers_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_list_leftovers message;
    if (AGENT_DECODE(agent, frame, list_leftovers, &message) != 0) {
        return -1;
    }
    cleanup_json cJSON *containers = NULL;
    cleanup_json cJSON *volumes = NULL;
    cleanup_json cJSON *images = NULL;
    if (run_containers(agent, NULL, false, &containers) != 0 ||
        search(agent, "/volumes?", NULL, "list the volumes of restores", &volumes) != 0 ||
        search(agent, "/images/json?", NULL, "list the images of restores", &images) != 0) {
        return agent_fail_engine(agent);
    }
    const cJSON *volume_list = json_member(volumes, "Volumes");
    size_t most = (size_t)cJSON_GetArraySize(containers) + (size_t)cJSON_GetArraySize(volume_list) +
                  (size_t)cJSON_GetArraySize(images);
    cleanup_free struct leftover *items = calloc(most + 1, sizeof *items);
    if (items == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "no memory");
    }
    struct leftovers all = {items, 0, most};
    note_containers(agent, containers, &all);
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, volume_list)
    {
        struct leftover *leftover = leftover_of(agent, &all, json_member(item, "Labels"));
        if (leftover != NULL) {
            leftover->has_volume = true;
        }
    }
    cJSON_ArrayForEach(item, images)
    {
        leftover_of(agent, &all, json_member(item, "Labels"));
    }
    return send_leftovers(agent, &all);
}

/* DELETE; what is gone already is no error. */
static int delete_object(struct agent *agent, const char *format, const char *name, const char *what)
{
    cleanup_free char *path = NULL;
    if (engine_path(&agent->engine, &path, format, name) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "DELETE", .path = path, .what = what};
    return engine_call(&agent->engine, &request, NULL) == 0 || agent->engine.status == 404 ? 0 : -1;
}

int run_image_remove(struct agent *agent, const char *run)
{
    cleanup_json cJSON *images = NULL;
    if (search(agent, "/images/json?", run, "list the images of the run", &images) != 0) {
        return -1;
    }
    const cJSON *image = NULL;
    cJSON_ArrayForEach(image, images)
    {
        if (delete_object(agent, "/images/%s?force=1", json_text(image, "Id"), "remove the run's image") != 0) {
            return -1;
        }
    }
    return 0;
}

/* Helpers (locks false), or the lock. */
static int remove_containers(struct agent *agent, const cJSON *containers, bool locks)
{
    const cJSON *container = NULL;
    cJSON_ArrayForEach(container, containers)
    {
        bool is_lock = strcmp(json_label(json_member(container, "Labels"), LABEL_ROLE), "lock") == 0;
        if (is_lock == locks && container_remove(agent, json_text(container, "Id")) != 0) {
            return -1;
        }
    }
    return 0;
}

static int remove_volumes(struct agent *agent, const char *run)
{
    cleanup_json cJSON *volumes = NULL;
    if (search(agent, "/volumes?", run, "list the volumes of the run", &volumes) != 0) {
        return -1;
    }
    const cJSON *volume = NULL;
    cJSON_ArrayForEach(volume, json_member(volumes, "Volumes"))
    {
        if (delete_object(agent, "/volumes/%s", json_text(volume, "Name"), "remove the run's volume") != 0) {
            return -1;
        }
    }
    return 0;
}

/* The lock goes last but for the image that it is made from: as long as there is anything to recover, it stands. */
static int remove_run(struct agent *agent, const char *run)
{
    cleanup_json cJSON *containers = NULL;
    if (run_containers(agent, run, false, &containers) != 0 || remove_containers(agent, containers, false) != 0 ||
        remove_volumes(agent, run) != 0 || remove_containers(agent, containers, true) != 0) {
        return -1;
    }
    return run_image_remove(agent, run);
}

int remove_run_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_remove_run message;
    if (AGENT_DECODE(agent, frame, remove_run, &message) != 0) {
        return -1;
    }
    if (!is_plain_name(message.run.data, 64)) {
        return agent_fail(agent, EXIT_INTERNAL, "remove_run: '%.64s' cannot name a run", message.run.data);
    }
    if (agent->stager != NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "remove_run: the stager is still open");
    }
    return remove_run(agent, message.run.data) != 0 ? agent_fail_engine(agent) : AGENT_SEND_EMPTY(agent, removed);
}
