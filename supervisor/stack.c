/* The stack's containers, by way of the docker-agent. */
#include "stack.h"
#include "undo_dump.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit.h"
#include "cleanup.h"
#include "monitor.h"
#include "output.h"
#include "workers.h"

#define HEALTH_POLL_SECONDS 0.5
#define NOTE_PART 12000
#define ACTED_NAMES_SIZE 8192
#define PAUSE_TRIES 10
#define PAUSE_AGAIN_SECONDS 0.5

void volume_labels_free(struct volume_labels *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        free(labels->items[i].name);
        free(labels->items[i].path);
    }
    free(labels->items);
    *labels = (struct volume_labels){0};
}

static int keep_label(struct run *run, const struct msg_volume_label *message, struct volume_labels *labels)
{
    const struct container *container = plan_container(&run->plan, message->container);
    if (container == NULL) {
        return monitor_violation(run, PROCESS_AGENT, "label of a container that was not listed");
    }
    if (labels == NULL) {
        return 0;
    }
    struct volume_label *items = reallocarray(labels->items, labels->count + 1, sizeof *items);
    if (items == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory while listing the stack");
    }
    labels->items = items;
    items[labels->count++] = (struct volume_label){(unsigned)(container - run->plan.containers),
                                                   copy_text(message->name), copy_text(message->path)};
    return 0;
}

static int take_stack_frame(struct run *run, enum process from, const struct frame *frame, struct volume_labels *labels)
{
    if (frame->type == MESSAGE_container) {
        struct msg_container container;
        if (monitor_decode(run, from, frame, &container) != 0) {
            return -1;
        }
        if (run->plan.container_count > MAX_CONTAINERS) {
            return monitor_violation(run, from, "more containers than there can be");
        }
        return plan_add_container(&run->plan, &container) == NULL ? run_fail(run, EXIT_INTERNAL, "Out of memory") : 0;
    }
    if (frame->type == MESSAGE_volume_label) {
        struct msg_volume_label label;
        return monitor_decode(run, from, frame, &label) != 0 ? -1 : keep_label(run, &label, labels);
    }
    return monitor_violation(run, from, "another message than those of the stack");
}

int list_stack(struct run *run, struct volume_labels *labels)
{
    run->plan.container_count = 0;
    free(run->plan.containers);
    run->plan.containers = NULL;
    if (TELL(run, PROCESS_AGENT, list_stack) != 0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, ENGINE_PATIENCE(run), &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_stack_end) {
            return 0;
        }
        if (take_stack_frame(run, from, &frame, labels) != 0) {
            return -1;
        }
    }
}

static int take_acted(struct run *run, enum process from, const struct frame *frame, const struct action *action)
{
    struct msg_acted acted;
    if (frame->type != MESSAGE_acted) {
        return monitor_violation(run, from, "another message than those of an action");
    }
    if (monitor_decode(run, from, frame, &acted) != 0) {
        return -1;
    }
    const struct container *container = plan_container(&run->plan, acted.container);
    if (acted.ok == 0) {
        run_fail(run, EXIT_DOCKER, "Failed to %s container '%s': %s", action->what,
                 container == NULL ? "?" : container->name, acted.message.data);
    }
    return 0;
}

/* "web, db": for the record. */
static void name_acted(char names[ACTED_NAMES_SIZE], const char *name)
{
    size_t used = strlen(names);
    snprintf(names + used, ACTED_NAMES_SIZE - used, "%s%s", used == 0 ? "" : ", ", name);
}

/* What was queued, to its end. */
static int run_actions(struct run *run, const struct action *action, double patience)
{
    if (TELL(run, PROCESS_AGENT, act_run, .deadline = (uint64_t)patience) != 0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, patience + 30, &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_act_end) {
            return run->failure.set ? -1 : 0;
        }
        if (take_acted(run, from, &frame, action) != 0) {
            return -1;
        }
    }
}

