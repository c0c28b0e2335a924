/*
 * Phase 1: the environment, the workers, the Docker Engine, the lock, what earlier runs left, the stack and its
 * targets, and the space where the bytes will go.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "backup_name.h"
#include "choice.h"
#include "cleanup.h"
#include "confinement.h"
#include "fetcher.h"
#include "location.h"
#include "monitor.h"
#include "output.h"
#include "phases.h"
#include "recovery.h"
#include "scope.h"
#include "stack.h"
#include "workers.h"

#define MINISIGN_KEY_LENGTH 56

static int check_project_name(struct run *run, const char *variable, const char *name)
{
    bool valid = isalnum((unsigned char)name[0]);
    for (const char *at = name; *at != '\0'; at++) {
        valid = valid && (isalnum((unsigned char)*at) || *at == '_' || *at == '-');
    }
    if (!valid || strlen(name) > 100) {
        return run_fail(run, EXIT_USAGE, "%s: '%s' is not the name of a Compose project (letters, digits, _ and -)",
                        variable, name);
    }
    return 0;
}

static int check_sha256(struct run *run, const char *variable, const char *digest)
{
    if (digest != NULL && (strlen(digest) != 64 || strspn(digest, "0123456789abcdefABCDEF") != 64)) {
        return run_fail(run, EXIT_USAGE, "%s: '%s' is not a SHA-256 in 64 hexadecimal digits", variable, digest);
    }
    return 0;
}

static int check_before(struct run *run)
{
    const char *before = run->options.backup_before;
    if (before != NULL && !backup_stamp_parse(before, run->before)) {
        return run_fail(run, EXIT_USAGE, "BACKUP_BEFORE: '%s' is not a time. Write 2023-11-05 or 2023-11-05T12:00",
                        before);
    }
    return 0;
}

/* Versions are as old as their server's clock says, so their time has a zone. */
static int check_as_of(struct run *run)
{
    const char *text = run->options.as_of;
    if (text == NULL) {
        return 0;
    }
    struct tm utc = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    time_t seconds = rest != NULL && *rest == '\0' ? timegm(&utc) : 0;
    if (seconds <= 0) {
        return run_fail(run, EXIT_USAGE, "AS_OF: '%s' is not a time in UTC. Write 2023-11-05T12:00:00Z", text);
    }
    if (strncmp(run->options.bucket_url, "file:", 5) == 0) {
        return run_fail(run, EXIT_USAGE, "AS_OF: a directory keeps no versions; it needs a versioned bucket");
    }
    run->as_of = (uint64_t)seconds;
    return 0;
}

/* The workers read them; that they can be opened is said before anything begins. */
static int check_secret_files(struct run *run)
{
    const struct {
        const char *variable, *path;
    } files[] = {{"AGE_IDENTITY_FILE", run->options.age_identity_file},
                 {"AGE_PASSPHRASE_FILE", run->options.age_passphrase_file}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cleanup_close int fd = files[i].path == NULL ? -1 : open(files[i].path, O_RDONLY | O_CLOEXEC);
        if (files[i].path != NULL && fd < 0) {
            return run_fail(run, EXIT_USAGE, "%s: cannot read '%s': %s", files[i].variable, files[i].path,
                            strerror(errno));
        }
    }
    return 0;
}

/* The line of a minisign.pub that is the key: the one that is no comment. */
static int read_key_file(struct run *run, const char *path)
{
    char line[1024];
    cleanup_fclose FILE *file = fopen(path, "re");
    if (file == NULL) {
        return run_fail(run, EXIT_USAGE, "MINISIGN_PUBLIC_KEY_FILE: cannot read '%s': %s", path, strerror(errno));
    }
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0' && strncmp(line, "untrusted comment:", 18) != 0) {
            snprintf(run->minisign_key, sizeof run->minisign_key, "%.63s", line);
        }
    }
    return 0;
}

static int check_signing_key(struct run *run)
{
    const struct options *options = &run->options;
    if (options->minisign_key != NULL) {
        snprintf(run->minisign_key, sizeof run->minisign_key, "%.63s", options->minisign_key);
    } else if (options->minisign_key_file == NULL) {
        return 0;
    } else if (read_key_file(run, options->minisign_key_file) != 0) {
        return -1;
    }
    if (strlen(run->minisign_key) != MINISIGN_KEY_LENGTH || strncmp(run->minisign_key, "RW", 2) != 0) {
        return run_fail(run, EXIT_USAGE,
                        "MINISIGN_PUBLIC_KEY: '%s' is no public key of minisign (RW..., 56 characters)",
                        run->minisign_key);
    }
    return 0;
}

