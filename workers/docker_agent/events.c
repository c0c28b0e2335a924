/* The verb watch, and the turns of the Engine's stream of events; see events.h. */
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "exit_codes.h"
#include "targets.h"

#define LINE_MAX_BYTES (256 * 1024)
#define QUEUE_MAX 64
#define RETRY_MS 250
#define VOLUME_NAME_MAX 255

/* A container that started, or (volume not empty) a volume that was mounted for one. */
struct start {
    char id[65];
    char volume[VOLUME_NAME_MAX + 1];
    bool read_only;
};

struct watch {
    enum watch_mode mode;
    struct engine_follow *follow; /* NULL: the stream is lost */
    bool behind;                  /* events may have been missed: who runs now has to be looked at */
    int64_t lost_ms;              /* since when it is lost */
    int64_t retry_ms;             /* when the next try is due */
    double newest;                /* the Engine's time of the newest event, in nanoseconds; 0: none came yet */
    size_t count;
    struct start starts[QUEUE_MAX];
    size_t line_size;
    char line[LINE_MAX_BYTES];
};

/* Volumes are mounted by name before the start, and their event stays when the container is gone at once (--rm). */
static bool read_start(const cJSON *event, struct start *start)
{
    *start = (struct start){0};
    const cJSON *actor = json_member(event, "Actor");
    const cJSON *attributes = json_member(actor, "Attributes");
    bool is_mount = strcmp(json_text(event, "Type"), "volume") == 0;
    const char *id = is_mount ? json_text(attributes, "container") : json_text(actor, "ID");
    const char *volume = is_mount ? json_text(actor, "ID") : "";
    if (id[0] == '\0' || strlen(id) > 64 || strlen(volume) > VOLUME_NAME_MAX || (is_mount && volume[0] == '\0')) {
        return false;
    }
    snprintf(start->id, sizeof start->id, "%s", id);
    snprintf(start->volume, sizeof start->volume, "%s", volume);
    start->read_only = strcmp(json_text(attributes, "read/write"), "false") == 0;
    return true;
}

static void take_line(struct watch *watch)
{
    cleanup_json cJSON *event = cJSON_ParseWithLength(watch->line, watch->line_size);
    const cJSON *time = json_member(event, "timeNano");
    if (cJSON_IsNumber(time) && time->valuedouble > watch->newest) {
        watch->newest = time->valuedouble;
    }
    if (watch->mode != WATCH_REPORT) {
        return;
    }
    if (event == NULL || watch->count == QUEUE_MAX) {
        watch->behind = true;
    } else if (read_start(event, &watch->starts[watch->count])) {
        watch->count++;
    }
}

/* A line that is too long is left out; the list of who runs makes up for it. */
static int take_bytes(void *context, const uint8_t *data, size_t size)
{
    struct watch *watch = context;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n') {
            take_line(watch);
            watch->line_size = 0;
        } else if (watch->line_size < sizeof watch->line) {
            watch->line[watch->line_size++] = (char)data[i];
        } else {
            watch->behind = true;
        }
    }
    return 0;
}

/* 0, or -1 with engine->error. */
static int subscribe(struct agent *agent, struct watch *watch)
{
    static const char filters[] = "{\"type\":[\"container\",\"volume\"],\"event\":[\"start\",\"unpause\",\"mount\"]}";
    cleanup_free char *path = NULL;
    char since[32] = "";
    if (watch->newest > 0) {
        double seconds = watch->newest / 1e9;
        snprintf(since, sizeof since, "%.6f", seconds + 1e-6); /* behind the newest one */
    }
    if (engine_path(&agent->engine, &path, since[0] == '\0' ? "/events?filters=%s" : "/events?filters=%s&since=%s",
                    filters, since) != 0) {
        return -1;
    }
    watch->line_size = 0;
    return engine_follow_open(&agent->engine, path, "follow the events", take_bytes, watch, &watch->follow);
}

static void lose(struct watch *watch)
{
    engine_follow_close(watch->follow);
    watch->follow = NULL;
    watch->behind = true;
    watch->retry_ms = now_ms();
    watch->lost_ms = watch->retry_ms;
}

static void watch_end(struct agent *agent)
{
    if (agent->watch != NULL) {
        engine_follow_close(agent->watch->follow);
        free(agent->watch);
        agent->watch = NULL;
    }
}

/* A container that was removed as soon as it ended leaves the name of its volume alone. */
static int tell_of_removed(struct agent *agent, const struct start *start)
{
    for (size_t i = 0; i < agent->mount_count; i++) {
        if (agent->mounts[i].is_volume && strcmp(agent->mounts[i].name, start->volume) == 0 &&
            AGENT_SEND(agent, user_started, .id = text_of(start->id), .name = {start->id, strnlen(start->id, 12)},
                       .project = text_of(""), .mount = i, .read_only = start->read_only) != 0) {
            return -1;
        }
    }
    return 0;
}

