/* Events of the audit record that are made of the run's state. Nothing secret: options with secrets are left out. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "cleanup.h"
#include "hash.h"
#include "monitor.h"
#include "output.h"
#include "run_times.h"
#include "sandbox.h"
#include "workers.h"

/* A URL with the part before the host's @ taken out: it may hold a password. */
static void add_option(void *object, const char *variable, const char *value)
{
    char shown[2048];
    const char *authority = strstr(value, "://");
    const char *end = authority == NULL ? NULL : authority + 3 + strcspn(authority + 3, "/?#");
    const char *at = end == NULL ? NULL : memrchr(authority, '@', (size_t)(end - authority));
    if (at == NULL) {
        cJSON_AddStringToObject(object, variable, value);
        return;
    }
    snprintf(shown, sizeof shown, "%.*s***%s", (int)(authority + 3 - value), value, at);
    cJSON_AddStringToObject(object, variable, shown);
}

static void add_hash(cJSON *object, const char *name, const char *path)
{
    char sha256[SHA256_HEX_SIZE];
    cJSON_AddStringToObject(object, name, sha256_file(path, sha256) == 0 ? sha256 : "");
}

static cJSON *binaries(const struct run *run)
{
    cJSON *object = cJSON_CreateObject();
    char path[4200];
    add_hash(object, "restore", "/proc/self/exe");
    for (int i = 0; i < PROCESS_COUNT; i++) {
        snprintf(path, sizeof path, "%s/%s", run->directory, process_table[i].executable);
        add_hash(object, process_table[i].executable, path);
    }
    snprintf(path, sizeof path, "%s/restore-stager.tar", run->directory);
    add_hash(object, "restore-stager.tar", path);
    return object;
}

static cJSON *policies(const struct run *run)
{
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; i < POLICY_COUNT; i++) {
        cJSON_AddStringToObject(object, run->policies[i].policy->name, run->policies[i].sha256);
    }
    return object;
}

static cJSON *kernel(void)
{
    struct utsname name;
    cJSON *object = cJSON_CreateObject();
    if (uname(&name) == 0) {
        cJSON_AddStringToObject(object, "machine", name.machine);
        cJSON_AddStringToObject(object, "release", name.release);
        cJSON_AddStringToObject(object, "version", name.version);
    }
    return object;
}

static cJSON *identity(const struct run *run)
{
    cJSON *object = cJSON_CreateObject();
    cleanup_fclose FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "CapEff:\t", 8) == 0) {
            line[strcspn(line, "\n")] = '\0';
            cJSON_AddStringToObject(object, "capabilities", line + 8);
        }
    }
    cJSON_AddStringToObject(object, "container", run->self);
    cJSON_AddNumberToObject(object, "gid", getegid());
    cJSON_AddNumberToObject(object, "uid", geteuid());
    return object;
}

cJSON *audit_begin_facts(const struct run *run)
{
    cJSON *object = cJSON_CreateObject();
    cJSON *options = cJSON_AddObjectToObject(object, "options");
    options_each(&run->options, add_option, options);
    cJSON_AddStringToObject(object, "version", RESTORE_VERSION);
    cJSON_AddItemToObject(object, "binaries", binaries(run));
    cJSON_AddItemToObject(object, "policies", policies(run));
    cJSON_AddItemToObject(object, "kernel", kernel());
    cJSON_AddItemToObject(object, "identity", identity(run));
    return object;
}

void audit_worker(const struct confined *said, const char *filter)
{
    static const struct {
        uint64_t layer;
        const char *name;
    } names[] = {{LAYER_SECCOMP, "seccomp"},           {LAYER_LANDLOCK, "landlock"},
                 {LAYER_NO_NEW_PRIVS, "no_new_privs"}, {LAYER_MDWE, "mdwe"},
                 {LAYER_NOT_DUMPABLE, "not_dumpable"}, {LAYER_OWN_USER, "own_user"},
                 {LAYER_CAPABILITIES, "capabilities"}};
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((said->layers & names[i].layer) != 0) {
            cJSON_AddItemToArray(list, cJSON_CreateString(names[i].name));
        }
    }
    AUDIT("worker", AUDIT_TEXT("name", said->name), AUDIT_ITEM("layers", list), AUDIT_TEXT("missing", said->missing),
          AUDIT_TEXT("policy", said->policy->name), AUDIT_TEXT("filter", filter));
}

