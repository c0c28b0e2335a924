/* Recovery of a run that did not end: undo before its commit point, clean up after it. */
#include "recovery.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "cleanup.h"
#include "monitor.h"
#include "output.h"
#include "scope.h"
#include "spawn.h"
#include "stack.h"
#include "undo_dump.h"
#include "workers.h"

#define LEFTOVERS_MAX 64
#define NOTE_MAX (4 * 1024 * 1024)
#define STOP_TRIES 5
#define ENGINE_POLL_SECONDS 0.5

struct leftover {
    char run[RUN_ID_SIZE + 64];
    bool has_volume;
    bool has_stager;
};

static int read_note(struct run *run, char **note)
{
    size_t size = 0;
    *note = calloc(1, 1);
    if (*note == NULL || TELL(run, PROCESS_AGENT, read_note) != 0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, ENGINE_PATIENCE(run), &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_note_end) {
            return 0;
        }
        struct msg_note_part part;
        if (frame.type != MESSAGE_note_part) {
            return monitor_violation(run, from, "another message than those of a note");
        }
        if (monitor_decode(run, from, &frame, &part) != 0) {
            return -1;
        }
        char *longer = size + part.text.size < NOTE_MAX ? realloc(*note, size + part.text.size + 1) : NULL;
        if (longer == NULL) {
            return run_fail(run, EXIT_INTERNAL, "The note of the earlier run is too long");
        }
        *note = longer;
        memcpy(longer + size, part.text.data, part.text.size + 1);
        size += part.text.size;
    }
}

static struct container *container_by_id(struct run *run, const char *id)
{
    for (unsigned i = 0; id != NULL && i < run->plan.container_count; i++) {
        if (strcmp(run->plan.containers[i].id, id) == 0) {
            return &run->plan.containers[i];
        }
    }
    return NULL;
}

static const char *text_in(const cJSON *item, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, name));
}

static double number_in(const cJSON *item, const char *name)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, name));
}

/* The same container made anew meanwhile (compose up --force-recreate): its service and number stay. */
static struct container *container_by_place(struct run *run, const cJSON *item)
{
    const char *service = text_in(item, "service");
    double number = number_in(item, "number");
    for (unsigned i = 0; service != NULL && i < run->plan.container_count; i++) {
        struct container *container = &run->plan.containers[i];
        bool same = strcmp(container->service, service) == 0 && container->number == number;
        if (same && is_of_stack(container)) {
            return container;
        }
    }
    return NULL;
}

static bool flag_of(const cJSON *item, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, name)) != 0;
}

static void apply_policy(struct container *container, const cJSON *item)
{
    const char *policy = text_in(item, "restart");
    double retries = number_in(item, "retries");
    char *copy = policy == NULL ? NULL : strdup(policy);
    if (copy != NULL) {
        free(container->restart_policy);
        container->restart_policy = copy;
        container->restart_retries = retries > 0 ? (unsigned)retries : 0;
    }
}

/*
 * The containers' state from before the run, from its note (NULL: nothing was stopped). What was made anew meanwhile
 * has a restart policy of its own; what the note does not know stays as it was found.
 */
static void apply_note(struct run *run, const cJSON *note)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(note, "containers"))
    {
        struct container *same = container_by_id(run, text_in(item, "id"));
        struct container *container = same != NULL ? same : container_by_place(run, item);
        if (container == NULL) {
            continue;
        }
        container->was_running = flag_of(item, "running");
        container->was_paused = flag_of(item, "paused");
        container->was_healthy = flag_of(item, "healthy");
        container->apart = flag_of(item, "apart");
        if (same != NULL) {
            apply_policy(container, item);
        }
    }
}

static bool runs_now(const struct container *container)
{
    return strcmp(container->state, "running") == 0 || strcmp(container->state, "restarting") == 0 ||
           strcmp(container->state, "paused") == 0;
}

/* Others may have started or stopped some since they were listed. */
static int renew_states(struct run *run)
{
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        struct msg_container_state state;
        struct container *container = &run->plan.containers[i];
        if (inspect_container(run, container, &state) != 0) {
            return -1;
        }
        char *name = copy_text(state.state);
        if (name == NULL) {
            return run_fail(run, EXIT_INTERNAL, "Out of memory");
        }
        free(container->state);
        container->state = name;
    }
    return 0;
}

