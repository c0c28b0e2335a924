/*
 * The swap of all areas, forth and back, by the journal's `state` records. Each is on disk before its step begins, and
 * the directories of the step before are on disk by then:
 *
 *   out       live entries move to .restore-RUN/old           (an interruption leaves old entries in both places)
 *   in        live is clear: staged entries move up           (what is live is new)
 *   swapped   done, attributes of the directories themselves are set
 *   back_out  undo: what is live and new moves to .restore-RUN/new
 *   back_in   live is clear of new entries: old ones move up, attributes as they were
 *   undone
 *   concluded the run's commit point: no way back from here
 *
 * So at any moment it is known which entries are old, and each step can be repeated. A cold copy (`copied`) takes part
 * in back_out and back_in like a swapped area.
 */
#ifndef SWAP_H
#define SWAP_H

#include <stdint.h>

#include "area.h"
#include "messages.h"

enum swap_state {
    SWAP_NONE,
    SWAP_OUT,
    SWAP_IN,
    SWAP_SWAPPED,
    SWAP_BACK_OUT,
    SWAP_BACK_IN,
    SWAP_UNDONE,
    SWAP_CONCLUDED,
};

struct swap {
    enum swap_state forward; /* SWAP_NONE to SWAP_SWAPPED: how far the commit came */
    enum swap_state last;    /* the journal's last state */
};

/* What a verb did, for `swapped`. entries: renamed or removed; bytes: copied. */
struct swap_counts {
    uint64_t areas;
    uint64_t entries;
    uint64_t bytes;
};

/* All staged areas: old out, new in. Refused unless this run's swap has not begun. Returns 0, or -1: problem. */
int swap_commit(struct areas *areas, struct swap *swap, struct swap_counts *counts, struct problem *problem);

/* Everything back, from wherever it stands. Nothing to undo is no error; refused after conclude. */
int swap_undo(struct areas *areas, struct swap *swap, struct swap_counts *counts, struct problem *problem);

/* The commit point. Refused where something is half done. */
int swap_conclude(struct areas *areas, struct swap *swap, struct problem *problem);

/* Remove .restore-RUN everywhere. Refused while it holds the only copy of old data. */
int swap_clean(struct areas *areas, const struct swap *swap, struct swap_counts *counts, struct problem *problem);

/* Whether the journal forbids new staging, copies and a commit. */
bool swap_has_begun(const struct swap *swap);

/* What the journal says, for `journal`. */
enum journal_phase swap_phase(const struct areas *areas, const struct swap *swap);

/* The record `state NAME`: 0, or -1 for another name. */
int swap_read_record(struct swap *swap, const char *name);

#endif
