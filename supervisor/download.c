/*
 * Phase 3: one pass from S3 to staging folders, and the agreement of everyone at its end. Nothing of the stack has
 * changed before phase_shutdown(). A live database's data directory is verified here and staged by a second pass.
 */
#include "download.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "backup_name.h"
#include "choice.h"
#include "fetcher.h"
#include "monitor.h"
#include "output.h"
#include "phases.h"
#include "plan_report.h"
#include "scope.h"
#include "spawn.h"
#include "stack.h"
#include "stretching.h"
#include "undo_dump.h"
#include "workers.h"

#define SILENCE_SECONDS 1800  /* syncing gigabytes to a slow disk says nothing for long */
#define DRAIN_SECONDS 1       /* until it is looked again whether the unpacker has read all */
#define LAST_WORD_SECONDS 120 /* for the unpacker, when all is fetched and it has read all of it */
#define RESERVE_BYTES 268435456

/* One pass over the archive: who has finished, and what was seen. */
struct pass {
    bool deferred; /* the second pass: only streams that the first deferred */
    bool fetched;
    bool unpacked;
    bool staged;
    bool is_signed; /* by whom it has to be */
    bool nothing_to_stage;
    double started;
    double shown;
    char section[520]; /* the one that came last, for people */
    char sha256[65];
};

static bool is_wanted(const struct stream *stream, const struct pass *pass)
{
    return stream->deferred == pass->deferred && stream->refusal == NULL;
}

/* The number in "1000:1000", or 0 for a name: only an empty volume of root's needs it. */
static void configured_user(const struct container *container, uint64_t *uid, uint64_t *gid)
{
    char *end;
    *uid = strtoul(container->user, &end, 10);
    *gid = *end == ':' ? strtoul(end + 1, NULL, 10) : *uid;
}

static int describe_destination(struct run *run, const struct stream *stream, const struct destination *destination)
{
    struct root *root = &run->plan.roots[destination->root];
    struct root *real = root->same_as >= 0 ? &run->plan.roots[root->same_as] : root;
    bool compare = real->staged_by_volume;
    real->staged_by_volume = true;
    uint64_t uid, gid;
    configured_user(&run->plan.containers[stream->container], &uid, &gid);
    return TELL(run, PROCESS_AGENT, stager_stream, .stream = stream->id, .root = real->id,
                .prefix = text_of(destination->prefix), .compare = compare, .ownership = run->options.ownership,
                .default_uid = uid, .default_gid = gid);
}

