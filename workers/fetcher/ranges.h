/*
 * Downloads by ranges over several connections, delivered in order. Each part has room for all of its bytes, so no
 * connection ever waits for the reader: while the pipe is full no request is outstanding, deadlines have nothing to
 * count, and a connection that is lost meanwhile is simply opened again.
 */
#ifndef RANGES_H
#define RANGES_H

#include "exchange.h"

struct ranges_object {
    const char *key;
    uint64_t size;
    const char *etag;
    const char *version_id; /* may be empty */
};

/* Called a few times a second with the bytes delivered so far. Returns 0, or -1 to stop. */
typedef int (*ranges_progress)(void *context, uint64_t bytes);

/*
 * Writes exactly object->size bytes to `out`, a non-blocking pipe. *resumed: times that a broken transfer was
 * continued. Returns OUTCOME_OK, or another outcome with the problem filled in.
 */
enum outcome ranges_get(struct s3 *s3, const struct ranges_object *object, int out, ranges_progress progress,
                        void *context, uint64_t *resumed, struct problem *problem);

#endif
