/*
 * The source's bytes as a decompressor wants them: a buffer that is filled anew when it is used up. The source is any
 * function that gives bytes, so that what is encrypted is read the same way.
 */
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"

#define INPUT_SIZE (256 * 1024)

/* At most `room` of the next bytes: how many, 0 at the proven end, or -1 with the failure. */
typedef ssize_t (*input_supply)(void *context, void *bytes, size_t room, struct failure *failure);

struct input {
    input_supply supply;
    void *context;
    bool ended;     /* the supply told its end */
    uint64_t taken; /* bytes that came from it */
    size_t at;      /* next byte of `bytes` */
    size_t have;
    uint8_t bytes[INPUT_SIZE];
};

void input_start(struct input *input, input_supply supply, void *context);

/* One read behind what is left, which is moved to the start. Returns 1, 0 at the end, or -1. */
int input_more(struct input *input, struct failure *failure);

/* Read until `wanted` bytes are at hand or all was read. Returns 0 or -1. */
int input_gather(struct input *input, size_t wanted, struct failure *failure);

/* What is at hand, and where it stands in all that came. */
static inline size_t input_left(const struct input *input)
{
    return input->have - input->at;
}

static inline uint64_t input_offset(const struct input *input)
{
    return input->taken - input_left(input);
}

#endif
