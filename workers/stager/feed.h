/*
 * A reader that pulls, fed by writers that push: libarchive asks for the next bytes of a tar, while frames of several
 * tars arrive as they like. Each tar gets a coroutine with a stack of its own; it runs while it has bytes and gives way
 * when it needs more. Bytes are handed over in place, without a copy: they live until the coroutine asks again.
 */
#ifndef FEED_H
#define FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <ucontext.h>

struct feed {
    ucontext_t caller;
    ucontext_t self;
    void *stack;
    void (*body)(void *context);
    void *context;
    const void *bytes;
    size_t size;
    bool ended;    /* no more bytes will come */
    bool aborted;  /* the body is to unwind: its next request for bytes fails */
    bool finished; /* the body has returned */
};

/* Starts the body, which runs until it first asks for bytes. Returns 0, or -1 with ENOMEM. */
int feed_start(struct feed *feed, void (*body)(void *context), void *context);

/* From the body: the next bytes in *bytes. Returns their number, 0 at the end, -1 when it is to unwind. */
ssize_t feed_take(struct feed *feed, const void **bytes);

/* Let the body take these. What comes after the body has returned is left in feed->size. */
void feed_push(struct feed *feed, const void *bytes, size_t size);

/* No more bytes: the body runs to its end. `abort`: it fails at its next request instead. Frees the stack. */
void feed_finish(struct feed *feed, bool abort);

#endif
