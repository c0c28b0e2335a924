/* The plan as text, JSON and hash. */
#include "plan_report.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "audit.h"
#include "cleanup.h"
#include "hash.h"
#include "output.h"
#include "scope.h"
#include "stack.h"

#define PLAN_FORM 1 /* of the JSON object; a change of its meaning is a change of this number */
#define LIST_SIZE 2048

static cJSON *archive_object(const struct run *run)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", run->backup.name);
    cJSON_AddStringToObject(object, "sha256", run->sha256);
    return object;
}

static cJSON *container_object(const struct run *run, const struct container *container)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "image", container->image_id);
    cJSON_AddStringToObject(object, "name", container->name);
    cJSON_AddStringToObject(object, "service", container->service);
    cJSON_AddBoolToObject(object, "start", is_started(run, container));
    cJSON_AddBoolToObject(object, "stop", is_stopped(run, container));
    return object;
}

static cJSON *names_array(const struct name_list *list)
{
    cJSON *array = cJSON_CreateArray();
    for (unsigned i = 0; i < list->count; i++) {
        cJSON_AddItemToArray(array, cJSON_CreateString(list->names[i]));
    }
    return array;
}

static cJSON *database_object(const struct stream *stream)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddItemToObject(object, "databases", names_array(&stream->databases));
    cJSON_AddStringToObject(object, "dump_version", stream->dump_version == NULL ? "" : stream->dump_version);
    cJSON_AddStringToObject(object, "engine", database_engine(stream->kind));
    cJSON_AddNumberToObject(object, "sql_bytes", (double)stream->bytes);
    cJSON_AddItemToObject(object, "roles", names_array(&stream->roles));
    cJSON_AddStringToObject(object, "service", stream->service);
    return object;
}

static cJSON *volume_object(const struct run *run, const struct stream *stream)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "bytes", (double)stream->bytes);
    cJSON_AddNumberToObject(object, "entries", (double)stream->entries);
    cJSON_AddBoolToObject(object, "layer", stream->layer);
    cJSON_AddStringToObject(object, "name", stream->name);
    cJSON_AddStringToObject(object, "path", stream->path);
    cJSON *roots = cJSON_AddArrayToObject(object, "roots");
    for (unsigned i = 0; i < stream->destination_count; i++) {
        const struct destination *destination = &stream->destinations[i];
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "below", destination->prefix);
        cJSON_AddStringToObject(root, "source", run->plan.roots[destination->root].source);
        cJSON_AddStringToObject(root, "subpath", run->plan.roots[destination->root].subpath);
        cJSON_AddItemToArray(roots, root);
    }
    cJSON_AddStringToObject(object, "service", stream->service);
    return object;
}

/* Options that change what is done to the data; those about waiting and logging do not. */
static cJSON *options_object(const struct options *options)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddBoolToObject(object, "allow_shared_volumes", options->allow_shared_volumes);
    cJSON_AddBoolToObject(object, "db_extras_drop", options->db_extras != 0);
    cJSON_AddBoolToObject(object, "db_rollback_none", options->db_rollback != 0);
    cJSON_AddBoolToObject(object, "devices_restore", options->devices != 0);
    cJSON_AddBoolToObject(object, "on_failure_keep", options->on_failure != 0);
    cJSON_AddNumberToObject(object, "ownership", options->ownership);
    cJSON_AddBoolToObject(object, "skip_start", options->skip_start);
    cJSON_AddBoolToObject(object, "skip_stop", options->skip_stop);
    return object;
}

/* Members in the order of their names, so that equal plans are equal bytes. */
static cJSON *plan_object(const struct run *run)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddItemToObject(object, "archive", archive_object(run));
    cJSON *containers = cJSON_AddArrayToObject(object, "containers");
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        if (is_of_stack(&run->plan.containers[i])) {
            cJSON_AddItemToArray(containers, container_object(run, &run->plan.containers[i]));
        }
    }
    cJSON *databases = cJSON_AddArrayToObject(object, "databases");
    cJSON_AddNumberToObject(object, "form", PLAN_FORM);
    cJSON_AddItemToObject(object, "options", options_object(&run->options));
    cJSON_AddStringToObject(object, "project", target_project(&run->options));
    cJSON *volumes = cJSON_AddArrayToObject(object, "volumes");
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (stream->seen && is_database(stream->kind)) {
            cJSON_AddItemToArray(databases, database_object(stream));
        } else if (stream->seen) {
            cJSON_AddItemToArray(volumes, volume_object(run, stream));
        }
    }
    return object;
}

