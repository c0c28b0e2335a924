/* Phase 5: swap what was staged with what is live. */
#include <string.h>

#include "audit.h"
#include "databases.h"
#include "download.h"
#include "monitor.h"
#include "output.h"
#include "phases.h"
#include "stack.h"
#include "workers.h"

static int put_layer(struct run *run, const struct stream *stream, unsigned merged)
{
    struct msg_layer_done done;
    return TELL(run, PROCESS_AGENT, layer_put, .container = run->plan.containers[stream->container].index,
                .label = text_of(stream->name), .stream = merged) != 0
               ? -1
               : EXPECT(run, layer_done, STEP_PATIENCE, &done);
}

/* A path in a container's own layer: the archive API, after its present content was saved. */
static int restore_layer(struct run *run, struct stream *stream)
{
    struct msg_layer_done done;
    struct msg_swapped swapped;
    unsigned saved = saved_spool(stream);
    unsigned merged = saved + STREAMS_MAX;
    const struct container *container = &run->plan.containers[stream->container];
    if (TELL(run, PROCESS_AGENT, layer_save, .container = container->index, .label = text_of(stream->name),
             .stream = saved) != 0 ||
        EXPECT(run, layer_done, STEP_PATIENCE, &done) != 0 ||
        stager_step(run, MESSAGE_layer_merge,
                    &(struct msg_layer_merge){
                        .stream = stream->id, .saved = saved, .merged = merged, .ownership = run->options.ownership},
                    &swapped) != 0) {
        return -1;
    }
    say_warning("'%s' of service '%s' is on no volume: files are written over what the container has there",
                stream->path, stream->service);
    if (swapped.entries != stream->entries) {
        return run_fail(
            run, EXIT_INTEGRITY, "Archive integrity check failed: %s/%s: %llu entries were sent, %llu were kept",
            stream->service, stream->name, (unsigned long long)stream->entries, (unsigned long long)swapped.entries);
    }
    stream->saved = true;
    if (write_note(run) != 0) {
        return -1;
    }
    return AUDITED(run, "write into the container's layer", stream->path, put_layer(run, stream, merged));
}

static int report_volume(struct run *run, struct stream *stream)
{
    stream->done = true;
    run->volumes_restored++;
    audit_volume(run, stream);
    for (unsigned i = 0; i < stream->destination_count; i++) {
        if (stream->destinations[i].read_only) {
            say("The container of service '%s' mounts %s read-only; it was restored nevertheless", stream->service,
                stream->path);
        }
    }
    say("Restored volume %s/%s: %llu entries, %s", stream->service, stream->name, (unsigned long long)stream->entries,
        human_bytes(stream->bytes));
    return 0;
}

int phase_volumes(struct run *run)
{
    struct msg_swapped swapped;
    if (stage_deferred(run) != 0 || copy_data_directories(run) != 0 || check_users(run, true) != 0 ||
        stager_step(run, MESSAGE_commit, &(struct msg_commit){}, &swapped) != 0 || check_users(run, true) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        struct stream *stream = &run->plan.streams[i];
        if (!stream->seen || is_database(stream->kind)) {
            continue;
        }
        if ((stream->layer && restore_layer(run, stream) != 0) || report_volume(run, stream) != 0) {
            return -1;
        }
    }
    return 0;
}
