/* A buffer before a decompressor. */
#include "input.h"

#include <string.h>

void input_start(struct input *input, input_supply supply, void *context)
{
    input->supply = supply;
    input->context = context;
    input->ended = false;
    input->taken = 0;
    input->at = 0;
    input->have = 0;
}

int input_more(struct input *input, struct failure *failure)
{
    if (input->ended) {
        return 0;
    }
    memmove(input->bytes, input->bytes + input->at, input_left(input));
    input->have -= input->at;
    input->at = 0;
    ssize_t got = input->supply(input->context, input->bytes + input->have, sizeof input->bytes - input->have, failure);
    if (got <= 0) {
        input->ended = got == 0;
        return (int)got;
    }
    input->have += (size_t)got;
    input->taken += (uint64_t)got;
    return 1;
}

int input_gather(struct input *input, size_t wanted, struct failure *failure)
{
    while (input_left(input) < wanted) {
        int result = input_more(input, failure);
        if (result <= 0) {
            return result;
        }
    }
    return 0;
}
