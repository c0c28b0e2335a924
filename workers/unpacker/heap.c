/*
 * The linker sends the allocations of our own and of the static libraries here (--wrap in the Makefile); those that
 * libcrypto and libc make for themselves are few and small, and are not counted.
 */
#include "heap.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define HEAP_BUDGET ((size_t)48 * 1024 * 1024) /* a legal header of 1 MiB takes libarchive about 12 MiB */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);
char *__wrap_strdup(const char *text);

static size_t taken;
static bool counting;
static bool was_short;

int heap_prepare(void)
{
    return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 && mallopt(M_ARENA_MAX, 1) == 1 ? 0 : -1;
}

int heap_grow(void)
{
    void *memory = __real_malloc(2 * HEAP_BUDGET);
    if (memory == NULL) {
        return -1;
    }
    __real_free(memory);
    taken = 0;
    counting = true;
    return 0;
}

static bool within_budget(size_t size)
{
    if (counting && (taken > HEAP_BUDGET || size > HEAP_BUDGET - taken)) {
        errno = ENOMEM;
        was_short = true;
        return false;
    }
    return true;
}

bool heap_was_short(void)
{
    return was_short;
}

static void *count(void *memory)
{
    was_short = was_short || (counting && memory == NULL);
    taken += memory == NULL ? 0 : malloc_usable_size(memory);
    return memory;
}

/* What was allocated before counting began may be freed after: the count stays at zero then. */
static void uncount(size_t size)
{
    taken -= size < taken ? size : taken;
}

void *__wrap_malloc(size_t size)
{
    return within_budget(size) ? count(__real_malloc(size)) : NULL;
}

void *__wrap_calloc(size_t items, size_t size)
{
    size_t whole = 0;
    if (__builtin_mul_overflow(items, size, &whole) || !within_budget(whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return count(__real_calloc(items, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (!within_budget(size)) {
        return NULL;
    }
    size_t before = memory == NULL ? 0 : malloc_usable_size(memory);
    void *moved = __real_realloc(memory, size);
    if (moved != NULL || size == 0) {
        uncount(before);
        count(moved);
    }
    return moved;
}

void __wrap_free(void *memory)
{
    uncount(memory == NULL ? 0 : malloc_usable_size(memory));
    __real_free(memory);
}

char *__wrap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}
