/*
 * Staging: the streams of one `stage`, each a clean tar that is laid down in .restore-RUN/new of its areas, or raw
 * bytes for a spool. Streams may come interleaved, each is read by a coroutine of its own (feed.h).
 */
#ifndef STAGE_H
#define STAGE_H

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "area.h"
#include "feed.h"
#include "ipc.h"
#include "owners.h"
#include "swap.h"

/* Where the entries of a stream below `prefix` go: below `base` in an area. */
struct mapping {
    unsigned root; /* of the plan */
    char *prefix;
    struct area *area; /* once resolved */
    char *base;
    bool implicit;   /* a mount point below a root of the plan that the plan does not name */
    bool compare;    /* declared to share its root with another stream */
    bool comparing;  /* another stream has staged here: entries must equal what is there */
    bool unfinished; /* ... which has not ended, so that directories have no modes yet */
    bool discarding; /* another replica writes these very entries */
    struct live_tree live;
    int live_fd;
    int new_fd;
};

enum stream_state { STREAM_WAITING, STREAM_OPEN, STREAM_ENDED };

struct warned {
    unsigned special, xattrs, acls, devices; /* of each kind, so far */
};

/*
 * A stream for a scaled service goes to the roots of several containers: its second root for a prefix belongs to its
 * second replica, and so on. Each replica reads the same bytes on its own.
 */
struct stream {
    unsigned number;
    struct stream *replica; /* the next, or NULL */
    bool spool;
    struct owners owners;
    struct mapping *mappings;
    size_t mapping_count;

    struct stage *stage;
    enum stream_state state;
    struct feed feed;
    bool fed;
    FILE *late;
    int spool_fd;
    uint64_t entries;
    uint64_t bytes;
    uint64_t written;  /* since the last look at free space */
    uint64_t reported; /* bytes at the last `staging` */
    bool different;
    struct warned warned;
    /* the directory that the last entry went to: most entries follow each other in one */
    struct mapping *at;
    char parent[TREE_PATH_MAX];
    int staged_parent;
    struct live_parent live_parent;
};

struct stage {
    struct areas *areas;
    struct channel *channel;
    struct problem *problem;
    struct stream *streams[MAX_STREAMS + 1];
    uint64_t reserve;
    bool running;
    bool broken; /* failed: what is still on its way is dropped */
};

/* A stream's declaration. Returns 0, or -1: problem. mount, subpath: of the root. */
int stage_declare(struct stage *stage, const struct msg_stager_stream *message);

/* Resolve all mappings and make the staging folders. `roots` gives mount and subpath of a root's number. */
struct root {
    bool declared;
    unsigned mount;
    char *subpath;
};
int stage_begin(struct stage *stage, const struct root *roots, uint64_t reserve);

int stage_data(struct stage *stage, unsigned stream, const void *bytes, size_t size);
int stage_stream_end(struct stage *stage, unsigned stream);

/* All is on disk and in the journal when this returns 0. */
int stage_finish(struct stage *stage);

/* Give up: remove what this stage has written. Best effort; the journal still knows the folders. */
void stage_discard(struct stage *stage);

/* place.c: lay down, or compare, one entry. Returns 0, or -1: problem. */
int place_entry(struct stream *stream, struct archive *archive, struct archive_entry *entry);
/* The directory of `mapping` at `path`, made with all its parents where missing; cached in the stream. */
int place_enter(struct stream *stream, struct mapping *mapping, const char *path);
/* Forget the cached directory. */
void place_leave(struct stream *stream);
/* Set what is in the stream's late records. */
int place_finish(struct stream *stream);
/* Fail where a live file system runs short. `written`: bytes since the last call. */
int stage_check_space(struct stream *stream, const struct mapping *mapping, uint64_t written);
/* compare.c */
int compare_entry(struct stream *stream, struct mapping *mapping, const char *path, struct archive *archive,
                  struct archive_entry *entry);
/* Path of an entry as the tar has it, without a leading ./ and trailing slashes, checked. NULL: problem. */
const char *entry_path(struct archive_entry *entry, char out[TREE_PATH_MAX], struct problem *problem);

#endif