int check_options(struct run *run)
{
    const struct options *options = &run->options;
    if (options->mode == MODE_SPECIFIC && options->backup_file == NULL) {
        return run_fail(run, EXIT_USAGE, "RESTORE_MODE=specific requires BACKUP_FILE to be set");
    }
    if (check_project_name(run, "PROJECT_NAME", options->project_name) != 0 ||
        check_project_name(run, "TARGET_PROJECT_NAME", target_project(options)) != 0 || check_before(run) != 0 ||
        check_as_of(run) != 0 || check_sha256(run, "BACKUP_SHA256", options->backup_sha256) != 0 ||
        check_sha256(run, "APPROVED_PLAN_SHA256", options->approved_plan) != 0) {
        return -1;
    }
    return check_secret_files(run) != 0 || check_signing_key(run) != 0 ? -1 : location_parse(run);
}

static int greet_engine(struct run *run)
{
    struct msg_engine engine;
    if (TELL(run, PROCESS_AGENT, ping) != 0 || EXPECT(run, engine, ENGINE_PATIENCE(run), &engine) != 0) {
        return -1;
    }
    say("Docker Engine %s (API %s)", engine.version.data, engine.api_version.data);
    AUDIT("engine", AUDIT_TEXT("version", engine.version.data), AUDIT_TEXT("api_version", engine.api_version.data),
          AUDIT_TEXT("security", engine.security.data));
    return 0;
}

static int check_stack(struct run *run)
{
    audit_containers(run);
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        if (container->swarm) {
            return run_fail(
                run, EXIT_DOCKER,
                "Container '%s' belongs to a Swarm service, which would start it again while it is restored. "
                "Scale the service to 0 and restore a Compose stack",
                container->name);
        }
    }
    if (run->plan.container_count == 0) {
        say_warning("No containers found for project '%s'. Create the stack first (docker compose create), or check "
                    "PROJECT_NAME",
                    target_project(&run->options));
        return 0;
    }
    say("Found %u containers of project '%s'", run->plan.container_count, target_project(&run->options));
    return 0;
}

/* The answers to `target` and `database_target`: roots, then the end. */
static int take_roots(struct run *run, struct stream *stream)
{
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, ENGINE_PATIENCE(run), &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_target_root) {
            struct msg_target_root root;
            if (monitor_decode(run, from, &frame, &root) != 0) {
                return -1;
            }
            if (run->plan.root_count > MAX_ROOTS) {
                return monitor_violation(run, from, "more roots than there can be");
            }
            struct root *planned = plan_root(&run->plan, (unsigned)root.mount, root.subpath.data, root.source.data);
            if (planned == NULL ||
                plan_add_destination(stream, planned->id, root.prefix.data, root.read_only != 0) != 0) {
                return run_fail(run, EXIT_INTERNAL, "Out of memory while planning");
            }
            continue;
        }
        struct msg_target_end end;
        if (frame.type != MESSAGE_target_end) {
            return monitor_violation(run, from, "another message than those of a target");
        }
        if (monitor_decode(run, from, &frame, &end) != 0) {
            return -1;
        }
        if (end.refusal.size > 0 && stream->refusal == NULL) {
            stream->refusal = copy_text(end.refusal);
        }
        stream->layer = stream->layer || (end.covered == 0 && !is_database(stream->kind));
        return 0;
    }
}

static int plan_database(struct run *run, struct container *container, enum section_kind kind)
{
    if ((container->databases & 1U << kind) == 0 || !is_chosen(&run->options, kind, container->service, "")) {
        return 0;
    }
    if (plan_find_stream(&run->plan, kind, container->service, "") != NULL) {
        return 0; /* one server of a scaled service is loaded, as one was dumped */
    }
    unsigned position = (unsigned)(container - run->plan.containers);
    struct stream *stream = plan_stream(&run->plan, kind, container->service, "", position);
    struct msg_database_info info;
    if (stream == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory while planning");
    }
    if (TELL(run, PROCESS_AGENT, database_probe, .container = container->index, .kind = kind) != 0 ||
        EXPECT(run, database_info, ENGINE_PATIENCE(run), &info) != 0) {
        return -1;
    }
    stream->login = copy_text(info.login);
    stream->version = copy_text(info.version);
    stream->refusal = info.blocker.size > 0 ? copy_text(info.blocker) : NULL;
    stream->was_running = container->was_running;
    if (TELL(run, PROCESS_AGENT, database_target, .stream = stream->id, .container = container->index, .kind = kind) !=
        0) {
        return -1;
    }
    return take_roots(run, stream);
}

