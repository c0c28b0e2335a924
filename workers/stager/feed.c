/* Coroutines that turn pushed bytes into pulled ones. */
#include "feed.h"

#include <stdint.h>
#include <stdlib.h>

/* libarchive's tar reader and our own path buffers need a fifth of it; pages not touched cost nothing. */
#define STACK_SIZE (256 * 1024)

/* makecontext passes ints: a pointer travels as two halves. */
static void enter(unsigned high, unsigned low)
{
    struct feed *feed = (struct feed *)(uintptr_t)((uint64_t)high << 32 | low);
    feed->body(feed->context);
    feed->finished = true;
}

static void resume(struct feed *feed)
{
    if (!feed->finished) {
        swapcontext(&feed->caller, &feed->self);
    }
}

int feed_start(struct feed *feed, void (*body)(void *context), void *context)
{
    *feed = (struct feed){.body = body, .context = context};
    feed->stack = malloc(STACK_SIZE);
    if (feed->stack == NULL || getcontext(&feed->self) != 0) {
        free(feed->stack);
        feed->stack = NULL;
        return -1;
    }
    feed->self.uc_stack.ss_sp = feed->stack;
    feed->self.uc_stack.ss_size = STACK_SIZE;
    feed->self.uc_link = &feed->caller;
    uint64_t self = (uint64_t)(uintptr_t)feed;
    makecontext(&feed->self, (void (*)(void))enter, 2, (unsigned)(self >> 32), (unsigned)self);
    resume(feed);
    return 0;
}

ssize_t feed_take(struct feed *feed, const void **bytes)
{
    while (feed->size == 0) {
        if (feed->aborted) {
            return -1;
        }
        if (feed->ended) {
            return 0;
        }
        swapcontext(&feed->self, &feed->caller);
    }
    *bytes = feed->bytes;
    size_t size = feed->size;
    feed->size = 0;
    return (ssize_t)size;
}

void feed_push(struct feed *feed, const void *bytes, size_t size)
{
    feed->bytes = bytes;
    feed->size = size;
    resume(feed);
}

void feed_finish(struct feed *feed, bool abort)
{
    feed->ended = true;
    feed->aborted = abort;
    while (!feed->finished) {
        resume(feed);
    }
    free(feed->stack);
    feed->stack = NULL;
}
