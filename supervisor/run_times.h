/* How long a run took, and what it cost: for the audit record, the report and the metrics. */
#ifndef RUN_TIMES_H
#define RUN_TIMES_H

#include "run.h"

struct run_times {
    double took;    /* seconds so far */
    bool ran_again; /* the stack was stopped and runs again: */
    double rto;     /* seconds from the start until it ran again */
    double downtime;
    bool has_backup; /* a backup was chosen: */
    time_t made;     /* when, by the stamp in its name, taken as UTC */
    double rpo;      /* seconds from then until the start of the run */
};

struct run_times run_times(const struct run *run);

/* YYYYMMDD-HHMMSS, taken as UTC, in seconds since 1970; 0: it is none. */
time_t stamp_time(const char *stamp);

#endif