static int plan_volume(struct run *run, const struct volume_label *label)
{
    struct container *container = &run->plan.containers[label->container];
    if (!is_of_stack(container) || !is_chosen(&run->options, SECTION_VOLUME, container->service, label->name)) {
        return 0;
    }
    struct stream *stream = plan_stream(&run->plan, SECTION_VOLUME, container->service, label->name, label->container);
    if (stream == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory while planning");
    }
    stream->path = stream->path == NULL ? strdup(label->path) : stream->path;
    if (TELL(run, PROCESS_AGENT, target, .stream = stream->id, .container = container->index,
             .label = text_of(label->name)) != 0) {
        return -1;
    }
    return take_roots(run, stream);
}

/* Whether the pattern picks anything that the stack has. */
static bool picks_something(const struct run *run, const struct volume_labels *labels, const char *pattern,
                            bool service, bool volume)
{
    for (size_t i = 0; volume && i < labels->count; i++) {
        char full[1024];
        snprintf(full, sizeof full, "%s/%s", run->plan.containers[labels->items[i].container].service,
                 labels->items[i].name);
        if (patterns_pick(pattern, labels->items[i].name, full)) {
            return true;
        }
    }
    for (unsigned i = 0; !volume && i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        if ((service || container->databases != 0) && patterns_pick(pattern, container->service, NULL)) {
            return true;
        }
    }
    return false;
}

/* A name with a slip in it must not end as a restore of less than was meant. */
static int check_choice(struct run *run, const struct volume_labels *labels)
{
    const struct options *options = &run->options;
    const struct {
        const char *variable, *patterns, *what;
        bool service, volume;
    } lists[] = {{"RESTORE_SERVICES", options->restore_services, "service", true, false},
                 {"RESTORE_VOLUMES", options->restore_volumes, "volume label", false, true},
                 {"RESTORE_DATABASES", options->restore_databases, "service with a database", false, false}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const char *at = lists[i].patterns;
        char pattern[512];
        while (at != NULL && patterns_next(&at, pattern, sizeof pattern)) {
            if (!picks_something(run, labels, pattern, lists[i].service, lists[i].volume)) {
                return run_fail(run, EXIT_USAGE, "%s: '%s' matches no %s of project '%s'", lists[i].variable, pattern,
                                lists[i].what, target_project(options));
            }
        }
    }
    return 0;
}

static int plan_targets(struct run *run, const struct volume_labels *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        if (plan_volume(run, &labels->items[i]) != 0) {
            return -1;
        }
    }
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        struct container *container = &run->plan.containers[i];
        if (!is_of_stack(container)) {
            continue;
        }
        if (plan_database(run, container, SECTION_POSTGRES) != 0 ||
            plan_database(run, container, SECTION_MARIADB) != 0) {
            return -1;
        }
    }
    if (run->plan.stream_count > STREAMS_MAX) {
        return run_fail(run, EXIT_USAGE, "The stack has %u targets; at most %d are supported", run->plan.stream_count,
                        STREAMS_MAX);
    }
    return 0;
}

/* A stagers' probe of one root, into the plan. */
static int keep_probe(struct run *run, const struct msg_probed *probed)
{
    if (probed->root >= run->plan.root_count) {
        return monitor_violation(run, PROCESS_AGENT, "probe of a root that is not in the plan");
    }
    struct root *root = &run->plan.roots[probed->root];
    root->probed = true;
    root->device = probed->device;
    root->inode = probed->inode;
    root->free_bytes = probed->free_bytes;
    root->entries = probed->entries;
    root->uid = (uint32_t)probed->uid;
    root->gid = (uint32_t)probed->gid;
    root->database = (unsigned)probed->database;
    if (probed->foreign.size > 0) {
        say_warning("'%s' in %s is of no run that is known here: it is left alone", probed->foreign.data, root->source);
    }
    for (unsigned i = 0; i < run->plan.stream_count && probed->refusal.size > 0; i++) {
        struct stream *stream = &run->plan.streams[i];
        for (unsigned j = 0; j < stream->destination_count; j++) {
            if (stream->destinations[j].root == root->id && stream->refusal == NULL) {
                stream->refusal = copy_text(probed->refusal);
            }
        }
    }
    return 0;
}