int act_on(struct run *run, const struct action *action, const bool *chosen)
{
    unsigned count = 0;
    char names[ACTED_NAMES_SIZE] = "";
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        if (!chosen[i] || container->self) {
            continue;
        }
        count++;
        name_acted(names, container->name);
        if (TELL(run, PROCESS_AGENT, act, .container = container->index, .action = action->action,
                 .seconds = run->options.stop_timeout,
                 .policy = text_of(action->former_policy ? container->restart_policy : "no"),
                 .retries = action->former_policy ? container->restart_retries : 0) != 0) {
            return -1;
        }
    }
    double patience = (double)run->options.stop_timeout + (double)run->options.docker_timeout;
    if (count == 0) {
        return 0;
    }
    return AUDITED(run, action->what, names, run_actions(run, action, patience));
}

int inspect_container(struct run *run, const struct container *container, struct msg_container_state *state)
{
    if (TELL(run, PROCESS_AGENT, inspect, .container = container->index) != 0) {
        return -1;
    }
    return EXPECT(run, container_state, ENGINE_PATIENCE(run), state);
}

static bool stands_still(const struct msg_container_state *state)
{
    const char *name = state->state.data;
    return state->exists == 0 || strcmp(name, "exited") == 0 || strcmp(name, "created") == 0 ||
           strcmp(name, "dead") == 0;
}

static int verify_stopped(struct run *run, const bool *chosen)
{
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        struct msg_container_state state;
        if (!chosen[i]) {
            continue;
        }
        if (inspect_container(run, &run->plan.containers[i], &state) != 0) {
            return -1;
        }
        if (!stands_still(&state)) {
            return run_fail(run, EXIT_DOCKER, "Container '%s' is still %s after the stop", run->plan.containers[i].name,
                            state.state.data);
        }
    }
    return 0;
}

/* chosen, as far as it is of one wave */
static bool pick_wave(const struct run *run, const bool *chosen, const unsigned *waves, unsigned wave, bool *picked)
{
    bool any = false;
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        picked[i] = chosen[i] && waves[i] == wave;
        any = any || picked[i];
    }
    return any;
}

int stop_containers(struct run *run, const bool *chosen)
{
    static const struct action stop = {ACTION_STOP, false, "stop"};
    unsigned count = run->plan.container_count;
    cleanup_free unsigned *waves = calloc(count + 1, sizeof *waves);
    cleanup_free bool *picked = calloc(count + 1, sizeof *picked);
    if (waves == NULL || picked == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    for (unsigned wave = plan_waves(&run->plan, waves); wave-- > 0;) {
        if (pick_wave(run, chosen, waves, wave, picked) && act_on(run, &stop, picked) != 0) {
            return -1;
        }
    }
    return verify_stopped(run, chosen);
}

/* Whether a chosen container waits for this service to be healthy. */
static bool is_awaited(const struct run *run, const bool *chosen, const char *service)
{
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        if (chosen[i] && dependency_condition(run->plan.containers[i].depends_on, service) == CONDITION_HEALTHY) {
            return true;
        }
    }
    return false;
}

static int wait_health_of(struct run *run, const struct container *container)
{
    double deadline = monotonic_seconds() + (double)run->options.health_timeout;
    for (;;) {
        struct msg_container_state state;
        if (inspect_container(run, container, &state) != 0) {
            return -1;
        }
        if (state.health.size == 0 || strcmp(state.health.data, "healthy") == 0) {
            return 0;
        }
        if (strcmp(state.state.data, "running") != 0 || monotonic_seconds() > deadline) {
            return run_fail(run, EXIT_HEALTH, "Container '%s' is %s (%s) instead of healthy after %llu seconds",
                            container->name, state.health.data, state.state.data,
                            (unsigned long long)run->options.health_timeout);
        }
        if (monitor_sleep(run, HEALTH_POLL_SECONDS) != 0) {
            return -1;
        }
    }
}

