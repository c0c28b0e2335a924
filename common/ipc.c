/* Channels: the one place where frames are read from and written to descriptors and checked against the table. */
#include "ipc.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "secret.h"

#define SEND_DEADLINE_MS 30000

void channel_init(struct channel *channel, int in, int out, enum party self, enum party peer)
{
    channel->in = in;
    channel->out = out;
    channel->direct = (struct conversation){self, peer, STATE_STARTING};
    channel->relayed = (struct conversation){self, self, STATE_STARTING};
    channel->many_speak = false;
    channel->violation = NULL;
    channel->have = 0;
}

void channel_relay(struct channel *channel, enum party near, enum party far)
{
    channel->relayed = (struct conversation){near, far, STATE_STARTING};
}

void channel_hear_many(struct channel *channel)
{
    channel->many_speak = true;
}

static bool party_matches(enum party declared, enum party actual)
{
    bool worker = actual != PARTY_SUPERVISOR && actual != PARTY_STAGER;
    return declared == actual || (declared == PARTY_WORKER && worker);
}

const char *conversation_advance(struct conversation *conversation, enum party sender, enum party receiver,
                                 unsigned type)
{
    const struct message_rule *rule = message_rule(type);
    if (rule == NULL) {
        return "message of an unknown type";
    }
    if (!party_matches(rule->sender, sender) || !party_matches(rule->receiver, receiver)) {
        return "message that its sender may not send";
    }
    if ((rule->states & (unsigned)conversation->state) == 0) {
        return "message out of its state";
    }
    if (rule->next != STATE_KEEP) {
        conversation->state = rule->next;
    }
    return NULL;
}

/* The conversation that a message belongs to, seen from this end. */
static struct conversation *conversation_of(struct channel *channel, const struct message_rule *rule, bool sending)
{
    enum party near = sending ? rule->sender : rule->receiver;
    enum party far = sending ? rule->receiver : rule->sender;
    bool relayed = channel->relayed.near != channel->relayed.far;
    if (relayed && near == channel->relayed.near && far == channel->relayed.far) {
        return &channel->relayed;
    }
    return &channel->direct;
}

/* A frame that was lost ends the conversation: the far end would wait for it. One that has closed says so itself. */
static enum ipc_result lost_frame(struct channel *channel)
{
    channel->broken = errno != EPIPE;
    return IPC_ERROR;
}

static enum ipc_result write_frame(struct channel *channel, const uint8_t *frame, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t put = write(channel->out, frame + done, size - done);
        if (put >= 0) {
            done += (size_t)put;
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno != EAGAIN) {
            return lost_frame(channel);
        }
        struct pollfd writable = {channel->out, POLLOUT, 0};
        if (poll(&writable, 1, SEND_DEADLINE_MS) == 0) {
            errno = ETIMEDOUT;
            return lost_frame(channel);
        }
    }
    return IPC_OK;
}

enum ipc_result channel_send(struct channel *channel, enum message_type type, const void *message)
{
    const struct message_rule *rule = message_rule(type);
    if (rule == NULL) {
        channel->violation = "unknown message";
        return IPC_VIOLATION;
    }
    struct conversation *conversation = conversation_of(channel, rule, true);
    size_t size = message_encode(type, message, channel->encoded, sizeof channel->encoded);
    if (size == 0) {
        channel->violation = "field beyond its bound";
        return IPC_VIOLATION;
    }
    enum party far = channel->many_speak ? rule->receiver : conversation->far;
    channel->violation = conversation_advance(conversation, conversation->near, far, type);
    if (channel->violation != NULL) {
        return IPC_VIOLATION;
    }
    return write_frame(channel, channel->encoded, size);
}

enum ipc_result channel_forward(struct channel *channel, const uint8_t *frame, size_t size)
{
    struct conversation *relayed = &channel->relayed;
    channel->violation = conversation_advance(relayed, relayed->near, relayed->far, frame[1]);
    if (channel->violation != NULL) {
        return IPC_VIOLATION;
    }
    return write_frame(channel, frame, size);
}

/* Reads until channel->have reaches `wanted`. */
static enum ipc_result fill(struct channel *channel, size_t wanted)
{
    while (channel->have < wanted) {
        ssize_t got = read(channel->in, channel->frame + channel->have, wanted - channel->have);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno == EAGAIN ? IPC_AGAIN : IPC_ERROR;
        }
        if (got == 0 && channel->have == 0) {
            return IPC_EOF;
        }
        if (got == 0) {
            errno = EPIPE;
            return IPC_ERROR;
        }
        channel->have += (size_t)got;
    }
    return IPC_OK;
}

enum ipc_result channel_receive(struct channel *channel, struct frame *frame)
{
    if (channel->broken) {
        errno = EPIPE;
        return IPC_ERROR;
    }
    enum ipc_result result = fill(channel, FRAME_HEADER_SIZE);
    if (result != IPC_OK) {
        return result;
    }
    struct frame_header header;
    channel->violation = frame_header_decode(channel->frame, &header);
    if (channel->violation != NULL) {
        return IPC_VIOLATION;
    }
    result = fill(channel, FRAME_HEADER_SIZE + header.length);
    if (result != IPC_OK) {
        return result;
    }
    channel->have = 0;
    const struct message_rule *rule = message_rule(header.type);
    struct conversation *conversation = conversation_of(channel, rule, false);
    enum party far = channel->many_speak ? rule->sender : conversation->far;
    channel->violation = conversation_advance(conversation, far, conversation->near, header.type);
    if (channel->violation != NULL) {
        return IPC_VIOLATION;
    }
    *frame = (struct frame){(enum message_type)header.type, channel->frame + FRAME_HEADER_SIZE, header.length, far,
                            conversation->near};
    return IPC_OK;
}

enum ipc_result channel_decode(struct channel *channel, const struct frame *frame, enum message_type type,
                               void *message)
{
    if (frame->type != type) {
        channel->violation = "another message than the one due";
        return IPC_VIOLATION;
    }
    channel->violation = message_decode(type, frame->payload, frame->length, message);
    return channel->violation == NULL ? IPC_OK : IPC_VIOLATION;
}

void channel_wipe(struct channel *channel)
{
    secret_wipe(channel->frame, sizeof channel->frame);
    secret_wipe(channel->encoded, sizeof channel->encoded);
}

static struct text format_text(char *buffer, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(buffer, size, format, arguments);
    return (struct text){buffer, length < 0 ? 0 : strnlen(buffer, size - 1)};
}

enum ipc_result channel_fail(struct channel *channel, unsigned code, const char *format, ...)
{
    char buffer[4096];
    va_list arguments;
    va_start(arguments, format);
    struct text message = format_text(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    if (channel->direct.near == PARTY_STAGER) {
        return SEND(channel, stager_failed, .code = code, .message = message);
    }
    return SEND(channel, failed, .code = code, .message = message);
}

enum ipc_result channel_warn(struct channel *channel, const char *format, ...)
{
    char buffer[4096];
    va_list arguments;
    va_start(arguments, format);
    struct text message = format_text(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    if (channel->direct.near == PARTY_STAGER) {
        return SEND(channel, stager_warning, .message = message);
    }
    return SEND(channel, warning, .message = message);
}
