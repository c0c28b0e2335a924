/*
 * A file that is opened at the start of a run and gets its name at the end: the supervisor opens none later, and a
 * reader sees the whole file or none. Its folder must be writable; the file itself may not be there yet.
 */
#ifndef PENDING_FILE_H
#define PENDING_FILE_H

#include <stddef.h>

struct pending_file {
    int fd; /* -1: none is wanted */
    int directory;
    char temporary[320];
    char name[256];
};

/* `fd` and `directory` are the numbers that both get (descriptors.h). Returns 0, or -1 with `error`. */
int pending_open(struct pending_file *file, const char *path, const char *run, int fd, int directory, char *error,
                 size_t error_size);

/* Writes, syncs, renames. Returns 0, or -1 with errno. */
int pending_commit(struct pending_file *file, const char *text, size_t size);

#endif