static int describe_stream(struct run *run, const struct stream *stream)
{
    if (is_database(stream->kind) || stream->layer) {
        return TELL(run, PROCESS_AGENT, stager_stream, .stream = stream->id, .spool = 1, .prefix = text_of(""));
    }
    for (unsigned i = 0; i < stream->destination_count; i++) {
        if (describe_destination(run, stream, &stream->destinations[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static int want_stream(struct run *run, const struct stream *stream)
{
    return TELL(run, PROCESS_UNPACKER, want, .stream = stream->id, .kind = stream->kind,
                .service = text_of(stream->service), .name = text_of(stream->name),
                .login = text_of(stream->login == NULL ? "" : stream->login));
}

static int begin_pass(struct run *run, struct pass *pass)
{
    pass->nothing_to_stage = run->plan.stream_count == 0;
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (is_wanted(stream, pass) && (want_stream(run, stream) != 0 || describe_stream(run, stream) != 0)) {
            return -1;
        }
    }
    if (!pass->nothing_to_stage && TELL(run, PROCESS_AGENT, stage, .reserve_bytes = RESERVE_BYTES) != 0) {
        return -1;
    }
    pass->staged = pass->nothing_to_stage;
    const char *sha256 = pass->deferred ? pass->sha256 : run->options.backup_sha256;
    const struct backup *backup = &run->backup;
    if (run->minisign_key[0] != '\0' && TELL(run, PROCESS_UNPACKER, signature, .public_key = text_of(run->minisign_key),
                                             .file = {backup->signature, backup->signature_size}) != 0) {
        return -1;
    }
    if (TELL(run, PROCESS_UNPACKER, unpack, .size = backup->size, .sha256 = text_of(sha256 == NULL ? "" : sha256),
             .digests = audit_is_on(), .format = backup->format, .encrypted = backup->encryption == ENCRYPTION_AGE,
             .passphrase = run->options.age_passphrase_file != NULL) != 0) {
        return -1;
    }
    return TELL(run, PROCESS_FETCHER, get, .key = text_of(backup->key), .size = backup->size,
                .etag = text_of(backup->etag), .version_id = text_of(backup->version_id));
}

static bool has_service(const struct run *run, const char *service)
{
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        if (is_of_stack(container) && strcmp(container->service, service) == 0) {
            return true;
        }
    }
    return false;
}

/* A section without a target: the specification's warning, once a service and kind. */
static int warn_unwanted(struct run *run, const struct msg_section *section)
{
    static char last[512];
    const char *service = section->service.data;
    const char *what = section->kind == SECTION_VOLUME ? "volume" : "database";
    if (!is_chosen(&run->options, (enum section_kind)section->kind, service, section->name.data)) {
        say("Not chosen, left as it is: %s of service '%s'%s%s", what, service, section->name.size > 0 ? ": " : "",
            section->name.data);
        return 0;
    }
    const struct stream *known =
        plan_find_stream(&run->plan, (enum section_kind)section->kind, service, section->name.data);
    if (known != NULL && known->refusal != NULL) {
        return run_fail(run, EXIT_DOCKER, "Service '%s'%s%s cannot be restored: %s", service,
                        section->name.size > 0 ? ", volume " : "", section->name.data, known->refusal);
    }
    if (known != NULL) {
        return 0; /* deferred, or of the other pass */
    }
    if (!has_service(run, service)) {
        char line[512];
        snprintf(line, sizeof line, "%s %s", what, service);
        if (strcmp(line, last) != 0) {
            memcpy(last, line, sizeof last);
            say_warning("No container found for service '%s'. Skipping %s restoration.", service, what);
        }
        return 0;
    }
    if (section->kind == SECTION_VOLUME) {
        say_warning("No label backup.volume-path.%s on the container of service '%s'. Skipping volume restoration.",
                    section->name.data, service);
    } else {
        say_warning(
            "The container of service '%s' has no %s settings in its environment. Skipping database restoration.",
            service, database_engine((enum section_kind)section->kind));
    }
    return 0;
}

static struct stream *stream_of(struct run *run, uint64_t id)
{
    return id < run->plan.stream_count ? &run->plan.streams[id] : NULL;
}

static int take_section(struct run *run, struct pass *pass, enum process from, const struct frame *frame)
{
    struct msg_section section;
    if (monitor_decode(run, from, frame, &section) != 0) {
        return -1;
    }
    const char *what =
        section.kind == SECTION_VOLUME ? section.name.data : database_engine((enum section_kind)section.kind);
    snprintf(pass->section, sizeof pass->section, "%s/%s", section.service.data, what);
    if (section.wanted == 0) {
        return pass->deferred ? 0 : warn_unwanted(run, &section);
    }
    struct stream *stream = stream_of(run, section.stream);
    if (stream == NULL || !is_wanted(stream, pass)) {
        return monitor_violation(run, from, "section that was not asked for");
    }
    stream->seen = true;
    return 0;
}

static int take_total(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_section_total total;
    if (monitor_decode(run, from, frame, &total) != 0) {
        return -1;
    }
    struct stream *stream = stream_of(run, total.stream);
    if (total.wanted == 0) {
        stream = plan_find_stream(&run->plan, (enum section_kind)total.kind, total.service.data, total.name.data);
        if (stream != NULL && stream->deferred) {
            stream->seen = true; /* verified in this pass, staged in the second */
        }
        return 0;
    }
    if (stream == NULL) {
        return monitor_violation(run, from, "total of a section that was not asked for");
    }
    stream->entries = total.entries;
    stream->bytes = total.bytes;
    memcpy(stream->sha256, total.sha256.data, total.sha256.size + 1);
    stream->totalled = true;
    return 0;
}

static int take_dump_name(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_dump_database found;
    if (monitor_decode(run, from, frame, &found) != 0) {
        return -1;
    }
    struct stream *stream = stream_of(run, found.stream);
    if (stream == NULL) {
        return monitor_violation(run, from, "dump that was not asked for");
    }
    if (frame->type == MESSAGE_dump_version) {
        free(stream->dump_version);
        stream->dump_version = copy_text(found.name);
        return 0;
    }
    struct name_list *list = frame->type == MESSAGE_dump_database ? &stream->databases : &stream->roles;
    return name_list_add(list, found.name.data) == 0 ? 0 : run_fail(run, EXIT_INTERNAL, "Out of memory");
}

static int take_staged(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_staged staged;
    if (monitor_decode(run, from, frame, &staged) != 0) {
        return -1;
    }
    struct stream *stream = stream_of(run, staged.stream);
    if (stream == NULL) {
        return monitor_violation(run, from, "staged stream that is not in the plan");
    }
    stream->staged = true;
    stream->staged_entries = staged.entries;
    stream->staged_bytes = staged.bytes;
    stream->different = staged.different != 0;
    return 0;
}

static void show_progress(struct run *run, struct pass *pass)
{
    double now = monotonic_seconds();
    if (now - pass->shown < 0.2) {
        return;
    }
    pass->shown = now;
    double seconds = now - pass->started;
    double rate = seconds > 0 ? (double)run->fetched / seconds : 0;
    double share = run->backup.size > 0 ? 100.0 * (double)run->fetched / (double)run->backup.size : 100;
    double left = rate > 0 ? (double)(run->backup.size - run->fetched) / rate : 0;
    char line[800];
    snprintf(line, sizeof line, "Downloading and verifying: %s of %s (%.0f%%), %s/s, %.0f s left%s%s",
             human_bytes(run->fetched), human_bytes(run->backup.size), share, human_bytes((uint64_t)rate), left,
             pass->section[0] != '\0' ? ", " : "", pass->section);
    output_progress(line);
}

static int take_fetched(struct run *run, struct pass *pass, enum process from, const struct frame *frame)
{
    struct msg_fetched fetched;
    if (monitor_decode(run, from, frame, &fetched) != 0) {
        return -1;
    }
    run->fetched = fetched.bytes < run->backup.size ? fetched.bytes : run->backup.size;
    show_progress(run, pass);
    return 0;
}

static int take_unpacked(struct run *run, struct pass *pass, enum process from, const struct frame *frame)
{
    struct msg_unpacked unpacked;
    if (monitor_decode(run, from, frame, &unpacked) != 0) {
        return -1;
    }
    if (run->minisign_key[0] != '\0' && !pass->is_signed) {
        return monitor_violation(run, from, "an archive whose signature it did not check");
    }
    pass->unpacked = true;
    snprintf(pass->sha256, sizeof pass->sha256, "%s", unpacked.sha256.data);
    return 0;
}

static int take_signed_by(struct run *run, struct pass *pass, enum process from, const struct frame *frame)
{
    struct msg_signed_by signer;
    if (monitor_decode(run, from, frame, &signer) != 0) {
        return -1;
    }
    pass->is_signed = true;
    if (!pass->deferred) {
        say("Signature verified: key %s, %s", signer.key_id.data, signer.comment.data);
    }
    return 0;
}

static int take_got(struct run *run, struct pass *pass, enum process from, const struct frame *frame)
{
    struct msg_got got;
    if (monitor_decode(run, from, frame, &got) != 0) {
        return -1;
    }
    if (got.bytes != run->backup.size) {
        return run_fail(run, EXIT_STORAGE, "Received %llu bytes of '%s' instead of %llu", (unsigned long long)got.bytes,
                        run->backup.name, (unsigned long long)run->backup.size);
    }
    pass->fetched = true;
    return 0;
}

static int take_remark(struct run *run, enum process from, const struct frame *frame)
{
    if (frame->type == MESSAGE_skipped) {
        struct msg_skipped skipped;
        if (monitor_decode(run, from, frame, &skipped) != 0) {
            return -1;
        }
        say_warning("Skipped '%s': %s", skipped.path.data, skipped.reason.data);
        return 0;
    }
    struct msg_dump_errors errors;
    if (monitor_decode(run, from, frame, &errors) != 0) {
        return -1;
    }
    say_warning("The backup holds '%s': its dump was made with errors and may be incomplete", errors.path.data);
    return 0;
}

static int take_frame(struct run *run, struct pass *pass, enum process from, const struct frame *frame)
{
    switch (frame->type) {
    case MESSAGE_fetched:
        return take_fetched(run, pass, from, frame);
    case MESSAGE_got:
        return take_got(run, pass, from, frame);
    case MESSAGE_section:
        return take_section(run, pass, from, frame);
    case MESSAGE_section_total:
        return take_total(run, from, frame);
    case MESSAGE_dump_database:
    case MESSAGE_dump_role:
    case MESSAGE_dump_version:
        return pass->deferred ? 0 : take_dump_name(run, from, frame);
    case MESSAGE_skipped:
    case MESSAGE_dump_errors:
        return pass->deferred ? 0 : take_remark(run, from, frame);
    case MESSAGE_signed_by:
        return take_signed_by(run, pass, from, frame);
    case MESSAGE_unpacked:
        return take_unpacked(run, pass, from, frame);
    case MESSAGE_staged:
        return take_staged(run, from, frame);
    case MESSAGE_stage_end:
        pass->staged = true;
        return 0;
    case MESSAGE_passphrase_wanted:
        return take_passphrase_wanted(run, from, frame);
    case MESSAGE_ready:
        return take_stretcher_ready(run, from, frame);
    case MESSAGE_stretched:
        return take_stretched(run, from, frame);
    case MESSAGE_unpacking:
    case MESSAGE_staging:
        return 0;
    default:
        return monitor_violation(run, from, "another message than those of a download");
    }
}

/* What the unpacker sent and what the stagers wrote must be the same. */
static int compare_counts(struct run *run, const struct pass *pass)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (!stream->seen || !is_wanted(stream, pass) || stream->layer) {
            continue; /* a layer's tar is counted when it is merged */
        }
        bool agree = stream->totalled && stream->staged && stream->bytes == stream->staged_bytes &&
                     (is_database(stream->kind) || stream->entries == stream->staged_entries);
        if (!agree) {
            return run_fail(
                run, EXIT_INTEGRITY,
                "Archive integrity check failed: %s/%s: %llu entries and %llu bytes were sent, %llu and %llu "
                "were written",
                stream->service, stream->name, (unsigned long long)stream->entries, (unsigned long long)stream->bytes,
                (unsigned long long)stream->staged_entries, (unsigned long long)stream->staged_bytes);
        }
        if (stream->different) {
            return run_fail(run, EXIT_INTEGRITY,
                            "The backup holds the volume of %s/%s twice with different content (another service shares "
                            "it). Remove the label of one of them",
                            stream->service, stream->name);
        }
    }
    return 0;
}

/*
 * A fetcher that says it sent all, and did not, leaves the unpacker waiting for ever; one that is at work on what it
 * read, or waits for a slow disk, lets the pipe before it run full or has nothing left to say but its last word.
 */
static int next_frame(struct run *run, const struct pass *pass, enum process *from, struct frame *frame)
{
    struct pollfd archive = {run->pipes[PIPE_ARCHIVE][0], POLLIN, 0};
    double deadline = monotonic_seconds() + SILENCE_SECONDS;
    bool ending = pass->fetched && !pass->unpacked;
    while (ending && poll(&archive, 1, 0) != 0 && monotonic_seconds() < deadline) {
        int result = monitor_try(run, DRAIN_SECONDS, from, frame);
        if (result <= 0) {
            return result;
        }
    }
    return ending ? monitor_await(run, PROCESS_UNPACKER, LAST_WORD_SECONDS, from, frame)
                  : monitor_next(run, SILENCE_SECONDS, from, frame);
}

static int run_pass(struct run *run, struct pass *pass)
{
    pass->started = monotonic_seconds();
    if (unpacker_start(run) != 0 || begin_pass(run, pass) != 0) {
        return -1;
    }
    while (!pass->fetched || !pass->unpacked || !pass->staged) {
        enum process from;
        struct frame frame;
        if (next_frame(run, pass, &from, &frame) != 0 || take_frame(run, pass, from, &frame) != 0) {
            return -1;
        }
    }
    output_progress("");
    end_worker(run, PROCESS_UNPACKER);
    return compare_counts(run, pass);
}

/* Streams into a root that is a live database's data directory wait for the second pass. */
static void defer_data_directories(struct plan *plan)
{
    for (unsigned i = 0; i < plan->stream_count; i++) {
        struct stream *stream = &plan->streams[i];
        for (unsigned j = 0; stream->kind == SECTION_VOLUME && j < stream->destination_count; j++) {
            stream->deferred = stream->deferred || plan->roots[stream->destinations[j].root].database != SECTION_NONE;
        }
    }
}

static int canonical_root(const struct plan *plan, unsigned root)
{
    return plan->roots[root].same_as >= 0 ? plan->roots[root].same_as : (int)root;
}

/* A volume that covers the data directory of a server whose dump is in the archive too: refuse to guess. */
static int check_conflicts(struct run *run)
{
    const struct plan *plan = &run->plan;
    for (unsigned i = 0; i < plan->stream_count; i++) {
        for (unsigned j = 0; j < plan->stream_count; j++) {
            const struct stream *volume = &plan->streams[i];
            const struct stream *database = &plan->streams[j];
            bool candidates =
                volume->seen && database->seen && volume->kind == SECTION_VOLUME && is_database(database->kind);
            if (!candidates || volume->destination_count == 0 || database->destination_count == 0) {
                continue;
            }
            if (canonical_root(plan, volume->destinations[0].root) ==
                canonical_root(plan, database->destinations[0].root)) {
                return run_fail(
                    run, EXIT_INTEGRITY,
                    "The backup holds both a dump of service '%s' and its data directory (volume %s/%s): only "
                    "one of them can be restored. Remove the label backup.volume-path.%s to load the dump",
                    database->service, volume->service, volume->name, volume->name);
            }
        }
    }
    return 0;
}

static int major_version(const char *version)
{
    return version == NULL ? 0 : (int)strtol(version, NULL, 10);
}

/* What must be said before the stop about the databases that the archive holds. */
static int check_databases(struct run *run)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (!stream->seen || !is_database(stream->kind)) {
            continue;
        }
        int dump = major_version(stream->dump_version);
        int server = major_version(stream->version);
        if (stream->kind == SECTION_POSTGRES && server > 0 && dump > server) {
            return run_fail(
                run, EXIT_DATABASE,
                "The dump of service '%s' is of PostgreSQL %s, its server is %s: a newer dump does not load",
                stream->service, stream->dump_version, stream->version);
        }
        if (stream->destination_count == 0 && check_undo_dump(run, stream) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_anything_seen(struct run *run)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        if (run->plan.streams[i].seen) {
            return 0;
        }
    }
    return run_fail(run, EXIT_DOCKER, "Nothing in the backup matches the stack '%s': nothing was restored",
                    target_project(&run->options));
}

