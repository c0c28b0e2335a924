/*
 * The one regular file in an answer of the archive API, for secrets that a *_FILE variable names. Bounded: reads a
 * tar's headers of 512 bytes and the octal size in them, skips extended headers, refuses everything else; the
 * docker-agent is not linked with a library that could read more.
 */
#ifndef SINGLE_FILE_H
#define SINGLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SINGLE_FILE_BLOCK 512

struct single_file {
    size_t limit; /* most bytes of the file; set by the caller, all else zero */
    const char *refusal;
    uint8_t header[SINGLE_FILE_BLOCK];
    size_t have; /* bytes of the header */
    uint64_t skip;
    char *data; /* the file, with a NUL behind it */
    size_t size;
    size_t filled;
    bool found;
};

/* Takes bytes of the tar as they come. 0, or -1 with file->refusal. */
int single_file_feed(struct single_file *file, const uint8_t *data, size_t size);
/* Hands the whole file over to the caller (on the heap). 0, or -1 where it is missing or incomplete. */
int single_file_take(struct single_file *file, char **data, size_t *size);
/* Wipes and frees. */
void single_file_free(struct single_file *file);
#define cleanup_single_file __attribute__((cleanup(single_file_free)))

#endif
