/* Whole reads and writes over short ones and EINTR. */
#ifndef IO_H
#define IO_H

#include <stddef.h>
#include <sys/types.h>

/* Reads until `size` bytes or end of file. Returns the bytes read, or -1 with errno. */
ssize_t read_full(int fd, void *buffer, size_t size);

/* Writes all of it. Returns 0, or -1 with errno. */
int write_full(int fd, const void *buffer, size_t size);

#endif