static void find_same_roots(struct plan *plan)
{
    for (unsigned i = 0; i < plan->root_count; i++) {
        for (unsigned j = 0; j < i && plan->roots[i].same_as < 0; j++) {
            if (plan->roots[i].device == plan->roots[j].device && plan->roots[i].inode == plan->roots[j].inode &&
                plan->roots[i].inode != 0) {
                plan->roots[i].same_as = (int)j;
            }
        }
    }
}

static int too_little_space(struct run *run, uint64_t needed, uint64_t available, const char *where)
{
    /* NOLINTBEGIN(bugprone-integer-division): cut to tenths, never rounded up */
    return run_fail(run, EXIT_SPACE, "Insufficient disk space. Required: %.10gGB, Available: %.1fGB (%s)",
                    (double)(needed / 100000000) / 10, (double)(available / 100000000) / 10, where);
    /* NOLINTEND(bugprone-integer-division) */
}

int check_space(struct run *run, uint64_t needed)
{
    for (unsigned i = 0; i < run->plan.root_count; i++) {
        const struct root *root = &run->plan.roots[i];
        if (root->probed && root->free_bytes < needed) {
            return too_little_space(run, needed, root->free_bytes, root->source);
        }
    }
    return run->run_volume_free < needed ? too_little_space(run, needed, run->run_volume_free, "the run's volume") : 0;
}

static int probe_targets(struct run *run)
{
    for (unsigned i = 0; i < run->plan.root_count; i++) {
        const struct root *root = &run->plan.roots[i];
        if (TELL(run, PROCESS_AGENT, stager_root, .root = root->id, .mount = root->mount,
                 .subpath = text_of(root->subpath)) != 0) {
            return -1;
        }
    }
    if (TELL(run, PROCESS_AGENT, probe) != 0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, ENGINE_PATIENCE(run), &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_probed) {
            struct msg_probed probed;
            if (monitor_decode(run, from, &frame, &probed) != 0 || keep_probe(run, &probed) != 0) {
                return -1;
            }
            continue;
        }
        struct msg_probe_end end;
        if (frame.type != MESSAGE_probe_end) {
            return monitor_violation(run, from, "another message than those of a probe");
        }
        if (monitor_decode(run, from, &frame, &end) != 0) {
            return -1;
        }
        run->run_volume_free = end.run_volume_free;
        find_same_roots(&run->plan);
        return 0;
    }
}

/* The run's volume and its stager, with the mounts of all targets. */
static int prepare_stager(struct run *run)
{
    struct msg_prepared prepared;
    run->marks.prepared = true; /* even a half-made one is removed */
    if (TELL(run, PROCESS_AGENT, prepare, .run = text_of(run->id), .devices = run->options.devices) != 0 ||
        EXPECT(run, prepared, ENGINE_PATIENCE(run), &prepared) != 0) {
        return -1;
    }
    return stager_open(run, run->id) != 0 ? -1 : probe_targets(run);
}

static int prepare_engine(struct run *run)
{
    struct volume_labels labels = {0};
    if (agent_start(run) != 0 || greet_engine(run) != 0 || take_lock(run) != 0 || recover_leftovers(run) != 0) {
        return -1;
    }
    if (run->options.mode == MODE_RECOVER) {
        return 0;
    }
    int result = list_stack(run, &labels);
    if (result == 0) {
        result = check_stack(run);
    }
    if (result == 0 && run->plan.container_count > 0) {
        result = check_choice(run, &labels);
    }
    if (result == 0) {
        result = plan_targets(run, &labels);
    }
    volume_labels_free(&labels);
    if (result != 0 || run->plan.stream_count == 0) {
        return result;
    }
    return prepare_stager(run) != 0 ? -1 : check_space(run, run->options.min_free_space);
}

int phase_validation(struct run *run)
{
    if (run->options.mode != MODE_LIST) {
        say_identity(run);
    }
    bool list_only = run->options.mode == MODE_LIST && run->options.backup_file == NULL;
    if (run->options.mode != MODE_RECOVER && fetcher_start(run) != 0) {
        return -1;
    }
    if (run->options.mode == MODE_RECOVER) {
        options_wipe_secrets(&run->options); /* else a fetcher in another region may need them, see phase_discovery() */
    }
    return list_only ? 0 : prepare_engine(run);
}
