/* Reading and writing tars by libarchive: the tar format alone, no compression, names as bytes. */
#ifndef TAR_H
#define TAR_H

#include <archive.h>
#include <archive_entry.h>

#include "feed.h"
#include "problem.h"

static inline void cleanup_archive_value(struct archive **archive)
{
    if (*archive != NULL) {
        archive_free(*archive); /* of a reader and of a writer */
    }
}
#define cleanup_archive __attribute__((cleanup(cleanup_archive_value)))

static inline void cleanup_entry_value(struct archive_entry **entry)
{
    archive_entry_free(*entry);
}
#define cleanup_entry __attribute__((cleanup(cleanup_entry_value)))

/* A reader of what the feed's coroutine takes, or of an open file. NULL: problem. */
struct archive *tar_open_feed(struct feed *feed, struct problem *problem);
struct archive *tar_open_file(int *fd, struct problem *problem);

/*
 * The next entry: 1, 0 at the end, -1: problem. *entry: NULL at first, the caller's to free (cleanup_entry).
 * libarchive's own entry is not used: it does not look whether there was memory for that.
 */
int tar_next(struct archive *archive, struct archive_entry **entry, struct problem *problem);

/* A writer of pax to an open file. NULL: problem. */
struct archive *tar_create_file(int *fd, struct problem *problem);

#endif
