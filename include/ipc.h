/*
 * Channels: frames over a pair of descriptors, each checked against the message table and the state of its
 * conversation. A channel has one peer; the channel between supervisor and docker-agent carries the conversation of
 * supervisor and stager too (`relayed`), which has a state of its own: call channel_relay() at both ends.
 */
#ifndef IPC_H
#define IPC_H

#include <stdbool.h>

#include "messages.h"

/* Who talks with whom, as this end of the channel sees it: frames from `far` to `near` come in. */
struct conversation {
    enum party near;
    enum party far;
    enum state state;
};

struct channel {
    int in;
    int out;
    struct conversation direct;
    struct conversation relayed;   /* near == far: there is none */
    bool many_speak;               /* several parties speak through the peer, see channel_hear_many() */
    bool broken;                   /* a frame of ours was lost */
    const char *violation;         /* reason, once IPC_VIOLATION was returned */
    size_t have;                   /* bytes of the frame being received */
    uint8_t frame[DATA_FRAME_MAX]; /* the frame received last: header and payload */
    uint8_t encoded[CONTROL_FRAME_MAX];
};

/* A frame that arrived and passed the checks. payload lives until the next receive on the channel. */
struct frame {
    enum message_type type;
    const uint8_t *payload;
    size_t length;
    enum party sender;
    enum party receiver; /* not this process: relay it */
};

enum ipc_result {
    IPC_OK,
    IPC_AGAIN,     /* non-blocking descriptor: the frame is not complete yet */
    IPC_EOF,       /* the peer closed at a frame's boundary */
    IPC_ERROR,     /* errno; also the peer closing within a frame (EPIPE) */
    IPC_VIOLATION, /* channel->violation says what */
};

void channel_init(struct channel *channel, int in, int out, enum party self, enum party peer);

/* Let the channel carry a second conversation, starting anew (state STARTING). */
void channel_relay(struct channel *channel, enum party near, enum party far);

/*
 * The stager's end: supervisor, unpacker and docker-agent all speak through one peer, in one conversation with one
 * state; frames come from, and go to, whom the message table names.
 */
void channel_hear_many(struct channel *channel);

/* Encode and write a whole control frame. `message`: a struct msg_NAME. Blocks, or polls where `out` is non-blocking.
 */
enum ipc_result channel_send(struct channel *channel, enum message_type type, const void *message);

/* SEND(channel, list, .project = text_of(project)) */
#define SEND(channel, name, ...) channel_send((channel), MESSAGE_##name, &(struct msg_##name){__VA_ARGS__})

/* Read one frame and check header, direction and state. Blocks unless `in` is non-blocking. */
enum ipc_result channel_receive(struct channel *channel, struct frame *frame);

/*
 * Pass on a frame (header and payload) of the relayed conversation that was received elsewhere; checked like a frame
 * of our own.
 */
enum ipc_result channel_forward(struct channel *channel, const uint8_t *frame, size_t size);

/* Decode the frame's payload; a refusal is a violation. */
enum ipc_result channel_decode(struct channel *channel, const struct frame *frame, enum message_type type,
                               void *message);

/* The rule of direction and state, alone: NULL and the state advanced, or the reason for refusal. */
const char *conversation_advance(struct conversation *conversation, enum party sender, enum party receiver,
                                 unsigned type);

/* Overwrite what the channel's buffers hold, after a message with secrets. */
void channel_wipe(struct channel *channel);

/* For a worker: send `failed` (the stager: `stager_failed`) with a formatted message, and `warning`. */
enum ipc_result channel_fail(struct channel *channel, unsigned code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum ipc_result channel_warn(struct channel *channel, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
