/* The run's image, volume and helper containers; see run_objects.h. */
#include "run_objects.h"

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"

#define STAGER_REPOSITORY "restore-stager"
#define HELPER_PIDS 64
#define NAME_MAX_BYTES 512

static int no_memory(struct agent *agent)
{
    return engine_error(&agent->engine, EXIT_INTERNAL, "no memory");
}

bool is_plain_name(const char *name, size_t most)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char further[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strlen(name);
    return length > 0 && length <= most && strchr(first, name[0]) != NULL && strspn(name, further) == length;
}

/* What a helper of the run is made from: the preloaded image, or restore-stager:RUN. */
static void image_name(const struct agent *agent, const char *run, char out[NAME_MAX_BYTES + 1])
{
    if (agent->stager_image[0] != '\0') {
        snprintf(out, NAME_MAX_BYTES + 1, "%s", agent->stager_image);
        return;
    }
    snprintf(out, NAME_MAX_BYTES + 1, STAGER_REPOSITORY ":%s", run);
}

static int import_image(struct agent *agent, const char *run)
{
    cleanup_free char *label = NULL;
    cleanup_free char *path = NULL;
    cleanup_json cJSON *answer = NULL;
    if (agent->stager_tar == NULL) {
        return engine_error(
            &agent->engine, EXIT_DOCKER,
            "the stager's image restore-stager.tar is missing beside restore-docker-agent: install it, or "
            "name a preloaded image in STAGER_IMAGE");
    }
    if (asprintf(&label, "LABEL " LABEL_PROJECT "=%s " LABEL_RUN "=%s", agent->project, run) < 0) {
        label = NULL;
        return no_memory(agent);
    }
    if (engine_path(&agent->engine, &path, "/images/create?fromSrc=-&repo=" STAGER_REPOSITORY "&tag=%s&changes=%s", run,
                    label) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "POST",
                                           .path = path,
                                           .body = agent->stager_tar,
                                           .body_size = agent->stager_tar_size,
                                           .what = "import the stager's image"};
    if (engine_call(&agent->engine, &request, &answer) != 0) {
        return -1;
    }
    const char *error = json_text(answer, "error");
    if (error[0] != '\0') {
        return engine_error(
            &agent->engine, EXIT_DOCKER,
            "import the stager's image: %.600s; where importing is not allowed, name a preloaded image in "
            "STAGER_IMAGE",
            error);
    }
    return 0;
}

int run_image_ensure(struct agent *agent, const char *run)
{
    char name[NAME_MAX_BYTES + 1];
    image_name(agent, run, name);
    cleanup_free char *path = NULL;
    if (engine_path(&agent->engine, &path, "/images/%s/json", name) != 0) {
        return -1;
    }
    char what[NAME_MAX_BYTES + 64];
    snprintf(what, sizeof what, "look for the image %s", name);
    const struct engine_request request = {.method = "GET", .path = path, .what = what};
    if (engine_call(&agent->engine, &request, NULL) == 0) {
        return 0;
    }
    if (agent->engine.status != 404 || agent->stager_image[0] != '\0') {
        return -1;
    }
    return import_image(agent, run);
}

