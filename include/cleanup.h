/* The one cleanup idiom: variables that release what they hold at the end of their scope. */
#ifndef CLEANUP_H
#define CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_value(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close_value(const int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static inline void cleanup_fclose_value(FILE **file)
{
    if (*file != NULL) {
        fclose(*file);
    }
}

#define cleanup_free __attribute__((cleanup(cleanup_free_value)))
#define cleanup_close __attribute__((cleanup(cleanup_close_value)))
#define cleanup_fclose __attribute__((cleanup(cleanup_fclose_value)))

#endif