static const char *iso_time(time_t time, char out[32])
{
    struct tm utc = {0};
    out[0] = '\0';
    if (time != 0 && gmtime_r(&time, &utc) != NULL) {
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    return out;
}

void audit_source(const struct run *run)
{
    char made[32];
    char modified[32];
    const struct backup *backup = &run->backup;
    AUDIT("source", AUDIT_TEXT("bucket", run->bucket), AUDIT_TEXT("prefix", run->prefix),
          AUDIT_TEXT("endpoint", run->endpoint), AUDIT_TEXT("region", run->region), AUDIT_TEXT("key", backup->key),
          AUDIT_TEXT("etag", backup->etag), AUDIT_TEXT("version_id", backup->version_id),
          AUDIT_NUMBER("size", backup->size), AUDIT_TEXT("backup_time", iso_time(stamp_time(backup->stamp), made)),
          AUDIT_TEXT("modified", iso_time((time_t)backup->modified, modified)));
}

void audit_containers(const struct run *run)
{
    for (unsigned i = 0; audit_is_on() && i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        AUDIT("container", AUDIT_TEXT("id", container->id), AUDIT_TEXT("name", container->name),
              AUDIT_TEXT("service", container->service), AUDIT_TEXT("image", container->image),
              AUDIT_TEXT("image_id", container->image_id), AUDIT_TEXT("state", container->state),
              AUDIT_TEXT("health", container->health), AUDIT_TEXT("restart_policy", container->restart_policy));
    }
}

void audit_archive(const struct run *run)
{
    AUDIT("archive", AUDIT_TEXT("key", run->backup.key), AUDIT_TEXT("sha256", run->sha256),
          AUDIT_NUMBER("size", run->backup.size));
}

void audit_plan(const char *plan, const char *sha256)
{
    if (audit_is_on()) {
        AUDIT("plan", AUDIT_TEXT("plan_sha256", sha256), AUDIT_ITEM("plan", cJSON_Parse(plan)));
    }
}

static cJSON *names(const struct name_list *list)
{
    cJSON *array = cJSON_CreateArray();
    for (unsigned i = 0; i < list->count; i++) {
        cJSON_AddItemToArray(array, cJSON_CreateString(list->names[i]));
    }
    return array;
}

void audit_volume(const struct run *run, const struct stream *stream)
{
    cJSON *roots = cJSON_CreateArray();
    for (unsigned i = 0; i < stream->destination_count; i++) {
        const struct root *root = &run->plan.roots[stream->destinations[i].root];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "source", root->source);
        cJSON_AddStringToObject(object, "subpath", root->subpath);
        cJSON_AddItemToArray(roots, object);
    }
    AUDIT("volume", AUDIT_TEXT("service", stream->service), AUDIT_TEXT("name", stream->name),
          AUDIT_TEXT("path", stream->path), AUDIT_ITEM("roots", roots), AUDIT_FLAG("layer", stream->layer),
          AUDIT_NUMBER("entries", stream->entries), AUDIT_NUMBER("bytes", stream->bytes),
          AUDIT_TEXT("sha256", stream->sha256));
}

static void take_former(const struct run *run, const struct msg_former *former)
{
    const char *source = "";
    for (unsigned i = 0; i < run->plan.root_count; i++) {
        source = run->plan.roots[i].mount == former->mount ? run->plan.roots[i].source : source;
    }
    AUDIT("former", AUDIT_TEXT("source", source), AUDIT_TEXT("path", former->path.data),
          AUDIT_NUMBER("entries", former->entries), AUDIT_NUMBER("bytes", former->bytes),
          AUDIT_TEXT("sha256", former->sha256.data));
}

int audit_former(struct run *run)
{
    if (!audit_is_on()) {
        return 0;
    }
    if (TELL(run, PROCESS_AGENT, survey) != 0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        struct msg_former former;
        if (monitor_next(run, STEP_PATIENCE, &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_swapped) {
            return 0;
        }
        if (frame.type != MESSAGE_former) {
            return monitor_violation(run, from, "another message than those of a survey");
        }
        if (monitor_decode(run, from, &frame, &former) != 0) {
            return -1;
        }
        take_former(run, &former);
    }
}

void audit_database(const struct stream *stream)
{
    AUDIT("database", AUDIT_TEXT("engine", database_engine(stream->kind)), AUDIT_TEXT("service", stream->service),
          AUDIT_TEXT("version", stream->version), AUDIT_TEXT("dump_version", stream->dump_version),
          AUDIT_ITEM("databases", names(&stream->databases)), AUDIT_ITEM("roles", names(&stream->roles)),
          AUDIT_NUMBER("tables", stream->tables), AUDIT_NUMBER("bytes", stream->bytes),
          AUDIT_TEXT("sha256", stream->sha256), AUDIT_FLAG("checked", stream->done));
}

void audit_failure(const struct run *run)
{
    AUDIT("failure", AUDIT_NUMBER("exit_code", run->failure.code),
          AUDIT_TEXT("meaning", exit_code_meaning(run->failure.code)), AUDIT_TEXT("reason", run->failure.message));
}

static const char *state_of_data(const struct run *run, int code)
{
    bool kept = run->options.on_failure != 0 && run->marks.stopping && run->failure.set && run->caught == 0;
    return run->marks.concluded            ? "of the backup"
           : code == EXIT_RECOVERY         ? "to be recovered"
           : kept && !run->marks.concluded ? "kept as the failure left it"
                                           : "as before";
}

static cJSON *number_or_null(bool known, double number)
{
    return known ? cJSON_CreateNumber(number) : cJSON_CreateNull();
}

void audit_outcome(const struct run *run, int code)
{
    const struct run_times times = run_times(run);
    cJSON *phases = cJSON_CreateArray();
    for (int i = 0; i < PHASE_COUNT; i++) {
        cJSON_AddItemToArray(phases, cJSON_CreateNumber(run->phase_seconds[i]));
    }
    AUDIT("end", AUDIT_NUMBER("exit_code", code), AUDIT_TEXT("outcome", exit_code_meaning(code)),
          AUDIT_TEXT("data", state_of_data(run, code)), AUDIT_NUMBER("seconds", times.took),
          AUDIT_ITEM("phase_seconds", phases), AUDIT_ITEM("rto_seconds", number_or_null(times.ran_again, times.rto)),
          AUDIT_ITEM("rpo_seconds", number_or_null(times.has_backup, times.rpo)),
          AUDIT_ITEM("downtime_seconds", number_or_null(times.ran_again, times.downtime)),
          AUDIT_NUMBER("warnings", output_warnings()), AUDIT_NUMBER("volumes", run->volumes_restored),
          AUDIT_NUMBER("databases", run->databases_restored));
}
