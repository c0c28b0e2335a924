/*
 * The journal of a run: /run-volume/journal, what a kill must not lose. Intent is written here, and is on disk, before
 * the deed.
 *
 * One record a line: `CHECKSUM BATCH WORD...`, the checksum (FNV-1a, 64 bits, hex) over all that follows it. Words are
 * separated by one space; bytes up to space, `%` and from 0x7f on are written %XX, an empty word as `%`. Records that
 * belong together make a batch: one write, one fdatasync. A batch that a crash tore is taken as not written: nothing
 * was done on its account yet. A damaged record with a later batch behind it is no torn tail: then the journal is
 * refused.
 *
 * Records (areas are numbered in the order of their first record; see area.h):
 *   run RUN
 *   area NUMBER MOUNT DEVICE INODE PATH     a directory that may be changed: PATH within mount MOUNT
 *   keep NUMBER PATH                        a mount point below it, never renamed
 *   only NUMBER NAME                        the area is not swapped whole: NAME, missing so far, is added to it
 *   work NUMBER INODE                       .restore-RUN there is ours; INODE 0: intent to make it
 *   staged NUMBER                           .restore-RUN/new is complete and on disk
 *   copying NUMBER, copied NUMBER           the cold copy in .restore-RUN/old
 *   was NUMBER PATH MODE UID GID SECONDS NANOSECONDS ACL DEFAULT_ACL    attributes of a directory before the change
 *   state NAME                              of the swap: swap.h
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#define JOURNAL_WORDS_MAX 12

struct journal {
    int directory; /* the run's volume; not owned */
    int fd;        /* -1: no journal yet */
    uint64_t batch;
    uint64_t length; /* bytes of sound batches */
    char *pending;   /* records of the batch being made */
    size_t pending_size;
    size_t pending_capacity;
};

/* A sound record's words, decoded. Returns 0, or -1 where it makes no sense. */
typedef int (*journal_reader)(void *context, char **words, size_t count);

/*
 * Open what is there, hand each record to `reader` and drop a torn tail. No journal is no error.
 * Returns 0, -1 with errno, or -2 where it is damaged.
 */
int journal_open(struct journal *journal, int directory, journal_reader reader, void *context);

/* Add a record to the batch: words as text, ended by NULL. Returns 0, or -1 with ENOMEM. */
int journal_add(struct journal *journal, const char *word, ...) __attribute__((sentinel));

/* Write the batch; it is on disk when this returns 0. An empty one is not written. -1 with errno. */
int journal_commit(struct journal *journal);

void journal_close(struct journal *journal);

#endif
