/* The run's stager and the poll loop; see relay.h. */
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attached.h"
#include "bulk.h"
#include "descriptors.h"
#include "events.h"
#include "exit_codes.h"
#include "run_objects.h"

#define EXIT_BY_SIGSYS 159
#define EXIT_BY_SIGKILL 137

struct stager_session {
    struct attached attached;
    struct bulk bulk;
    bool input_ended; /* the supervisor asked to close: no more goes in */
};

static bool staging(const struct agent *agent)
{
    return agent->stager != NULL && agent->channel.relayed.state == STATE_STAGING;
}

static void session_free(struct agent *agent)
{
    if (agent->stager != NULL) {
        attached_close(&agent->stager->attached);
        free(agent->stager);
        agent->stager = NULL;
    }
}

/* The stager ended, or its stream cannot be followed any more, without having been asked to. */
static int session_lost(struct agent *agent, const char *reason)
{
    unsigned exit_code = 0;
    char id[65];
    memcpy(id, agent->stager->attached.id, sizeof id);
    session_free(agent);
    bool known = container_end(agent, id, &exit_code) == 0;
    if (reason != NULL) {
        return agent_fail(agent, EXIT_WORKER, "the stager broke the protocol: %s", reason);
    }
    if (!known) {
        return agent_fail(agent, EXIT_DOCKER, "the stager's container is gone: %s", agent->engine.error);
    }
    if (exit_code == EXIT_BY_SIGSYS) {
        return agent_fail(agent, EXIT_WORKER, "the stager was killed by its sandbox");
    }
    if (exit_code == EXIT_BY_SIGKILL) {
        return agent_fail(agent, EXIT_DOCKER, "the stager was killed (exit code 137): by hand or for lack of memory");
    }
    return agent_fail(agent, exit_code == EXIT_SANDBOX ? EXIT_SANDBOX : EXIT_WORKER,
                      "the stager ended unexpectedly with exit code %u; its last lines are in the log", exit_code);
}

/* Passes on the frames that are there. 0, 1 where the session was lost, -1 where the process has to end. */
static int forward_frames(struct agent *agent)
{
    const uint8_t *frame = NULL;
    size_t size = 0;
    int have = 0;
    while ((have = attached_frame(&agent->stager->attached, &frame, &size)) == 1) {
        enum ipc_result result = channel_forward(&agent->channel, frame, size);
        if (result == IPC_VIOLATION) {
            return session_lost(agent, agent->channel.violation) != 0 ? -1 : 1;
        }
        if (result != IPC_OK) {
            return -1;
        }
    }
    if (have < 0) {
        return session_lost(agent, agent->stager->attached.refusal) != 0 ? -1 : 1;
    }
    return 0;
}

/* Reads from the stager once. 0: go on, 1: session lost (told to the supervisor), 2: it ended, -1: process ends. */
static int pull(struct agent *agent)
{
    int filled = attached_fill(&agent->stager->attached);
    if (filled < 0) {
        return session_lost(agent, agent->stager->attached.refusal) != 0 ? -1 : 1;
    }
    int forwarded = forward_frames(agent);
    if (forwarded != 0) {
        return forwarded;
    }
    return filled == 0 ? 2 : 0;
}

/*
 * Writes to the stager once. A stream that takes no more is left to pull(), which finds out why: a stager that still
 * runs ends with its input, since what it lacks will not come.
 */
static void push(struct agent *agent)
{
    struct stager_session *session = agent->stager;
    if (bulk_write(&session->bulk, session->attached.fd) != 0) {
        attached_end_input(&session->attached);
        session->input_ended = true;
    }
}

static int take_bulk(struct agent *agent)
{
    struct bulk *bulk = &agent->stager->bulk;
    int got = bulk_read(bulk, FD_DATA_IN);
    if (got == 1) {
        return 0;
    }
    if (bulk->refusal != NULL) {
        agent->channel.violation = bulk->refusal;
        return -1;
    }
    /* The unpacker is gone; the supervisor sees that itself. The stager discards what has no end. */
    bulk->ended = true;
    return 0;
}

