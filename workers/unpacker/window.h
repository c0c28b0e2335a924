/*
 * The one large block of memory that a decompressor asks for, its window, in address space of its own: reserved once,
 * before the lock-down, resident only as far as it was used, and used again by what is decompressed next. Small blocks
 * go to the heap.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct window {
    uint8_t *memory;
    size_t size;
    bool taken;
};

/* Room for a window of `size` bytes and what a decompressor adds around it. 0 or -1. */
int window_reserve(struct window *window, uint64_t size);
void window_unmap(struct window *window);

/* A block, or NULL: only one large one is there at a time. */
void *window_take(struct window *window, size_t size);
void window_give_back(struct window *window, void *memory);

#endif
