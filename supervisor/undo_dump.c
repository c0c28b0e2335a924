/* Undo dumps, both ways; see undo_dump.h. */
#include "undo_dump.h"

#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "cleanup.h"
#include "monitor.h"
#include "output.h"
#include "stack.h"
#include "workers.h"

#define DUMPS "undo_dumps"
#define QUERY_PATIENCE 2400
#define READY_POLL_SECONDS 0.25
#define SMALLEST_PART 4 /* a dump is as good as never smaller than this part of its databases */

/* A dump of the note. */
struct undo {
    const struct container *container;
    const char *service;
    enum section_kind kind;
    unsigned spool;
    uint64_t bytes, databases, entries;
};

static bool needs_dump(const struct stream *stream)
{
    return stream->seen && is_database(stream->kind) && stream->destination_count == 0;
}

static int cannot_undo(struct run *run, const struct stream *stream, const char *reason)
{
    if (run->options.db_rollback != 0) {
        say_warning("A failed load of service '%s' cannot be undone (DB_ROLLBACK=none): its data directory is on no "
                    "volume, and %s",
                    stream->service, reason);
        return 0;
    }
    return run_fail(run, EXIT_DATABASE,
                    "A failed load of service '%s' could not be undone: its data directory is on no volume, and %s. "
                    "DB_ROLLBACK=none goes on nevertheless",
                    stream->service, reason);
}

int check_undo_dump(struct run *run, const struct stream *stream)
{
    const struct container *container = &run->plan.containers[stream->container];
    struct msg_undo_info info;
    if (strcmp(container->state, "running") != 0) {
        return 0; /* it is asked when it runs, before anything is destroyed */
    }
    if (TELL(run, PROCESS_AGENT, undo_probe, .container = container->index, .kind = stream->kind) != 0 ||
        EXPECT(run, undo_info, ENGINE_PATIENCE(run), &info) != 0) {
        return -1;
    }
    if (info.possible == 0) {
        char reason[1300];
        snprintf(reason, sizeof reason, "it cannot be dumped: %s", info.reason.data);
        return cannot_undo(run, stream, reason);
    }
    if (info.bytes / SMALLEST_PART > run->run_volume_free && run->options.db_rollback == 0) {
        return run_fail(run, EXIT_SPACE,
                        "The databases of service '%s' are on no volume and take %s: the run's volume has no room for "
                        "a dump to undo a failed load. DB_ROLLBACK=none goes on without",
                        stream->service, human_bytes(info.bytes));
    }
    return 0;
}

static int take_dumped(struct run *run, const struct stream *stream, struct msg_undo_dumped *dumped)
{
    for (;;) {
        enum process from;
        struct frame frame;
        struct msg_loading loading;
        char line[400];
        if (monitor_next(run, (double)run->options.db_load_timeout + QUERY_PATIENCE, &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_undo_dumped) {
            output_progress("");
            return monitor_decode(run, from, &frame, dumped);
        }
        if (frame.type != MESSAGE_loading) {
            return monitor_violation(run, from, "another message than those of an undo dump");
        }
        if (monitor_decode(run, from, &frame, &loading) != 0) {
            return -1;
        }
        snprintf(line, sizeof line, "Dumping %s of %s for undo: %s", database_engine(stream->kind), stream->service,
                 human_bytes(loading.bytes));
        output_progress(line);
    }
}

static int dump_server(struct run *run, struct stream *stream)
{
    struct msg_undo_dumped dumped = {0};
    if (TELL(run, PROCESS_AGENT, undo_dump, .container = run->plan.containers[stream->container].index,
             .kind = stream->kind, .stream = saved_spool(stream), .stall_timeout = run->options.db_load_timeout) != 0) {
        return -1;
    }
    if (take_dumped(run, stream, &dumped) != 0) {
        bool impossible = run->failure.code == EXIT_DATABASE || run->failure.code == EXIT_SPACE;
        if (!impossible || run->options.db_rollback == 0) {
            return -1;
        }
        struct failure failure = run->failure;
        run->failure = (struct failure){0};
        return cannot_undo(run, stream, failure.message);
    }
    stream->undo_dumped = true;
    stream->undo_bytes = dumped.bytes;
    stream->undo_databases = dumped.databases;
    stream->undo_entries = dumped.entries;
    say("Dumped the databases of '%s' for undo: %s", stream->service, human_bytes(dumped.bytes));
    return 0;
}

int dump_for_undo(struct run *run)
{
    bool any = false;
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        struct stream *stream = &run->plan.streams[i];
        if (needs_dump(stream) && AUDITED(run, "dump for undo", stream->service, dump_server(run, stream)) != 0) {
            return -1;
        }
        any = any || stream->undo_dumped;
    }
    return any ? write_note(run) : 0;
}

