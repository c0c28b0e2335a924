/* The clock that requests are signed by. */
#include "clock.h"

#include <time.h>

static int64_t shift;

void clock_shift(int64_t seconds)
{
    shift = seconds;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_t shifted = now.tv_sec + shift;
    if (out != NULL) {
        *out = shifted;
    }
    return shifted;
}

int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
