/* Spools: helpers of the agent's own, with the run's volume alone; see stager_session.h. */
#include "stager_session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attached.h"
#include "exit_codes.h"
#include "run_objects.h"

#define HELPERS_MAX 1000

struct spool {
    struct agent *agent;
    struct attached attached;
    uint64_t bytes;            /* of the spool that is on its way */
    struct conversation setup; /* as the supervisor speaks with a stager */
    struct conversation talk;  /* spool_* */
};

static int broken(struct spool *spool, const char *reason)
{
    return engine_error(&spool->agent->engine, EXIT_WORKER, "helper of the run's volume broke the protocol: %s",
                        reason);
}

static int failed_by_helper(struct spool *spool, const uint8_t *payload, size_t length)
{
    struct msg_stager_failed failed;
    const char *reason = message_decode(MESSAGE_stager_failed, payload, length, &failed);
    if (reason != NULL) {
        return broken(spool, reason);
    }
    return engine_error(&spool->agent->engine, (unsigned)failed.code, "helper of the run's volume: %.900s",
                        failed.message.data);
}

/* Checks a frame of the helper against the table and the state. 0, or -1 with engine->error. */
static int admit(struct spool *spool, const uint8_t *frame)
{
    const struct message_rule *rule = message_rule(frame[1]);
    struct conversation *conversation = rule->receiver == PARTY_AGENT ? &spool->talk : &spool->setup;
    const char *reason = conversation_advance(conversation, conversation->far, conversation->near, frame[1]);
    return reason == NULL ? 0 : broken(spool, reason);
}

/* Waits until the stream is readable, or (events POLLOUT) readable or writable. */
static int wait_for(struct spool *spool, short events)
{
    struct pollfd fd = {spool->attached.fd, events, 0};
    int ready = 0;
    do {
        ready = poll(&fd, 1, (int)(spool->agent->timeout * 1000));
    } while (ready < 0 && errno == EINTR);
    if (ready > 0) {
        return 0;
    }
    return engine_error(&spool->agent->engine, EXIT_DOCKER, "helper of the run's volume: nothing moved for %u s",
                        spool->agent->timeout);
}

/* The next frame of the helper that is not a warning: SPOOL_CHUNK with the frame, SPOOL_AGAIN or SPOOL_ERROR. */
static enum spool_result next_frame(struct spool *spool, const uint8_t **frame, size_t *size)
{
    for (;;) {
        int have = attached_frame(&spool->attached, frame, size);
        if (have < 0) {
            broken(spool, spool->attached.refusal);
            return SPOOL_ERROR;
        }
        if (have == 0 && spool->attached.fd < 0) {
            engine_error(&spool->agent->engine, EXIT_DOCKER, "helper of the run's volume ended too early");
            return SPOOL_ERROR;
        }
        if (have == 0) {
            struct pollfd fd = {spool->attached.fd, POLLIN, 0};
            if (poll(&fd, 1, 0) <= 0) {
                return SPOOL_AGAIN;
            }
            if (attached_fill(&spool->attached) < 0) {
                broken(spool, spool->attached.refusal);
                return SPOOL_ERROR;
            }
            continue;
        }
        if (admit(spool, *frame) != 0) {
            return SPOOL_ERROR;
        }
        if ((*frame)[1] == MESSAGE_stager_failed) {
            failed_by_helper(spool, *frame + FRAME_HEADER_SIZE, *size - FRAME_HEADER_SIZE);
            return SPOOL_ERROR;
        }
        if ((*frame)[1] != MESSAGE_stager_warning) {
            return SPOOL_CHUNK;
        }
    }
}

/* What the helper says while it is written to can only be its failure. 0: nothing, -1 with engine->error. */
static int listen_while_writing(struct spool *spool)
{
    const uint8_t *frame = NULL;
    size_t size = 0;
    enum spool_result result = next_frame(spool, &frame, &size);
    if (result == SPOOL_CHUNK) {
        return broken(spool, "an answer before the question");
    }
    return result == SPOOL_ERROR ? -1 : 0;
}