void note_undo_dumps(const struct run *run, cJSON *note)
{
    cJSON *list = cJSON_AddArrayToObject(note, DUMPS);
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (stream->undo_dumped) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "id", run->plan.containers[stream->container].id);
            cJSON_AddStringToObject(item, "service", stream->service);
            cJSON_AddNumberToObject(item, "kind", stream->kind);
            cJSON_AddNumberToObject(item, "spool", saved_spool(stream));
            cJSON_AddNumberToObject(item, "bytes", (double)stream->undo_bytes);
            cJSON_AddNumberToObject(item, "databases", (double)stream->undo_databases);
            cJSON_AddNumberToObject(item, "entries", (double)stream->undo_entries);
            cJSON_AddItemToArray(list, item);
        }
    }
}

static struct container *container_of(struct run *run, const cJSON *item)
{
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "id"));
    for (unsigned i = 0; id != NULL && i < run->plan.container_count; i++) {
        if (strcmp(run->plan.containers[i].id, id) == 0) {
            return &run->plan.containers[i];
        }
    }
    return NULL;
}

bool mark_undo_dumps(struct run *run, const cJSON *note)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(note, DUMPS);
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        struct container *container = container_of(run, item);
        if (container != NULL) {
            container->has_undo_dump = true;
        }
    }
    return cJSON_GetArraySize(list) > 0;
}

static uint64_t number_in(const cJSON *item, const char *name)
{
    double number = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, name));
    return number >= 0 && number < 1e15 ? (uint64_t)number : UINT64_MAX; /* also not a number */
}

/* One dump of the note, checked again: it was on disk. */
static int read_undo(struct run *run, const char *run_id, const cJSON *item, struct undo *undo)
{
    uint64_t kind = number_in(item, "kind");
    uint64_t spool = number_in(item, "spool");
    const char *service = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "service"));
    if (service == NULL || (kind != SECTION_POSTGRES && kind != SECTION_MARIADB) || spool > MAX_STREAMS) {
        return run_fail(run, EXIT_RECOVERY,
                        "The note of the earlier run is damaged: an undo dump in it makes no sense");
    }
    *undo = (struct undo){container_of(run, item),   service,
                          (enum section_kind)kind,   (unsigned)spool,
                          number_in(item, "bytes"),  number_in(item, "databases"),
                          number_in(item, "entries")};
    if (undo->container == NULL) {
        return run_fail(run, EXIT_RECOVERY,
                        "The container of service '%s' was removed, and the databases in it with it: they cannot be "
                        "brought back into another one by themselves. Their dump is kept: spool/%u in the volume "
                        "restore-%s-%s",
                        service, undo->spool, target_project(&run->options), run_id);
    }
    return 0;
}

static int wait_ready(struct run *run, const struct undo *undo)
{
    double deadline = monotonic_seconds() + (double)run->options.db_timeout;
    for (;;) {
        struct msg_database_readiness readiness;
        if (TELL(run, PROCESS_AGENT, database_ready, .container = undo->container->index, .kind = undo->kind) != 0 ||
            EXPECT(run, database_readiness, ENGINE_PATIENCE(run), &readiness) != 0) {
            return -1;
        }
        if (readiness.ready != 0) {
            return 0;
        }
        if (monotonic_seconds() > deadline) {
            return run_fail(run, EXIT_RECOVERY, "%s of service '%s' is not ready after %llu seconds (DB_TIMEOUT): %s",
                            database_engine(undo->kind), undo->service, (unsigned long long)run->options.db_timeout,
                            readiness.detail.data);
        }
        if (monitor_sleep(run, READY_POLL_SECONDS) != 0) {
            return -1;
        }
    }
}