static void warn_about_unseen(const struct run *run)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (!stream->seen && stream->kind == SECTION_VOLUME) {
            say_warning("The backup holds nothing for %s of service '%s' (label backup.volume-path.%s): left as it is",
                        stream->path, stream->service, stream->name);
        }
    }
}

static bool has_deferred(const struct run *run)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        if (run->plan.streams[i].deferred && run->plan.streams[i].seen) {
            return true;
        }
    }
    return false;
}

int phase_download(struct run *run)
{
    struct pass pass = {0};
    if (run->plan.stream_count > 0 && check_space(run, run->backup.size) != 0) {
        return -1;
    }
    defer_data_directories(&run->plan);
    if (run_pass(run, &pass) != 0) {
        return -1;
    }
    snprintf(run->sha256, sizeof run->sha256, "%s", pass.sha256);
    say("Archive verified: SHA-256 %s", pass.sha256);
    audit_archive(run);
    if (check_anything_seen(run) != 0 || check_conflicts(run) != 0 || check_databases(run) != 0) {
        return -1;
    }
    warn_about_unseen(run);
    if (run->options.mode != MODE_VERIFY && check_users(run, false) != 0) {
        return -1;
    }
    if (!has_deferred(run)) {
        end_worker(run, PROCESS_FETCHER); /* and with it the credentials; its loss no longer matters */
    }
    return settle_scope(run) != 0 ? -1 : settle_plan(run);
}

int stage_deferred(struct run *run)
{
    if (!has_deferred(run)) {
        return 0;
    }
    say("Downloading once more for the data directories of databases, which are quiet now");
    struct pass pass = {.deferred = true};
    snprintf(pass.sha256, sizeof pass.sha256, "%s", run->sha256);
    int result = run_pass(run, &pass);
    end_worker(run, PROCESS_FETCHER);
    return result;
}
