/* One reserved block, and the heap for the rest. */
#include "window.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SMALL_SIZE (1024 * 1024)   /* what is asked for beside the window */
#define WINDOW_SLACK (1024 * 1024) /* a decompressor's own margins around it */

int window_reserve(struct window *window, uint64_t size)
{
    size_t room = (size_t)size + WINDOW_SLACK;
    void *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -1;
    }
    *window = (struct window){memory, room, false};
    return 0;
}

void window_unmap(struct window *window)
{
    if (window->memory != NULL) {
        munmap(window->memory, window->size);
    }
}

void *window_take(struct window *window, size_t size)
{
    if (size <= SMALL_SIZE) {
        return malloc(size);
    }
    if (window->taken || size > window->size) {
        return NULL;
    }
    window->taken = true;
    return window->memory;
}

void window_give_back(struct window *window, void *memory)
{
    if (memory == window->memory) {
        window->taken = false;
    } else {
        free(memory);
    }
}