/* The dump, loaded like any: every error is one. */
static int load_dump(struct run *run, const char *run_id, const struct undo *undo)
{
    bool loaded = false;
    if (TELL(run, PROCESS_AGENT, load, .container = undo->container->index, .kind = undo->kind,
             .stream = undo->spool) != 0 ||
        TELL(run, PROCESS_AGENT, load_run, .run = text_of(run_id), .stall_timeout = run->options.db_load_timeout) !=
            0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        struct msg_loaded end;
        if (monitor_next(run, (double)run->options.db_load_timeout + 60, &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_load_end) {
            return loaded ? 0 : monitor_violation(run, from, "load that was not carried out");
        }
        if (frame.type != MESSAGE_loaded && frame.type != MESSAGE_loading) {
            return monitor_violation(run, from, "another message than those of a load");
        }
        if (frame.type == MESSAGE_loading) {
            continue;
        }
        if (monitor_decode(run, from, &frame, &end) != 0) {
            return -1;
        }
        loaded = end.ok != 0 && end.bytes == undo->bytes;
        if (!loaded) {
            return run_fail(run, EXIT_RECOVERY, "Loading the undo dump of service '%s' failed: %s", undo->service,
                            end.ok != 0 ? "it is not as long as it was" : end.message.data);
        }
    }
}

static int bring_back(struct run *run, const char *run_id, const struct undo *undo)
{
    static const struct action start = {ACTION_START, false, "start"};
    struct msg_database_done done;
    cleanup_free bool *chosen = calloc(run->plan.container_count + 1, sizeof *chosen);
    if (chosen == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    say("Loading the undo dump of service '%s'", undo->service);
    size_t position = (size_t)(undo->container - run->plan.containers);
    chosen[position] = strcmp(undo->container->state, "running") != 0;
    if (act_on(run, &start, chosen) != 0 || wait_ready(run, undo) != 0 ||
        TELL(run, PROCESS_AGENT, undo_reset, .container = undo->container->index, .kind = undo->kind) != 0 ||
        EXPECT(run, database_done, QUERY_PATIENCE, &done) != 0 || load_dump(run, run_id, undo) != 0 ||
        TELL(run, PROCESS_AGENT, undo_count, .container = undo->container->index, .kind = undo->kind) != 0 ||
        EXPECT(run, database_done, QUERY_PATIENCE, &done) != 0) {
        return -1;
    }
    if (done.databases != undo->databases || done.tables != undo->entries) {
        return run_fail(run, EXIT_RECOVERY, "After the undo, service '%s' does not have what it had before",
                        undo->service);
    }
    return 0;
}

int load_undo_dumps(struct run *run, const char *run_id, cJSON *note)
{
    const cJSON *item;
    struct undo undo = {0};
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(note, DUMPS))
    {
        if (read_undo(run, run_id, item, &undo) != 0) {
            return -1;
        }
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(note, DUMPS))
    {
        if (read_undo(run, run_id, item, &undo) != 0 ||
            AUDITED(run, "load the undo dump", undo.service, bring_back(run, run_id, &undo)) != 0) {
            return -1;
        }
    }
    /* from here on the server may be written to again: what was brought back is not brought back twice */
    cJSON_DeleteItemFromObjectCaseSensitive(note, DUMPS);
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        run->plan.containers[i].has_undo_dump = false;
    }
    char *text = cJSON_PrintUnformatted(note);
    int result = text == NULL ? run_fail(run, EXIT_INTERNAL, "Out of memory") : write_note_text(run, text);
    cJSON_free(text);
    return result;
}
