/*
 * The heap of a process that may not ask the kernel for memory: grown once before the lock-down, then never more nor
 * less. What the archive makes libarchive allocate is counted, and refused beyond a budget, so that a hostile archive
 * meets an error instead of a forbidden brk().
 */
#ifndef HEAP_H
#define HEAP_H

#include <stdbool.h>

/* First thing in main: nothing from mmap, nothing given back, one arena. Returns 0 or -1. */
int heap_prepare(void);

/* Last thing before the lock-down: grow the heap by its budget twice over, without touching it, and count from here
 * on. Returns 0 or -1. */
int heap_grow(void);

/*
 * Whether any allocation was refused since. libarchive passes over some of those (an attribute's value, an entry of a
 * map) and goes on with less than the archive holds: nothing of such a pass is to be trusted.
 */
bool heap_was_short(void);

#endif