static int stop_what_runs(struct run *run)
{
    cleanup_free bool *chosen = calloc(run->plan.container_count + 1, sizeof *chosen);
    cleanup_free bool *paused = calloc(run->plan.container_count + 1, sizeof *paused);
    if (chosen == NULL || paused == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    if (renew_states(run) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        chosen[i] = runs_now(container) && is_concerned(container) && !container->has_undo_dump;
        paused[i] = chosen[i] && strcmp(container->state, "paused") == 0;
    }
    static const struct action unpause = {ACTION_UNPAUSE, false, "unpause"};
    return act_on(run, &unpause, paused) != 0 ? -1 : stop_containers(run, chosen);
}

/* Nothing of the stack may run on volumes that are swapped back. Someone who starts it again and again is met by
 * stopping it again. */
static int still_the_stack(struct run *run)
{
    for (unsigned tries = 1; stop_what_runs(run) != 0; tries++) {
        if (run->failure.code != EXIT_DOCKER || tries == STOP_TRIES) {
            return -1;
        }
        run->failure = (struct failure){0};
    }
    return renew_states(run);
}

/* Restart policies, running containers and pauses, as they were before the run. */
static int restore_containers(struct run *run)
{
    static const struct action policies = {ACTION_SET_RESTART, true, "restore the restart policy of"};
    unsigned count = run->plan.container_count;
    cleanup_free bool *all = calloc(count + 1, sizeof *all);
    cleanup_free bool *running = calloc(count + 1, sizeof *running);
    cleanup_free bool *paused = calloc(count + 1, sizeof *paused);
    cleanup_free bool *idle = calloc(count + 1, sizeof *idle);
    if (all == NULL || running == NULL || paused == NULL || idle == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    for (unsigned i = 0; i < count; i++) {
        const struct container *container = &run->plan.containers[i];
        bool ours = is_concerned(container);
        all[i] = ours;
        running[i] = ours && container->was_running && strcmp(container->state, "paused") != 0;
        paused[i] = ours && container->was_paused && strcmp(container->state, "paused") != 0;
        idle[i] = ours && !container->was_running && runs_now(container);
    }
    if (act_on(run, &policies, all) != 0 || stop_containers(run, idle) != 0 || start_containers(run, running) != 0) {
        return -1;
    }
    return pause_containers(run, paused);
}

/* Paths in containers' own layers get back what was saved; a container made anew meanwhile has nothing of ours. */
static int put_layers_back(struct run *run, const cJSON *note)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(note, "layers"))
    {
        const struct container *container = container_by_id(run, text_in(item, "id"));
        const char *label = text_in(item, "label");
        double saved = number_in(item, "saved");
        struct msg_layer_done done;
        if (container == NULL || label == NULL || !(saved >= 0 && saved <= MAX_STREAMS)) {
            continue;
        }
        audit_intent(run, "write back into the container's layer", label);
        if (TELL(run, PROCESS_AGENT, layer_put, .container = container->index, .label = text_of(label),
                 .stream = (uint64_t)saved) != 0 ||
            EXPECT(run, layer_done, STEP_PATIENCE, &done) != 0) {
            return -1;
        }
        say_warning("'%s' of service '%s' is on no volume: its former files are back, those that the backup added stay",
                    label, container->service);
    }
    return 0;
}

/* Undo or complete by what the journal says, with the stager open. */
static int end_by_journal(struct run *run, const char *run_id, enum journal_phase phase, cJSON *note)
{
    struct msg_swapped swapped;
    bool dumps = phase != JOURNAL_CONCLUDED && mark_undo_dumps(run, note);
    bool swapping = phase == JOURNAL_SWAPPING || phase == JOURNAL_SWAPPED || dumps;
    if (swapping) {
        say("Bringing back the former data");
        if (still_the_stack(run) != 0 || put_layers_back(run, note) != 0) {
            return -1;
        }
    }
    if (phase != JOURNAL_CONCLUDED && stager_step(run, MESSAGE_undo, &(struct msg_undo){}, &swapped) != 0) {
        return -1;
    }
    /* a server without a mount is brought back while it runs: half of a load may keep it from starting again */
    if (dumps && load_undo_dumps(run, run_id, note) != 0) {
        return -1;
    }
    /* what was started during the undo may have files open that are gone now: it is started anew */
    if (swapping && still_the_stack(run) != 0) {
        return -1;
    }
    return stager_step(run, MESSAGE_clean, &(struct msg_clean){}, &swapped);
}

