/*
 * The tar in the decompressed archive, by libarchive with tar as its only format. What libarchive merely warns of is an
 * error here, and an end of the archive is one only with two zero blocks and nothing but zeros behind them.
 */
#ifndef UNTAR_H
#define UNTAR_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "reader.h"

struct archive_entry;
struct untar;

/* Called for every block of the archive that was decompressed, for progress. 0, or -1 with the failure. */
struct untar_watch {
    int (*block)(void *context, struct failure *failure);
    void *context;
};

/* NULL with the failure. The reader must have been started; failures of all functions go to `failure`. */
struct untar *untar_new(struct reader *reader, struct untar_watch watch, struct failure *failure);
void untar_free(struct untar *untar);

/* 1 with *entry (the untar's own, valid until the next call), 0 at the end of the tar, or -1. */
int untar_next(struct untar *untar, struct archive_entry **entry);

/* The entry's next block: 1, 0 at its end, or -1. Blocks come in rising offsets; between them are holes. What is not
 * fetched is skipped by untar_next(). */
int untar_data(struct untar *untar, const void **data, size_t *size, int64_t *offset);

/* After the end of the tar: reads the archive to its end. 0 where all is sound, or -1. */
int untar_finish(struct untar *untar);

/* Reads a small tar in memory, so that what libarchive and libc set up at the first entry is there, and
 * sees that names stay bytes. 0 or -1. */
int untar_warm_up(void);

#endif