static void print_json(const struct run *run, const char *plan, const char *sha256)
{
    cJSON *now = cJSON_CreateArray();
    for (unsigned i = 0; i < run->plan.root_count; i++) {
        const struct root *root = &run->plan.roots[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "source", root->source);
        cJSON_AddNumberToObject(object, "entries", (double)root->entries);
        cJSON_AddNumberToObject(object, "free_bytes", (double)root->free_bytes);
        cJSON_AddItemToArray(now, object);
    }
    cleanup_free char *text = cJSON_PrintUnformatted(now);
    cJSON_Delete(now);
    output_result("{\"plan\":%s,\"plan_sha256\":\"%s\",\"now\":%s}\n", plan, sha256, text == NULL ? "[]" : text);
}

/* "db, app, web": the containers that `picks` picks. */
static const char *container_list(const struct run *run, bool (*picks)(const struct run *, const struct container *))
{
    static char list[LIST_SIZE];
    size_t used = 0;
    list[0] = '\0';
    for (unsigned i = 0; i < run->plan.container_count && used < sizeof list; i++) {
        if (picks(run, &run->plan.containers[i])) {
            int added =
                snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", run->plan.containers[i].name);
            used += added > 0 ? (size_t)added : 0;
        }
    }
    return list[0] == '\0' ? "nothing" : list;
}

static void print_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Names of engine and archive are escaped: they end on a terminal. */
static void print_text(const char *format, ...)
{
    char line[LIST_SIZE * 2];
    char safe[LIST_SIZE * 4];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    escape_text(line, safe, sizeof safe);
    output_result("%s\n", safe);
}

static void print_volume(const struct run *run, const struct stream *stream)
{
    const char *bytes = human_bytes(stream->bytes);
    if (stream->layer) {
        print_text("  Write    %s/%s: %llu entries, %s over what the container has in %s (on no volume)",
                   stream->service, stream->name, (unsigned long long)stream->entries, bytes, stream->path);
    }
    for (unsigned i = 0; i < stream->destination_count; i++) {
        const struct root *root = &run->plan.roots[stream->destinations[i].root];
        print_text("  Replace  %s%s%s: %llu entries there now by %s/%s: %llu entries, %s (%s free)%s", root->source,
                   root->subpath[0] == '\0' ? "" : "/", root->subpath, (unsigned long long)root->entries,
                   stream->service, stream->name, (unsigned long long)stream->entries, bytes,
                   human_bytes(root->free_bytes),
                   stream->destinations[i].read_only ? "; the container mounts it read-only" : "");
    }
}

static void print_database(const struct stream *stream)
{
    char names[LIST_SIZE];
    size_t used = 0;
    names[0] = '\0';
    for (unsigned i = 0; i < stream->databases.count && used < sizeof names; i++) {
        int added =
            snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", stream->databases.names[i]);
        used += added > 0 ? (size_t)added : 0;
    }
    print_text("  Load     %s of service '%s': %s of SQL, dump of version %s into server %s; databases: %s",
               database_engine(stream->kind), stream->service, human_bytes(stream->bytes),
               stream->dump_version == NULL ? "unknown" : stream->dump_version,
               stream->version == NULL || stream->version[0] == '\0' ? "(it does not run)" : stream->version,
               used > 0 ? names : "none of its own");
}

static void print_plan(const struct run *run, const char *sha256)
{
    print_text("Plan for project '%s' from backup %s (%s):", target_project(&run->options), run->backup.name,
               human_bytes(run->backup.size));
    print_text("  Stop     %s", container_list(run, is_stopped));
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (stream->seen && is_database(stream->kind)) {
            print_database(stream);
        } else if (stream->seen) {
            print_volume(run, stream);
        }
    }
    print_text("  Start    %s", container_list(run, is_started));
    output_result("Plan SHA-256: %s\n", sha256);
}

int settle_plan(struct run *run)
{
    const struct options *options = &run->options;
    const char *approved = options->approved_plan;
    char sha256[SHA256_HEX_SIZE];
    cJSON *object = plan_object(run);
    cleanup_free char *plan = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    if (plan == NULL || sha256_hex(plan, strlen(plan), sha256) != 0) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    if (options->mode == MODE_PLAN) {
        options->log_format == LOG_JSON ? print_json(run, plan, sha256) : print_plan(run, sha256);
    }
    if (approved != NULL && strcasecmp(approved, sha256) != 0) {
        return run_fail(run, EXIT_USAGE,
                        "The plan is not the approved one: its SHA-256 is %s, APPROVED_PLAN_SHA256 is %s. "
                        "RESTORE_MODE=plan shows it",
                        sha256, approved);
    }
    say_debug("Plan SHA-256: %s", sha256);
    audit_plan(plan, sha256);
    return 0;
}