/* 0, 1: the Engine does not answer, -1: the process ends. */
static int judge(struct agent *agent, const struct start *start)
{
    char filter[128];
    cleanup_free char *path = NULL;
    cleanup_json cJSON *list = NULL;
    snprintf(filter, sizeof filter, "{\"id\":[\"%s\"]}", start->id);
    if (engine_path(&agent->engine, &path, "/containers/json?all=1&filters=%s", filter) != 0) {
        return 1;
    }
    const struct engine_request request = {.method = "GET", .path = path, .what = "look at a container that started"};
    if (engine_call(&agent->engine, &request, &list) != 0) {
        return 1;
    }
    if (start->volume[0] == '\0') {
        return users_tell(agent, list, true);
    }
    return cJSON_GetArraySize(list) == 0 ? tell_of_removed(agent, start) : 0;
}

/* Who runs now and was not seen to start. As judge(). */
static int catch_up(struct agent *agent)
{
    cleanup_json cJSON *list = NULL;
    const struct engine_request request = {
        .method = "GET", .path = "/containers/json", .what = "list the running containers"};
    if (engine_call(&agent->engine, &request, &list) != 0) {
        return 1;
    }
    agent->watch->behind = false;
    return users_tell(agent, list, true);
}

/* The starts that were read. As judge(); where it is 1, they stay for the next turn. */
static int judge_all(struct agent *agent)
{
    struct watch *watch = agent->watch;
    int result = 0;
    for (size_t i = 0; i < watch->count && result == 0; i++) {
        result = judge(agent, &watch->starts[i]);
    }
    watch->count = result == 0 ? 0 : watch->count;
    if (result == 0 && watch->behind && watch->mode == WATCH_REPORT) {
        result = catch_up(agent);
    }
    return result;
}

/* Reads what is there, or subscribes again. 0, 1: nothing can be read now, -1: the process ends. */
static int turn(struct agent *agent)
{
    struct watch *watch = agent->watch;
    if (watch->follow != NULL && !engine_follow_turn(watch->follow)) {
        lose(watch);
    }
    if (watch->follow == NULL) {
        if (now_ms() < watch->retry_ms) {
            return 1;
        }
        watch->retry_ms = now_ms() + RETRY_MS;
        if (subscribe(agent, watch) != 0) {
            return 1;
        }
    }
    int result = judge_all(agent);
    if (result == 1) {
        lose(watch);
        watch->retry_ms += RETRY_MS;
    }
    return result;
}

/* The verb under way keeps its error. Without events for as long as one request may take, the run cannot go on; between
 * verbs alone that can be said. */
static int events_turn(struct agent *agent)
{
    struct engine saved = agent->engine;
    int result = turn(agent);
    memcpy(agent->engine.error, saved.error, sizeof saved.error);
    agent->engine.error_code = saved.error_code;
    agent->engine.status = saved.status;
    if (result != 1) {
        return result;
    }
    const struct watch *watch = agent->watch;
    bool too_long = now_ms() - watch->lost_ms > (int64_t)agent->timeout * 1000;
    if (!too_long || watch->mode != WATCH_REPORT || agent->channel.direct.state != STATE_IDLE) {
        return 0;
    }
    watch_end(agent);
    return agent_fail(agent, EXIT_DOCKER, "the Docker Engine's events cannot be followed any more");
}

int events_poll(struct agent *agent, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct watch *watch = agent->watch;
    if (watch == NULL) {
        return poll(fds, count, timeout_ms);
    }
    bool lost = watch->follow == NULL;
    fds[count] = (struct pollfd){lost ? -1 : engine_follow_fd(watch->follow), POLLIN, 0};
    int ready = poll(fds, count + 1, lost && (timeout_ms < 0 || timeout_ms > RETRY_MS) ? RETRY_MS : timeout_ms);
    int cause = errno;
    if ((lost || fds[count].revents != 0) && events_turn(agent) != 0) {
        errno = EPIPE;
        return -1;
    }
    errno = cause;
    return ready > 0 && fds[count].revents != 0 ? ready - 1 : ready;
}

static int watch_begin(struct agent *agent)
{
    watch_end(agent);
    agent->watch = calloc(1, sizeof *agent->watch);
    if (agent->watch == NULL) {
        return engine_error(&agent->engine, EXIT_INTERNAL, "follow the events: no memory");
    }
    agent->watch->mode = WATCH_FOLLOW;
    return subscribe(agent, agent->watch);
}

/* Up to the present: what was sent is read, and a stream that is lost is there again. 0, 1: it cannot be had,
 * -1: the process ends. */
static int up_to_date(struct agent *agent)
{
    int64_t end = now_ms() + (int64_t)agent->timeout * 1000;
    int result = turn(agent);
    while (result == 1 && now_ms() < end) {
        poll(NULL, 0, RETRY_MS);
        result = turn(agent);
    }
    return result;
}

int watch_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_watch message;
    if (AGENT_DECODE(agent, frame, watch, &message) != 0) {
        return -1;
    }
    if (message.mode == WATCH_FOLLOW && watch_begin(agent) != 0) {
        watch_end(agent);
        return agent_fail_engine(agent);
    }
    if (agent->watch == NULL) {
        return agent_fail(agent, EXIT_DOCKER, "the Docker Engine's events are not followed");
    }
    int result = up_to_date(agent);
    if (result != 0) {
        watch_end(agent);
        return result < 0 ? -1 : agent_fail_engine(agent);
    }
    agent->watch->mode = (enum watch_mode)message.mode;
    agent->watch->behind = false;
    if (message.mode == WATCH_OFF) {
        watch_end(agent);
    }
    return AGENT_SEND_EMPTY(agent, watching);
}