cJSON *plan_to_json(const struct plan_mount *mounts, size_t count)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < count; i++) {
        cJSON *mount = cJSON_CreateObject();
        bool ok = mount != NULL && cJSON_AddStringToObject(mount, "type", mounts[i].is_volume ? "volume" : "bind") &&
                  cJSON_AddStringToObject(mount, "source", mounts[i].is_volume ? mounts[i].name : mounts[i].source) &&
                  cJSON_AddStringToObject(mount, "subpath", mounts[i].subpath);
        if (!ok || !cJSON_AddItemToArray(list, mount)) {
            cJSON_Delete(mount);
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

/* {labels of project and run, and further ones}, added to `object` as "Labels". */
static cJSON *add_labels(const struct agent *agent, cJSON *object, const char *run)
{
    cJSON *labels = cJSON_AddObjectToObject(object, "Labels");
    if (cJSON_AddStringToObject(labels, LABEL_PROJECT, agent->project) == NULL ||
        cJSON_AddStringToObject(labels, LABEL_RUN, run) == NULL) {
        return NULL;
    }
    return labels;
}

/* POST with a JSON body. */
static int post(struct agent *agent, const char *path, const cJSON *body, const char *what, cJSON **answer)
{
    cleanup_free char *text = cJSON_PrintUnformatted(body);
    if (text == NULL) {
        return no_memory(agent);
    }
    const struct engine_request request = {.method = "POST", .path = path, .json = text, .what = what};
    return engine_call(&agent->engine, &request, answer);
}

int run_volume_create(struct agent *agent, const char *run)
{
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "restore-%s-%s", agent->project, run);
    cleanup_json cJSON *mounts = plan_to_json(agent->mounts, agent->mount_count);
    cleanup_free char *text = cJSON_PrintUnformatted(mounts);
    cleanup_json cJSON *body = cJSON_CreateObject();
    if (text == NULL || cJSON_AddStringToObject(body, "Name", name) == NULL) {
        return no_memory(agent);
    }
    cJSON *labels = add_labels(agent, body, run);
    if (cJSON_AddStringToObject(labels, LABEL_MOUNTS, text) == NULL) {
        return no_memory(agent);
    }
    return post(agent, "/volumes/create", body, "create the run's volume", NULL);
}

static bool add_mount(cJSON *list, const char *type, const char *source, const char *target, const char *subpath)
{
    cJSON *mount = cJSON_CreateObject();
    if (mount == NULL || !cJSON_AddItemToArray(list, mount)) {
        cJSON_Delete(mount);
        return false;
    }
    bool ok = cJSON_AddStringToObject(mount, "Type", type) && cJSON_AddStringToObject(mount, "Source", source) &&
              cJSON_AddStringToObject(mount, "Target", target);
    if (!ok || strcmp(type, "volume") != 0) {
        return ok;
    }
    cJSON *options = cJSON_AddObjectToObject(mount, "VolumeOptions");
    ok = cJSON_AddTrueToObject(options, "NoCopy") != NULL;
    return ok && (subpath[0] == '\0' || cJSON_AddStringToObject(options, "Subpath", subpath) != NULL);
}

/* "Mounts" of HostConfig: the run's volume and the plan's mounts, writable also where the target's are not. */
static bool add_mounts(const struct agent *agent, cJSON *host, const char *run, const cJSON *mounts)
{
    char volume[NAME_MAX_BYTES];
    snprintf(volume, sizeof volume, "restore-%s-%s", agent->project, run);
    cJSON *list = cJSON_AddArrayToObject(host, "Mounts");
    bool ok = list != NULL && add_mount(list, "volume", volume, "/run-volume", "");
    unsigned index = 0;
    const cJSON *mount = NULL;
    cJSON_ArrayForEach(mount, mounts)
    {
        char target[32];
        snprintf(target, sizeof target, "/mounts/%u", index++);
        ok = ok &&
             add_mount(list, json_text(mount, "type"), json_text(mount, "source"), target, json_text(mount, "subpath"));
    }
    return ok;
}

static bool add_strings(cJSON *object, const char *name, const char *const *strings, size_t count)
{
    cJSON *list = cJSON_CreateStringArray(strings, (int)count);
    return list != NULL && cJSON_AddItemToObject(object, name, list);
}

/*
 * No network, read-only root, no log, and of capabilities only those that writing owners and modes needs. On an engine
 * with SELinux the label is switched off for the helper: relabelling would take the volume away from its container.
 */
static bool add_host_config(const struct agent *agent, cJSON *body, const char *run, const cJSON *mounts, bool devices)
{
    static const char *const drop[] = {"ALL"};
    static const char *const add[] = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD"};
    static const char *const security[] = {"no-new-privileges:true", "label=disable"};
    cJSON *host = cJSON_AddObjectToObject(body, "HostConfig");
    cJSON *log = cJSON_AddObjectToObject(host, "LogConfig");
    cJSON *restart = cJSON_AddObjectToObject(host, "RestartPolicy");
    return cJSON_AddStringToObject(log, "Type", "none") && cJSON_AddStringToObject(restart, "Name", "no") &&
           cJSON_AddStringToObject(host, "NetworkMode", "none") && cJSON_AddTrueToObject(host, "ReadonlyRootfs") &&
           cJSON_AddNumberToObject(host, "PidsLimit", HELPER_PIDS) && add_strings(host, "CapDrop", drop, 1) &&
           add_strings(host, "CapAdd", add, devices ? 5 : 4) && add_strings(host, "SecurityOpt", security, 2) &&
           add_mounts(agent, host, run, mounts);
}

static bool add_process(cJSON *body, const char *image)
{
    static const char *const entrypoint[] = {"/restore-stager"};
    static const char *const attached[] = {"AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce"};
    bool ok = cJSON_AddStringToObject(body, "Image", image) && cJSON_AddStringToObject(body, "User", "0:0") &&
              cJSON_AddStringToObject(body, "WorkingDir", "/") && cJSON_AddArrayToObject(body, "Cmd") &&
              add_strings(body, "Entrypoint", entrypoint, 1);
    for (size_t i = 0; i < sizeof attached / sizeof attached[0]; i++) {
        ok = ok && cJSON_AddTrueToObject(body, attached[i]) != NULL;
    }
    return ok;
}

/* A volume that is gone would be created anew, empty and without its labels, by naming it. */
static int check_volumes(struct agent *agent, const cJSON *mounts)
{
    const cJSON *mount = NULL;
    cJSON_ArrayForEach(mount, mounts)
    {
        if (strcmp(json_text(mount, "type"), "volume") != 0) {
            continue;
        }
        cleanup_free char *path = NULL;
        char what[NAME_MAX_BYTES];
        snprintf(what, sizeof what, "look for the volume %.255s", json_text(mount, "source"));
        if (engine_path(&agent->engine, &path, "/volumes/%s", json_text(mount, "source")) != 0) {
            return -1;
        }
        const struct engine_request request = {.method = "GET", .path = path, .what = what};
        if (engine_call(&agent->engine, &request, NULL) != 0) {
            return -1;
        }
    }
    return 0;
}

static int create_container(struct agent *agent, const char *name, const cJSON *body, char id[65])
{
    cleanup_free char *path = NULL;
    cleanup_json cJSON *answer = NULL;
    char what[NAME_MAX_BYTES + 32];
    snprintf(what, sizeof what, "create container %s", name);
    if (engine_path(&agent->engine, &path, "/containers/create?name=%s", name) != 0 ||
        post(agent, path, body, what, &answer) != 0) {
        return -1;
    }
    snprintf(id, 65, "%s", json_text(answer, "Id"));
    return 0;
}

int run_helper_create(struct agent *agent, const char *run, unsigned number, const cJSON *mounts, bool devices,
                      char id[65])
{
    char name[NAME_MAX_BYTES];
    char image[NAME_MAX_BYTES + 1];
    snprintf(name, sizeof name, "restore-%s-%s-%u", agent->project, run, number);
    image_name(agent, run, image);
    if (check_volumes(agent, mounts) != 0) {
        return -1;
    }
    cleanup_json cJSON *body = cJSON_CreateObject();
    cJSON *labels = add_labels(agent, body, run);
    const char *role = number == STAGER_NUMBER ? "stager" : "spool";
    if (cJSON_AddStringToObject(labels, LABEL_ROLE, role) == NULL || !add_process(body, image) ||
        !add_host_config(agent, body, run, mounts, devices)) {
        return no_memory(agent);
    }
    return create_container(agent, name, body, id);
}

int run_lock_create(struct agent *agent, const struct msg_lock *lock)
{
    char name[NAME_MAX_BYTES];
    char image[NAME_MAX_BYTES + 1];
    char since[24];
    char id[65];
    snprintf(name, sizeof name, "restore-%s", agent->project);
    snprintf(since, sizeof since, "%llu", (unsigned long long)lock->since);
    image_name(agent, lock->run.data, image);
    cleanup_json cJSON *body = cJSON_CreateObject();
    cJSON *labels = add_labels(agent, body, lock->run.data);
    if (!cJSON_AddStringToObject(labels, LABEL_ROLE, "lock") ||
        !cJSON_AddStringToObject(labels, LABEL_OWNER, lock->owner.data) ||
        !cJSON_AddStringToObject(labels, LABEL_BOOT, lock->boot_id.data) ||
        !cJSON_AddStringToObject(labels, LABEL_SINCE, since) || !add_process(body, image) ||
        !cJSON_AddStringToObject(cJSON_AddObjectToObject(body, "HostConfig"), "NetworkMode", "none")) {
        return no_memory(agent);
    }
    return create_container(agent, name, body, id);
}

/* The labels of an object of ours, found by name: 0 where they are this project's and this run's. */
static int check_labels(struct agent *agent, const cJSON *labels, const char *run, const char *what)
{
    if (strcmp(json_label(labels, LABEL_PROJECT), agent->project) != 0 ||
        strcmp(json_label(labels, LABEL_RUN), run) != 0) {
        return engine_error(&agent->engine, EXIT_DOCKER, "%s has not the labels of run %.64s: it is not ours", what,
                            run);
    }
    return 0;
}

/* A crash left the run's volume alone: its labels tell the mounts that the stager had. */
static int stager_from_volume(struct agent *agent, const char *run, char id[65])
{
    cleanup_free char *path = NULL;
    cleanup_json cJSON *volume = NULL;
    char name[NAME_MAX_BYTES];
    char what[NAME_MAX_BYTES + 32];
    snprintf(name, sizeof name, "restore-%s-%s", agent->project, run);
    snprintf(what, sizeof what, "look for the volume %s", name);
    if (engine_path(&agent->engine, &path, "/volumes/%s", name) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "GET", .path = path, .what = what};
    if (engine_call(&agent->engine, &request, &volume) != 0 ||
        check_labels(agent, json_member(volume, "Labels"), run, name) != 0) {
        return -1;
    }
    cleanup_json cJSON *mounts = cJSON_Parse(json_label(json_member(volume, "Labels"), LABEL_MOUNTS));
    if (!cJSON_IsArray(mounts)) {
        return engine_error(&agent->engine, EXIT_RECOVERY, "the volume %s has no list of mounts in its labels", name);
    }
    return run_image_ensure(agent, run) != 0 ? -1 : run_helper_create(agent, run, STAGER_NUMBER, mounts, false, id);
}

int run_stager_find(struct agent *agent, const char *run, char id[65])
{
    cleanup_free char *path = NULL;
    cleanup_json cJSON *answer = NULL;
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "restore-%s-%s-%d", agent->project, run, STAGER_NUMBER);
    if (engine_path(&agent->engine, &path, "/containers/%s/json", name) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "GET", .path = path, .what = "inspect the run's stager"};
    if (engine_call(&agent->engine, &request, &answer) != 0) {
        return agent->engine.status == 404 ? stager_from_volume(agent, run, id) : -1;
    }
    if (check_labels(agent, json_member(answer, "Config.Labels"), run, name) != 0) {
        return -1;
    }
    snprintf(id, 65, "%s", json_text(answer, "Id"));
    return json_true(answer, "State.Running") ? container_end(agent, id, NULL) : 0;
}

