/*
 * The clock that requests are signed by. libcurl signs with time(), and a date header of our own would be sent twice by
 * libcurl 7.88; so this program defines time() itself, for its libraries too, and can shift it by what a server's
 * Date header showed. Certificates are judged by the same clock.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Add this to the system's time from now on. */
void clock_shift(int64_t seconds);

/* Milliseconds of the monotonic clock, for waiting. */
int64_t clock_ms(void);

#endif
