/*
 * The one poll loop: frames, logs, signals and deaths of workers. A phase asks for the next frame and waits here.
 * Whatever goes wrong is recorded in run->failure, and -1 is returned.
 */
#ifndef MONITOR_H
#define MONITOR_H

#include "run.h"

/* Block the signals that the run handles and open the signalfd. */
int monitor_init(struct run *run);

/*
 * The next frame from any worker, within `seconds`. `failed` frames, violations, deaths, signals and the deadline end
 * in -1; warnings and logs are shown and do not end the wait. The frame lives until the next call.
 */
int monitor_next(struct run *run, double seconds, enum process *from, struct frame *frame);

/* The same; 1: there is none yet. */
int monitor_try(struct run *run, double seconds, enum process *from, struct frame *frame);

/* The same, where one worker's word is due: its silence is its own failure. */
int monitor_await(struct run *run, enum process due, double seconds, enum process *from, struct frame *frame);

/* The next frame, which must be of this type and is decoded into `message` (a struct msg_NAME). */
int monitor_expect(struct run *run, enum message_type type, double seconds, void *message);
#define EXPECT(run, name, seconds, message)                                                                            \
    monitor_expect((run), MESSAGE_##name, (seconds), (struct msg_##name *)(message))

/* Decode a frame; a refusal is recorded as a protocol violation of its sender. */
int monitor_decode(struct run *run, enum process from, const struct frame *frame, void *message);

/* Send to a worker; a stuck or broken worker is a failure. */
int monitor_send(struct run *run, enum process to, enum message_type type, const void *message);
#define TELL(run, process, name, ...) monitor_send((run), (process), MESSAGE_##name, &(struct msg_##name){__VA_ARGS__})

/* Record that a worker broke the protocol. Returns -1. */
int monitor_violation(struct run *run, enum process process, const char *reason);

/* Let time pass while signals and deaths are watched. */
int monitor_sleep(struct run *run, double seconds);

#endif
