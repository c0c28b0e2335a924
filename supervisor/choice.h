/*
 * What of a backup is restored: RESTORE_SERVICES, RESTORE_VOLUMES and RESTORE_DATABASES, lists of shell patterns
 * (fnmatch(3)) between commas or blanks. `!PATTERN` excludes; a list of exclusions alone begins with everything. A
 * volume is matched by NAME and by SERVICE/NAME, a database by its service. Where only one of RESTORE_VOLUMES and
 * RESTORE_DATABASES is set, nothing of the other kind is restored.
 */
#ifndef CHOICE_H
#define CHOICE_H

#include <stdbool.h>

#include "messages.h"
#include "options.h"

/* Whether a list picks a thing by either of its names; `other` may be NULL. */
bool patterns_pick(const char *patterns, const char *name, const char *other);

/* Copies into `pattern` the first pattern that includes rather than excludes at or behind *at, and moves *at behind it.
 * False: there is none. */
bool patterns_next(const char **at, char *pattern, unsigned size);

/* `name`: of a volume's label; empty for databases. */
bool is_chosen(const struct options *options, enum section_kind kind, const char *service, const char *name);

#endif