/* The stream takes no more: the helper's own reason, where it gave one in time, says more than ours. */
static int explain_end(struct spool *spool)
{
    while (spool->attached.fd >= 0 && wait_for(spool, POLLIN) == 0) {
        if (listen_while_writing(spool) != 0) {
            return -1;
        }
    }
    return listen_while_writing(spool);
}

/* Writes all of it, waiting where the stream is full. */
static int send_bytes(struct spool *spool, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t put = spool->attached.fd < 0 ? -1 : attached_write(&spool->attached, data, size);
        if (put < 0) {
            return explain_end(spool);
        }
        if (put == 0 && (wait_for(spool, POLLIN | POLLOUT) != 0 || listen_while_writing(spool) != 0)) {
            return -1;
        }
        data += put;
        size -= (size_t)put;
    }
    return 0;
}

static int send_message(struct spool *spool, struct conversation *conversation, unsigned type, const void *message)
{
    uint8_t frame[512];
    size_t size = message_encode(type, message, frame, sizeof frame);
    const char *reason = conversation_advance(conversation, conversation->near, conversation->far, type);
    if (size == 0 || reason != NULL) {
        return engine_error(&spool->agent->engine, EXIT_INTERNAL, "helper of the run's volume: %s",
                            reason == NULL ? "a message is too long" : reason);
    }
    return send_bytes(spool, frame, size);
}

/* stager_config, stager_ready: this helper has a supervisor of its own, the agent. */
static int set_up(struct spool *spool, const char *run)
{
    const struct msg_stager_config config = {.run = text_of(run), .spool_only = 1};
    if (send_message(spool, &spool->setup, MESSAGE_stager_config, &config) != 0) {
        return -1;
    }
    const uint8_t *frame = NULL;
    size_t size = 0;
    enum spool_result result = SPOOL_AGAIN;
    while ((result = next_frame(spool, &frame, &size)) == SPOOL_AGAIN) {
        if (wait_for(spool, POLLIN) != 0) {
            return -1;
        }
    }
    if (result != SPOOL_CHUNK) {
        return -1;
    }
    return frame[1] == MESSAGE_stager_ready ? 0 : broken(spool, "another message than stager_ready");
}

/* A number that no helper of the run has: leftovers of an agent that was killed may have some. */
static int create_helper(struct agent *agent, const char *run, char id[65])
{
    if (agent->helpers < STAGER_NUMBER) {
        agent->helpers = STAGER_NUMBER;
    }
    while (agent->helpers < HELPERS_MAX) {
        agent->helpers++;
        if (run_helper_create(agent, run, agent->helpers, NULL, false, id) == 0) {
            return 0;
        }
        if (agent->engine.status != 409) {
            return -1;
        }
    }
    return engine_error(&agent->engine, EXIT_DOCKER, "the run has %d helper containers already", HELPERS_MAX);
}

int spool_open(struct agent *agent, const char *run, struct spool **out)
{
    *out = NULL;
    char id[65];
    struct spool *spool = calloc(1, sizeof *spool);
    if (spool == NULL || create_helper(agent, run, id) != 0) {
        free(spool);
        return spool == NULL ? engine_error(&agent->engine, EXIT_INTERNAL, "no memory") : -1;
    }
    spool->agent = agent;
    spool->setup = (struct conversation){PARTY_SUPERVISOR, PARTY_STAGER, STATE_STARTING};
    spool->talk = (struct conversation){PARTY_AGENT, PARTY_STAGER, STATE_IDLE};
    if (attached_open(agent, id, &spool->attached) != 0 || set_up(spool, run) != 0) {
        struct engine error = agent->engine;
        spool_close(spool);
        agent->engine = error;
        return -1;
    }
    *out = spool;
    return 0;
}

void spool_close(struct spool *spool)
{
    if (spool == NULL) {
        return;
    }
    char id[65];
    memcpy(id, spool->attached.id, sizeof id);
    struct agent *agent = spool->agent;
    attached_close(&spool->attached);
    free(spool);
    struct engine error = agent->engine; /* of what went wrong before, if anything did */
    if (container_remove(agent, id) != 0) {
        channel_warn(&agent->channel, "%s", agent->engine.error);
    }
    agent->engine = error;
}