int start_containers(struct run *run, const bool *chosen)
{
    static const struct action start = {ACTION_START, false, "start"};
    unsigned count = run->plan.container_count;
    cleanup_free unsigned *waves = calloc(count + 1, sizeof *waves);
    cleanup_free bool *picked = calloc(count + 1, sizeof *picked);
    if (waves == NULL || picked == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    unsigned last = plan_waves(&run->plan, waves);
    for (unsigned wave = 0; wave < last; wave++) {
        if (pick_wave(run, chosen, waves, wave, picked) && act_on(run, &start, picked) != 0) {
            return -1;
        }
        for (unsigned i = 0; i < count; i++) {
            bool awaited = picked[i] && is_awaited(run, chosen, run->plan.containers[i].service);
            if (awaited && wait_health_of(run, &run->plan.containers[i]) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Those chosen that are not paused yet; -1 where they cannot be looked at. */
static int pick_unpaused(struct run *run, const bool *chosen, bool *picked)
{
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        struct msg_container_state state;
        picked[i] = chosen[i];
        if (chosen[i] && inspect_container(run, &run->plan.containers[i], &state) != 0) {
            return -1;
        }
        picked[i] = chosen[i] && strcmp(state.state.data, "paused") != 0;
    }
    return 0;
}

int pause_containers(struct run *run, const bool *chosen)
{
    static const struct action pause = {ACTION_PAUSE, false, "pause"};
    cleanup_free bool *picked = calloc(run->plan.container_count + 1, sizeof *picked);
    if (picked == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    for (unsigned tries = 1;; tries++) {
        if (pick_unpaused(run, chosen, picked) != 0) {
            return -1;
        }
        if (act_on(run, &pause, picked) == 0) {
            return 0;
        }
        if (run->failure.code != EXIT_DOCKER || tries == PAUSE_TRIES) {
            return -1;
        }
        run->failure = (struct failure){0};
        if (monitor_sleep(run, PAUSE_AGAIN_SECONDS) != 0) {
            return -1;
        }
    }
}

int wait_healthy(struct run *run)
{
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        if (container->was_healthy && !container->self && wait_health_of(run, container) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Paths in containers' own layers that are written from now on, with the spool that brings them back. */
static void note_layers(const struct run *run, cJSON *note)
{
    cJSON *list = cJSON_AddArrayToObject(note, "layers");
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (stream->layer && stream->saved) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "id", run->plan.containers[stream->container].id);
            cJSON_AddStringToObject(item, "label", stream->name);
            cJSON_AddNumberToObject(item, "saved", saved_spool(stream));
            cJSON_AddItemToArray(list, item);
        }
    }
}

static char *note_text(const struct run *run)
{
    cJSON *note = cJSON_CreateObject();
    cJSON_AddStringToObject(note, "run", run->id);
    cJSON_AddStringToObject(note, "backup", run->backup.name);
    note_layers(run, note);
    note_undo_dumps(run, note);
    cJSON *list = cJSON_AddArrayToObject(note, "containers");
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        const struct container *container = &run->plan.containers[i];
        if (container->self) {
            continue;
        }
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "id", container->id);
        cJSON_AddStringToObject(item, "service", container->service);
        cJSON_AddNumberToObject(item, "number", container->number);
        cJSON_AddBoolToObject(item, "running", container->was_running);
        cJSON_AddBoolToObject(item, "paused", container->was_paused);
        cJSON_AddBoolToObject(item, "healthy", container->was_healthy);
        cJSON_AddBoolToObject(item, "apart", container->apart);
        cJSON_AddStringToObject(item, "restart", container->restart_policy);
        cJSON_AddNumberToObject(item, "retries", container->restart_retries);
        cJSON_AddItemToArray(list, item);
    }
    char *text = cJSON_PrintUnformatted(note);
    cJSON_Delete(note);
    return text;
}

int write_note(struct run *run)
{
    cleanup_free char *text = note_text(run);
    return text == NULL ? run_fail(run, EXIT_INTERNAL, "Out of memory") : write_note_text(run, text);
}

int write_note_text(struct run *run, const char *text)
{
    size_t size = strlen(text);
    size_t at = 0;
    do {
        size_t part = size - at < NOTE_PART ? size - at : NOTE_PART;
        struct msg_noted noted;
        if (TELL(run, PROCESS_AGENT, note, .last = at + part == size, .text = {text + at, part}) != 0 ||
            EXPECT(run, noted, ENGINE_PATIENCE(run), &noted) != 0) {
            return -1;
        }
        at += part;
    } while (at < size);
    return 0;
}

int show_states(struct run *run, const char *title)
{
    say("%s", title);
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        struct msg_container_state state;
        const struct container *container = &run->plan.containers[i];
        if (inspect_container(run, container, &state) != 0) {
            return -1;
        }
        say("  %-30s %s%s%s%s", container->name, state.exists == 0 ? "gone" : state.state.data,
            state.health.size > 0 ? " (" : "", state.health.data, state.health.size > 0 ? ")" : "");
    }
    return 0;
}

static bool is_target_mount(const struct run *run, uint64_t mount)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        for (unsigned j = 0; stream->seen && j < stream->destination_count; j++) {
            if (run->plan.roots[stream->destinations[j].root].mount == mount) {
                return true;
            }
        }
    }
    return false;
}