int run_stager_renew(struct agent *agent, const char *run, char id[65])
{
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "restore-%s-%s-%d", agent->project, run, STAGER_NUMBER);
    cleanup_json cJSON *body = cJSON_CreateObject();
    if (cJSON_AddStringToObject(body, "Container", name) == NULL || cJSON_AddTrueToObject(body, "Force") == NULL) {
        return no_memory(agent);
    }
    if (container_remove(agent, id) != 0) {
        return -1;
    }
    post(agent, "/networks/none/disconnect", body, "release the stager's endpoint", NULL); /* where there is one */
    return stager_from_volume(agent, run, id);
}

/* POST /containers/ID/VERB, whose answer matters by its status alone. */
static int container_post(struct agent *agent, const char *id, const char *verb, const char *what, cJSON **answer)
{
    cleanup_free char *path = NULL;
    if (engine_path(&agent->engine, &path, "/containers/%s/%s", id, verb) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "POST", .path = path, .what = what};
    return engine_call(&agent->engine, &request, answer);
}

int container_start(struct agent *agent, const char *id, const char *what)
{
    return container_post(agent, id, "start", what, NULL);
}

int container_end(struct agent *agent, const char *id, unsigned *exit_code)
{
    cleanup_json cJSON *first = NULL;
    cleanup_json cJSON *second = NULL;
    const cJSON *answer = NULL;
    if (container_post(agent, id, "wait", "wait for the end of a helper", &first) == 0) {
        answer = first;
    } else {
        container_post(agent, id, "kill", "kill a helper that does not end", NULL);
        if (container_post(agent, id, "wait", "wait for the end of a killed helper", &second) != 0) {
            return -1;
        }
        answer = second;
    }
    if (exit_code != NULL) {
        *exit_code = (unsigned)json_number(answer, "StatusCode") & 0xff;
    }
    return 0;
}

