/*
 * Phase 7: the commit point, away with the old data, the stack as it was, then away with what the run has in the
 * Engine.
 *
 * The old data goes before anything starts: many images walk their data at start (`find … -exec chown`, `chown -R`),
 * and one whose walk meets a folder that is just being removed ends in an error instead of starting.
 */
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "cleanup.h"
#include "monitor.h"
#include "output.h"
#include "phases.h"
#include "scope.h"
#include "stack.h"
#include "workers.h"

struct choice {
    bool *policies;
    bool *start;
    bool *pause;
    bool *stop;
};

static bool is_server(const struct run *run, unsigned container)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (stream->seen && is_database(stream->kind) && stream->container == container) {
            return true;
        }
    }
    return false;
}

static void choose(const struct run *run, struct choice *choice)
{
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        bool ours = is_concerned(container);
        bool start = is_started(run, container);
        choice->policies[i] = ours;
        choice->start[i] = start;
        choice->pause[i] = start && container->was_paused;
        /* started for the load alone: back to its former state */
        bool runs_again = start || (run->options.skip_stop && container->was_running);
        choice->stop[i] = ours && is_server(run, i) && !runs_again;
    }
}

static int bring_back(struct run *run, const struct choice *choice)
{
    static const struct action policies = {ACTION_SET_RESTART, true, "restore the restart policy of"};
    if (!run->options.skip_stop && act_on(run, &policies, choice->policies) != 0) {
        return -1;
    }
    if (stop_containers(run, choice->stop) != 0) {
        return -1;
    }
    if (run->options.skip_start) {
        say("Not starting the stack (SKIP_START)");
        return 0;
    }
    if (start_containers(run, choice->start) != 0 || pause_containers(run, choice->pause) != 0) {
        return -1;
    }
    run->running_at = monotonic_seconds();
    return wait_healthy(run);
}

static int remove_own(struct run *run)
{
    struct msg_removed removed;
    if (stager_close(run) != 0 || audit_intent(run, "remove", "the run's volume, stager and lock") != 0 ||
        TELL(run, PROCESS_AGENT, remove_run, .run = text_of(run->id)) != 0) {
        return -1;
    }
    return audit_result(run, "remove", EXPECT(run, removed, ENGINE_PATIENCE(run), &removed));
}

int phase_restart(struct run *run)
{
    struct msg_swapped swapped;
    unsigned room = run->plan.container_count + 1;
    cleanup_free bool *flags = calloc(4 * (size_t)room, sizeof *flags);
    if (flags == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    struct choice choice = {flags, flags + room, flags + 2 * (size_t)room, flags + 3 * (size_t)room};
    choose(run, &choice);
    if (watch_starts(run, WATCH_OFF) != 0 ||
        stager_step(run, MESSAGE_conclude, &(struct msg_conclude){}, &swapped) != 0) {
        return -1;
    }
    run->marks.concluded = true;
    if (audit_former(run) != 0 || stager_step(run, MESSAGE_clean, &(struct msg_clean){}, &swapped) != 0 ||
        bring_back(run, &choice) != 0 || show_states(run, "State of the stack after the restore:") != 0) {
        return -1;
    }
    run->marks.started = true;
    return remove_own(run);
}
