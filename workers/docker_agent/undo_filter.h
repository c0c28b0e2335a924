/*
 * What has to be taken out of pg_dumpall's output so that it can be loaded without an error: dropping and creating the
 * roles that cannot be dropped, the one we are connected as and the one that the cluster belongs to. Their ALTER ROLE
 * lines stay. Pure: no process, no descriptor.
 *
 * The dump is of --clean --if-exists --quote-all-identifiers. Roles come before all data, each line is looked for until
 * it was found once, and only where a line begins outside of quotes and comments: data cannot pass for it.
 */
#ifndef UNDO_FILTER_H
#define UNDO_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNDO_FILTER_ROLES 2
#define UNDO_FILTER_LINE 1024

/* Takes what is left. Returns 0, or what the filter then returns. */
typedef int undo_sink(void *context, const uint8_t *data, size_t size);

struct undo_filter {
    undo_sink *sink;
    void *context;
    char wanted[2 * UNDO_FILTER_ROLES][UNDO_FILTER_LINE]; /* empty: found, or none */
    unsigned left;
    char line[UNDO_FILTER_LINE];
    size_t line_size;
    bool line_long; /* what came of it was passed on already */
    bool line_quoted;
    char within; /* ', " or - (a comment); 0: none of them */
    char last;
};

/* A role whose lines are taken out. 0, or -1 where its name is too long or there are too many. */
int undo_filter_add(struct undo_filter *filter, const char *role);

int undo_filter_feed(struct undo_filter *filter, const uint8_t *data, size_t size);

/* At the end. 0, the sink's value, or -1: a line was not found, so this is no dump as we know it. */
int undo_filter_end(struct undo_filter *filter);

#endif