static int judge_user(struct run *run, const struct msg_mount_user *user, bool of_stack)
{
    struct container *container = user->in_stack != 0 ? plan_container(&run->plan, user->index) : NULL;
    if (!is_target_mount(run, user->mount) || (container != NULL && container->self)) {
        return 0;
    }
    /* one of the project that was made after the listing is the stack's too */
    if (user->in_stack != 0 || strcmp(user->project.data, target_project(&run->options)) == 0) {
        if (!of_stack) {
            if (container != NULL) {
                container->uses_target = true;
            }
            return 0;
        }
        if (run->options.skip_stop) {
            say_warning("Container '%s' runs and uses a volume that is restored (SKIP_STOP)", user->name.data);
            return 0;
        }
        return run_fail(run, EXIT_DOCKER, "Container '%s' was started while its volume is restored", user->name.data);
    }
    if (run->options.allow_shared_volumes || user->read_only != 0) {
        say_warning("Container '%s' of another project runs and %s a volume that is restored", user->name.data,
                    user->read_only != 0 ? "reads" : "uses");
        return 0;
    }
    return run_fail(run, EXIT_DOCKER,
                    "Container '%s'%s%s runs and uses a volume that is to be restored. Stop it, or set "
                    "ALLOW_SHARED_VOLUMES=true",
                    user->name.data, user->project.size > 0 ? " of project " : "", user->project.data);
}

int check_users(struct run *run, bool of_stack)
{
    if (TELL(run, PROCESS_AGENT, list_users) != 0) {
        return -1;
    }
    int result = 0;
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, ENGINE_PATIENCE(run), &from, &frame) != 0) {
            return -1;
        }
        if (frame.type == MESSAGE_users_end) {
            return result;
        }
        struct msg_mount_user user;
        if (frame.type != MESSAGE_mount_user) {
            return monitor_violation(run, from, "another message than those of a list of users");
        }
        if (monitor_decode(run, from, &frame, &user) != 0) {
            return -1;
        }
        result = judge_user(run, &user, of_stack) != 0 ? -1 : result;
    }
}

int watch_starts(struct run *run, enum watch_mode mode)
{
    struct msg_watching watching;
    run->watching = true;
    if (TELL(run, PROCESS_AGENT, watch, .mode = mode) != 0 ||
        EXPECT(run, watching, ENGINE_PATIENCE(run), &watching) != 0) {
        return -1;
    }
    run->watching = mode != WATCH_OFF;
    return 0;
}

int take_started(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_user_started started;
    if (!run->watching) {
        return monitor_violation(run, from, "a start that nobody watches for");
    }
    if (monitor_decode(run, from, frame, &started) != 0) {
        return -1;
    }
    const struct msg_mount_user user = {started.id,       started.name,  started.project,  started.mount,
                                        started.in_stack, started.index, started.read_only};
    return judge_user(run, &user, true);
}
