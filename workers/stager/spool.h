/* Spools: files of a run's volume, /run-volume/spool/N for stream N: SQL as it will be loaded, saved layers, dumps. */
#ifndef SPOOL_H
#define SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"
#include "problem.h"

/* A new, empty spool, open for writing; or one that is there, for reading. -1 with errno. */
int spool_create(int run_volume, unsigned stream);
int spool_open(int run_volume, unsigned stream);

/* Returns 0, or -1 with errno. */
int spool_write(int fd, const void *bytes, size_t size);

/* The spool and the folder that names it are on disk when this returns 0; -1 with errno. */
int spool_sync(int run_volume, int fd);

/* Send all of a spool as spool_bytes, then spool_end. Returns 0, or -1: problem. */
int spool_send(struct channel *channel, int run_volume, unsigned stream, struct problem *problem);

/* The note: JSON of the supervisor's, /run-volume/note. Parts are written to a file beside, then renamed over it. */
int note_write(int run_volume, int *part, const char *text, size_t size, int last, struct problem *problem);
/* Send it as note_part, then note_end; a note that is not there has no parts. */
int note_send(struct channel *channel, int run_volume, struct problem *problem);

#endif
