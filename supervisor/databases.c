/* Phase 6: start the servers alone, load all at once, check. Before it, their data directories are copied for undo. */
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "cleanup.h"
#include "databases.h"
#include "monitor.h"
#include "output.h"
#include "phases.h"
#include "stack.h"
#include "undo_dump.h"
#include "workers.h"

#define READY_POLL_SECONDS 0.25
#define QUERY_PATIENCE 2400 /* several steps of up to ten minutes each */

static bool is_loaded(const struct stream *stream)
{
    return stream->seen && is_database(stream->kind);
}

static const struct container *server_of(const struct run *run, const struct stream *stream)
{
    return &run->plan.containers[stream->container];
}

/* Every database failure reads in the specification's words. */
static int database_failure(struct run *run, const struct stream *stream, const char *detail)
{
    return run_fail(run, EXIT_DATABASE, "Failed to restore PostgreSQL/MariaDB database: %s of service '%s': %s",
                    database_engine(stream->kind), stream->service, detail);
}

/* Whether its server is stopped, so that its data directory can be copied. */
static int look_at_server(struct run *run, struct stream *stream)
{
    struct msg_container_state state;
    if (inspect_container(run, server_of(run, stream), &state) != 0) {
        return -1;
    }
    stream->server_stopped = strcmp(state.state.data, "running") != 0;
    if (!stream->server_stopped && stream->destination_count > 0) {
        say_warning("The server of service '%s' runs (SKIP_STOP): a load that fails cannot be undone", stream->service);
    }
    return 0;
}

static unsigned copies_of(const struct stream *stream)
{
    return is_loaded(stream) && stream->server_stopped ? stream->destination_count : 0;
}

/* left: copies to be made, this one's among them. */
static int copy_for_undo(struct run *run, const struct stream *stream, unsigned *left)
{
    for (unsigned i = 0; i < copies_of(stream); i++) {
        struct msg_swapped swapped;
        const struct root *root = &run->plan.roots[stream->destinations[i].root];
        const struct msg_copy_root copy = {.root = root->id, .more = --*left > 0};
        if (stager_step(run, MESSAGE_copy_root, &copy, &swapped) != 0) {
            return -1;
        }
        say("Copied the data directory of '%s' for undo: %s", stream->service, human_bytes(swapped.bytes));
    }
    return 0;
}

static int start_servers(struct run *run)
{
    unsigned count = run->plan.container_count;
    cleanup_free bool *chosen = calloc(count + 1, sizeof *chosen);
    if (chosen == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (is_loaded(stream)) {
            chosen[stream->container] = true;
        }
    }
    static const struct action start = {ACTION_START, false, "start"};
    return act_on(run, &start, chosen);
}

static int wait_ready(struct run *run, struct stream *stream)
{
    double deadline = monotonic_seconds() + (double)run->options.db_timeout;
    for (;;) {
        struct msg_database_readiness readiness;
        if (TELL(run, PROCESS_AGENT, database_ready, .container = server_of(run, stream)->index,
                 .kind = stream->kind) != 0 ||
            EXPECT(run, database_readiness, ENGINE_PATIENCE(run), &readiness) != 0) {
            return -1;
        }
        if (readiness.ready != 0) {
            free(stream->version);
            stream->version = copy_text(readiness.version);
            return 0;
        }
        if (monotonic_seconds() > deadline) {
            char detail[1300];
            snprintf(detail, sizeof detail, "not ready after %llu seconds (DB_TIMEOUT): %s",
                     (unsigned long long)run->options.db_timeout, readiness.detail.data);
            return database_failure(run, stream, detail);
        }
        if (monitor_sleep(run, READY_POLL_SECONDS) != 0) {
            return -1;
        }
    }
}

/* Answers of a verb on one server: findings, then database_done. */
static int take_findings(struct run *run, struct stream *stream)
{
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, QUERY_PATIENCE, &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_finding) {
            struct msg_finding finding;
            if (monitor_decode(run, from, &frame, &finding) != 0) {
                return -1;
            }
            AUDIT("finding", AUDIT_TEXT("service", stream->service), AUDIT_FLAG("severe", finding.severe),
                  AUDIT_TEXT("message", finding.message.data));
            if (finding.severe != 0) {
                say_warning("%s: %s", stream->service, finding.message.data);
            } else {
                say("%s: %s", stream->service, finding.message.data);
            }
            continue;
        }
        struct msg_database_done done;
        if (frame.type != MESSAGE_database_done) {
            return monitor_violation(run, from, "another message than those of a database");
        }
        if (monitor_decode(run, from, &frame, &done) != 0) {
            return -1;
        }
        stream->tables = done.tables;
        return 0;
    }
}

/* What the dump knows, so that the agent can tell what it does not know. */
static int name_what_is_known(struct run *run, const struct stream *stream)
{
    const struct container *server = server_of(run, stream);
    for (unsigned i = 0; i < stream->databases.count; i++) {
        if (TELL(run, PROCESS_AGENT, database_name, .container = server->index,
                 .name = text_of(stream->databases.names[i])) != 0) {
            return -1;
        }
    }
    for (unsigned i = 0; i < stream->roles.count; i++) {
        if (TELL(run, PROCESS_AGENT, database_role, .container = server->index,
                 .name = text_of(stream->roles.names[i])) != 0) {
            return -1;
        }
    }
    return 0;
}