int container_remove(struct agent *agent, const char *id)
{
    cleanup_free char *path = NULL;
    if (engine_path(&agent->engine, &path, "/containers/%s?force=1", id) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "DELETE", .path = path, .what = "remove a container of the run"};
    return engine_call(&agent->engine, &request, NULL) == 0 || agent->engine.status == 404 ? 0 : -1;
}

int prepare_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_prepare message;
    if (AGENT_DECODE(agent, frame, prepare, &message) != 0) {
        return -1;
    }
    const char *run = message.run.data;
    if (!is_plain_name(run, 64) || (agent->run[0] != '\0' && strcmp(agent->run, run) != 0)) {
        return agent_fail(agent, EXIT_INTERNAL, "prepare: '%.64s' is not the run that holds the lock", run);
    }
    snprintf(agent->run, sizeof agent->run, "%s", run);
    snprintf(agent->stager_run, sizeof agent->stager_run, "%s", run);
    cleanup_json cJSON *mounts = plan_to_json(agent->mounts, agent->mount_count);
    char id[65];
    if (mounts == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "no memory");
    }
    if (run_image_ensure(agent, run) != 0 || run_volume_create(agent, run) != 0 ||
        run_helper_create(agent, run, STAGER_NUMBER, mounts, message.devices == 1, id) != 0) {
        return agent_fail_engine(agent);
    }
    return AGENT_SEND_EMPTY(agent, prepared);
}