static enum relay_event move(struct agent *agent, const struct pollfd fds[3])
{
    if (fds[1].revents != 0 && take_bulk(agent) != 0) {
        return RELAY_BROKEN;
    }
    if ((fds[2].revents & POLLOUT) != 0 && bulk_has(&agent->stager->bulk)) {
        push(agent);
    }
    if ((fds[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        int pulled = pull(agent);
        if (pulled == 2) {
            pulled = session_lost(agent, NULL);
        }
        if (pulled < 0) {
            return RELAY_BROKEN;
        }
    }
    return RELAY_AGAIN;
}

enum relay_event relay_turn(struct agent *agent)
{
    struct pollfd fds[4] = {{FD_CONTROL_IN, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}, {-1, 0, 0}};
    struct stager_session *session = agent->stager;
    if (session != NULL) {
        bool room = staging(agent) && !session->input_ended && bulk_wants(&session->bulk);
        bool full = !session->input_ended && bulk_has(&session->bulk);
        fds[1].fd = room ? FD_DATA_IN : -1;
        fds[2].fd = session->attached.fd;
        fds[2].events = (short)(POLLIN | (full ? POLLOUT : 0));
    }
    int ready = events_poll(agent, fds, 3, -1);
    if (ready < 0) {
        return errno == EINTR ? RELAY_AGAIN : RELAY_BROKEN;
    }
    if (move(agent, fds) == RELAY_BROKEN) {
        return RELAY_BROKEN;
    }
    return fds[0].revents != 0 ? RELAY_CONTROL : RELAY_AGAIN;
}

/* A frame that was on its way when the stager was lost has nobody to go to; `failed` has told the supervisor. */
int relay_to_stager(struct agent *agent, const struct frame *frame)
{
    struct stager_session *session = agent->stager;
    if (session == NULL || session->input_ended) {
        return 0;
    }
    if (frame->type == MESSAGE_stage && bulk_begin(&session->bulk) != 0) {
        agent->channel.violation = session->bulk.refusal;
        return -1;
    }
    if (bulk_control(&session->bulk, frame->type, frame->payload, frame->length) != 0) {
        agent->channel.violation = "more control frames for the stager than it takes";
        return -1;
    }
    return 0;
}

int open_stager_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_open_stager message;
    if (AGENT_DECODE(agent, frame, open_stager, &message) != 0) {
        return -1;
    }
    if (!is_plain_name(message.run.data, 64) || agent->stager != NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "open_stager: %s",
                          agent->stager != NULL ? "a stager is open already" : "that cannot name a run");
    }
    char id[65];
    if (run_stager_find(agent, message.run.data, id) != 0) {
        return agent_fail_engine(agent);
    }
    agent->stager = calloc(1, sizeof *agent->stager);
    if (agent->stager == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "no memory");
    }
    int opened = attached_open(agent, id, &agent->stager->attached);
    if (opened != 0 && agent->engine.status == 403) {
        attached_close(&agent->stager->attached);
        opened = run_stager_renew(agent, message.run.data, id);
        opened = opened == 0 ? attached_open(agent, id, &agent->stager->attached) : -1;
    }
    if (opened != 0) {
        session_free(agent);
        return agent_fail_engine(agent);
    }
    snprintf(agent->stager_run, sizeof agent->stager_run, "%s", message.run.data);
    channel_relay(&agent->channel, PARTY_STAGER, PARTY_SUPERVISOR);
    return AGENT_SEND_EMPTY(agent, stager_opened);
}

/* Until the stager has ended, or nothing moved for as long as one request may take. 0, 1 lost, -1 process ends. */
static int drain(struct agent *agent)
{
    for (;;) {
        struct stager_session *session = agent->stager;
        bool full = !session->input_ended && bulk_has(&session->bulk);
        if (!full && !session->input_ended) {
            attached_end_input(&session->attached);
            session->input_ended = true;
        }
        struct pollfd fd = {session->attached.fd, (short)(POLLIN | (full ? POLLOUT : 0)), 0};
        int ready = poll(&fd, 1, (int)(agent->timeout * 1000));
        if (ready == 0) {
            return 0;
        }
        if ((fd.revents & POLLOUT) != 0) {
            push(agent);
        }
        int pulled = (fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0 ? pull(agent) : 0;
        if (pulled != 0) {
            return pulled == 2 ? 0 : pulled;
        }
    }
}

int close_stager_handle(struct agent *agent, const struct frame *frame)
{
    struct msg_close_stager message;
    if (AGENT_DECODE(agent, frame, close_stager, &message) != 0) {
        return -1;
    }
    unsigned exit_code = 0;
    if (agent->stager == NULL) {
        return AGENT_SEND(agent, stager_closed, .exit_code = exit_code);
    }
    int drained = drain(agent);
    if (drained != 0) {
        return drained < 0 ? -1 : 0;
    }
    char id[65];
    memcpy(id, agent->stager->attached.id, sizeof id);
    session_free(agent);
    if (container_end(agent, id, &exit_code) != 0) {
        return agent_fail_engine(agent);
    }
    return AGENT_SEND(agent, stager_closed, .exit_code = exit_code);
}