/* What the run's volume knows, and what follows from it; *touched: containers may have been stopped. */
static int end_data(struct run *run, const char *run_id, bool *touched)
{
    struct msg_journal journal;
    cleanup_free char *text = NULL;
    if (stager_open(run, run_id) != 0 || TELL(run, PROCESS_AGENT, read_journal) != 0 ||
        EXPECT(run, journal, ENGINE_PATIENCE(run), &journal) != 0 || read_note(run, &text) != 0 ||
        list_stack(run, NULL) != 0) {
        return -1;
    }
    enum journal_phase phase = (enum journal_phase)journal.phase;
    if (phase == JOURNAL_CONCLUDED && strcmp(run_id, run->id) == 0) {
        run->marks.concluded = true; /* the answer to `conclude` may have been lost */
    }
    cJSON *note = cJSON_Parse(text);
    *touched = note != NULL;
    apply_note(run, note);
    int result = end_by_journal(run, run_id, phase, note);
    cJSON_Delete(note);
    return result != 0 ? -1 : stager_close(run);
}

/* Everything about one run: its data, its containers, then what it left in the Engine. */
static int end_run(struct run *run, const struct leftover *leftover)
{
    struct msg_removed removed;
    bool touched = false;
    if ((leftover->has_stager || leftover->has_volume) && end_data(run, leftover->run, &touched) != 0) {
        return -1;
    }
    if (touched && restore_containers(run) != 0) {
        return -1;
    }
    if (TELL(run, PROCESS_AGENT, remove_run, .run = text_of(leftover->run)) != 0) {
        return -1;
    }
    return EXPECT(run, removed, ENGINE_PATIENCE(run), &removed);
}

static int list_leftovers(struct run *run, struct leftover *found, size_t *count)
{
    *count = 0;
    if (TELL(run, PROCESS_AGENT, list_leftovers) != 0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        struct msg_leftover leftover;
        if (monitor_next(run, ENGINE_PATIENCE(run), &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_leftovers_end) {
            return 0;
        }
        if (frame.type != MESSAGE_leftover) {
            return monitor_violation(run, from, "another message than those of leftovers");
        }
        if (monitor_decode(run, from, &frame, &leftover) != 0) {
            return -1;
        }
        if (*count < LEFTOVERS_MAX) {
            struct leftover *item = &found[(*count)++];
            snprintf(item->run, sizeof item->run, "%s", leftover.run.data);
            item->has_volume = leftover.has_volume != 0;
            item->has_stager = leftover.has_stager != 0;
        }
    }
}

int recover_leftovers(struct run *run)
{
    static struct leftover found[LEFTOVERS_MAX];
    size_t count;
    if (list_leftovers(run, found, &count) != 0) {
        return -1;
    }
    size_t ended = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(found[i].run, run->id) == 0) {
            continue;
        }
        say("Run %s did not end: recovering", found[i].run);
        if (AUDITED(run, "recover", found[i].run, end_run(run, &found[i])) != 0) {
            run->failure.code = EXIT_RECOVERY;
            snprintf(run->unended, sizeof run->unended, "%.64s", found[i].run);
            return -1;
        }
        ended++;
    }
    if (run->options.mode == MODE_RECOVER) {
        say(ended == 0 ? "Nothing to recover" : "Recovered");
    }
    return 0;
}

/* A restarted engine is the failure that most often leads here: it is waited for as long as for one of its answers. */
static int await_engine(struct run *run)
{
    double deadline = monotonic_seconds() + (double)run->options.docker_timeout;
    for (;;) {
        struct msg_engine engine;
        if (TELL(run, PROCESS_AGENT, ping) == 0 && EXPECT(run, engine, ENGINE_PATIENCE(run), &engine) == 0) {
            return 0;
        }
        if (run->failure.code != EXIT_DOCKER || monotonic_seconds() > deadline) {
            return -1;
        }
        run->failure = (struct failure){0};
        if (monitor_sleep(run, ENGINE_POLL_SECONDS) != 0) {
            return -1;
        }
    }
}

/* This run's own leftovers, found as a later run would find them. */
static int end_own_run(struct run *run)
{
    static struct leftover found[LEFTOVERS_MAX];
    size_t count;
    if (agent_start(run) != 0 || await_engine(run) != 0 || list_leftovers(run, found, &count) != 0) {
        return -1;
    }
    struct leftover own = {0};
    snprintf(own.run, sizeof own.run, "%s", run->id);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(found[i].run, run->id) == 0) {
            own = found[i];
        }
    }
    return end_run(run, &own);
}

int unwind_run(struct run *run)
{
    run->unwinding = true;
    run->watching = false;
    output_progress("");
    if (!run->marks.locked) {
        end_all_workers(run);
        return 0;
    }
    struct failure cause = run->failure;
    run->failure = (struct failure){0};
    end_all_workers(run);
    int result = AUDITED(run, "bring back the former state", run->id, end_own_run(run));
    if (result != 0) {
        say_error("Bringing back the former state failed: %s", run->failure.message);
    }
    end_all_workers(run);
    run->failure = cause;
    return result;
}
