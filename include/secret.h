/* Memory that held a secret. */
#ifndef SECRET_H
#define SECRET_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Keeps memory that will hold a secret out of swap, as far as RLIMIT_MEMLOCK allows it, and out of core dumps (which
 * DUMPABLE 0 forbids as well). Before the lock-down. What is refused changes nothing: it is a second line.
 */
static inline void secret_keep(void *memory, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t before = (size_t)memory % page;
    size_t whole = (before + size + page - 1) / page * page;
    (void)mlock((char *)memory - before, whole);
    (void)madvise((char *)memory - before, whole, MADV_DONTDUMP);
}

/* Overwrites memory in a way the compiler keeps. NULL is allowed. */
static inline void secret_wipe(void *memory, size_t size)
{
    if (memory != NULL) {
        explicit_bzero(memory, size);
    }
}

/* A C string on the heap that is wiped, then freed. */
static inline void secret_free(char *string)
{
    if (string != NULL) {
        secret_wipe(string, strlen(string));
        free(string);
    }
}

static inline void cleanup_secret_value(char **string)
{
    secret_free(*string);
}

#define cleanup_secret __attribute__((cleanup(cleanup_secret_value)))

#endif
