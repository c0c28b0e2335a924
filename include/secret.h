/* Memory that held a secret. */
#ifndef SECRET_H
#define SECRET_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

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
