/* Phase 4: write down who ran, take the restart policies away, stop the stack and see that it stands. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "monitor.h"
#include "output.h"
#include "phases.h"
#include "scope.h"
#include "stack.h"

static int stop_stack(struct run *run)
{
    static const struct action no_restart = {ACTION_SET_RESTART, false, "set the restart policy of"};
    static const struct action unpause = {ACTION_UNPAUSE, false, "unpause"};
    unsigned count = run->plan.container_count;
    cleanup_free bool *running = calloc(count + 1, sizeof *running);
    cleanup_free bool *paused = calloc(count + 1, sizeof *paused);
    cleanup_free bool *all = calloc(count + 1, sizeof *all);
    if (running == NULL || paused == NULL || all == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    for (unsigned i = 0; i < count; i++) {
        running[i] = is_stopped(run, &run->plan.containers[i]);
        paused[i] = running[i] && run->plan.containers[i].was_paused;
        all[i] = is_concerned(&run->plan.containers[i]);
    }
    if (act_on(run, &no_restart, all) != 0 || act_on(run, &unpause, paused) != 0) {
        return -1;
    }
    run->stopped_at = monotonic_seconds();
    return stop_containers(run, running);
}

int phase_shutdown(struct run *run)
{
    if (show_states(run, "State of the stack before the restore:") != 0) {
        return -1;
    }
    run->marks.stopping = true;
    if (write_note(run) != 0 || watch_starts(run, WATCH_FOLLOW) != 0) {
        return -1;
    }
    if (run->options.skip_stop) {
        say("Not stopping the stack (SKIP_STOP)");
        return watch_starts(run, WATCH_REPORT);
    }
    /* what starts is told from now on; what started before is in the list */
    return stop_stack(run) != 0 || watch_starts(run, WATCH_REPORT) != 0 ? -1 : check_users(run, true);
}