static int prepare_server(struct run *run, struct stream *stream)
{
    const struct container *server = server_of(run, stream);
    if (name_what_is_known(run, stream) != 0) {
        return -1;
    }
    if (audit_intent(run, "keep clients out and drop the databases of the dump", stream->service) != 0 ||
        TELL(run, PROCESS_AGENT, database_prepare, .container = server->index, .kind = stream->kind,
             .drop_extras = run->options.db_extras) != 0) {
        return -1;
    }
    return take_findings(run, stream);
}

static struct stream *stream_of_server(struct run *run, uint64_t index)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        struct stream *stream = &run->plan.streams[i];
        if (is_loaded(stream) && server_of(run, stream)->index == index) {
            return stream;
        }
    }
    return NULL;
}

static int take_loaded(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_loaded loaded;
    if (monitor_decode(run, from, frame, &loaded) != 0) {
        return -1;
    }
    struct stream *stream = stream_of_server(run, loaded.container);
    if (stream == NULL) {
        return monitor_violation(run, from, "load that was not asked for");
    }
    if (loaded.ok == 0) {
        return database_failure(run, stream, loaded.message.data);
    }
    if (loaded.bytes != stream->bytes) {
        return database_failure(run, stream, "not all of the dump was loaded");
    }
    return 0;
}

static int take_loading(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_loading loading;
    if (monitor_decode(run, from, frame, &loading) != 0) {
        return -1;
    }
    const struct stream *stream = stream_of_server(run, loading.container);
    if (stream != NULL) {
        char line[400];
        snprintf(line, sizeof line, "Loading %s of %s: %s of %s", database_engine(stream->kind), stream->service,
                 human_bytes(loading.bytes), human_bytes(stream->bytes));
        output_progress(line);
    }
    return 0;
}

static int load_all(struct run *run)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        struct stream *stream = &run->plan.streams[i];
        if (is_loaded(stream) && TELL(run, PROCESS_AGENT, load, .container = server_of(run, stream)->index,
                                      .kind = stream->kind, .stream = stream->id) != 0) {
            return -1;
        }
    }
    if (TELL(run, PROCESS_AGENT, load_run, .run = text_of(run->id), .stall_timeout = run->options.db_load_timeout) !=
        0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, (double)run->options.db_load_timeout + 60, &from, &frame) != 0) {
            return -1;
        }
        switch (frame.type) {
        case MESSAGE_loading:
            if (take_loading(run, from, &frame) != 0) {
                return -1;
            }
            break;
        case MESSAGE_loaded:
            if (take_loaded(run, from, &frame) != 0) {
                return -1;
            }
            break;
        case MESSAGE_load_end:
            output_progress("");
            return 0;
        default:
            return monitor_violation(run, from, "another message than those of a load");
        }
    }
}

static int finish_server(struct run *run, struct stream *stream)
{
    const struct container *server = server_of(run, stream);
    if (TELL(run, PROCESS_AGENT, database_finish, .container = server->index, .kind = stream->kind) != 0 ||
        take_findings(run, stream) != 0 ||
        TELL(run, PROCESS_AGENT, database_check, .container = server->index, .kind = stream->kind) != 0 ||
        take_findings(run, stream) != 0) {
        return -1;
    }
    stream->done = true;
    run->databases_restored++;
    audit_database(stream);
    say("Restored %s database of service '%s': %u databases, %llu tables, %s of SQL", database_engine(stream->kind),
        stream->service, stream->databases.count, (unsigned long long)stream->tables, human_bytes(stream->bytes));
    return 0;
}

/* One step for every server that is loaded. */
static int for_each_server(struct run *run, int (*step)(struct run *, struct stream *))
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        struct stream *stream = &run->plan.streams[i];
        if (is_loaded(stream) && step(run, stream) != 0) {
            return -1;
        }
    }
    return 0;
}

int copy_data_directories(struct run *run)
{
    unsigned left = 0;
    if (for_each_server(run, look_at_server) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        left += copies_of(&run->plan.streams[i]);
    }
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        if (copy_for_undo(run, &run->plan.streams[i], &left) != 0) {
            return -1;
        }
    }
    return 0;
}

int phase_databases(struct run *run)
{
    bool any = false;
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        any = any || is_loaded(&run->plan.streams[i]);
    }
    if (!any) {
        say("The backup holds no database dump for this stack");
        return 0;
    }
    if (start_servers(run) != 0 || for_each_server(run, wait_ready) != 0 || dump_for_undo(run) != 0 ||
        for_each_server(run, prepare_server) != 0 || AUDITED(run, "load", "all dumps", load_all(run)) != 0) {
        return -1;
    }
    return for_each_server(run, finish_server);
}
