/*
 * The run's stager: its frames pass between the supervisor and an attached container, bulk from the unpacker goes in.
 * Also the process's poll loop, since all of these move at the same time.
 *
 * Only headers are looked at: type, length, and whether the conversation's state allows the frame. Bulk is read in
 * large pieces and written on as it is, whole frames only, so that the stager's input always can be ended between two
 * frames.
 */
#ifndef RELAY_H
#define RELAY_H

#include "agent.h"

enum relay_event {
    RELAY_CONTROL, /* a frame of the supervisor may be there */
    RELAY_AGAIN,   /* bytes were moved */
    RELAY_BROKEN,  /* the process ends; channel.violation may say why */
};

/* Waits for one of the process's descriptors and moves what belongs to the stager. */
enum relay_event relay_turn(struct agent *agent);

/* A frame of the supervisor for the stager. 0, or -1 where the process has to end. */
int relay_to_stager(struct agent *agent, const struct frame *frame);

int open_stager_handle(struct agent *agent, const struct frame *frame);
int close_stager_handle(struct agent *agent, const struct frame *frame);

#endif