int spool_fd(const struct spool *spool)
{
    return spool->attached.fd;
}

int spool_request(struct spool *spool, unsigned stream)
{
    spool->bytes = 0;
    return send_message(spool, &spool->talk, MESSAGE_spool_send, &(struct msg_spool_send){.stream = stream});
}

/* spool_end, whose count must be ours. */
static int check_end(struct spool *spool, const uint8_t *frame, size_t size)
{
    struct msg_spool_end end;
    const char *reason = message_decode(MESSAGE_spool_end, frame + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE, &end);
    if (reason != NULL) {
        return broken(spool, reason);
    }
    if (end.bytes != spool->bytes) {
        return engine_error(&spool->agent->engine, EXIT_DOCKER,
                            "helper of the run's volume: %llu bytes were moved where it counts %llu",
                            (unsigned long long)spool->bytes, (unsigned long long)end.bytes);
    }
    return 0;
}

enum spool_result spool_next(struct spool *spool, const uint8_t **data, size_t *size)
{
    const uint8_t *frame = NULL;
    size_t frame_size = 0;
    enum spool_result result = next_frame(spool, &frame, &frame_size);
    if (result != SPOOL_CHUNK) {
        return result;
    }
    if (frame[1] == MESSAGE_spool_end) {
        return check_end(spool, frame, frame_size) == 0 ? SPOOL_END : SPOOL_ERROR;
    }
    struct msg_spool_bytes bytes;
    const char *reason =
        frame[1] == MESSAGE_spool_bytes
            ? message_decode(MESSAGE_spool_bytes, frame + FRAME_HEADER_SIZE, frame_size - FRAME_HEADER_SIZE, &bytes)
            : "a message that was not asked for";
    if (reason != NULL) {
        broken(spool, reason);
        return SPOOL_ERROR;
    }
    *data = (const uint8_t *)bytes.bytes.data;
    *size = bytes.bytes.size;
    spool->bytes += *size;
    return SPOOL_CHUNK;
}

enum spool_result spool_wait(struct spool *spool, const uint8_t **data, size_t *size)
{
    enum spool_result result = SPOOL_AGAIN;
    while ((result = spool_next(spool, data, size)) == SPOOL_AGAIN) {
        if (wait_for(spool, POLLIN) != 0) {
            return SPOOL_ERROR;
        }
    }
    return result;
}

int spool_receive(struct spool *spool, unsigned stream)
{
    spool->bytes = 0;
    return send_message(spool, &spool->talk, MESSAGE_spool_receive, &(struct msg_spool_receive){.stream = stream});
}

/* One frame: the header and the length of its only field, then the bytes as they are. */
static int fill_frame(struct spool *spool, const uint8_t *data, size_t size)
{
    uint8_t head[FRAME_HEADER_SIZE + 4];
    frame_header_encode(head, MESSAGE_spool_fill, size + 4);
    for (unsigned i = 0; i < 4; i++) {
        head[FRAME_HEADER_SIZE + i] = (uint8_t)(size >> (8 * i));
    }
    if (send_bytes(spool, head, sizeof head) != 0 || send_bytes(spool, data, size) != 0) {
        return -1;
    }
    spool->bytes += size;
    return 0;
}

int spool_fill(struct spool *spool, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t part = size < DATA_BYTES_MAX ? size : DATA_BYTES_MAX;
        if (fill_frame(spool, data, part) != 0) {
            return -1;
        }
        data += part;
        size -= part;
    }
    return 0;
}

int spool_full(struct spool *spool)
{
    if (send_message(spool, &spool->talk, MESSAGE_spool_full, &(struct msg_spool_full){}) != 0) {
        return -1;
    }
    const uint8_t *data = NULL;
    size_t size = 0;
    enum spool_result result = spool_wait(spool, &data, &size);
    if (result == SPOOL_CHUNK) {
        return broken(spool, "bytes where the end was due");
    }
    return result == SPOOL_END ? 0 : -1;
}
