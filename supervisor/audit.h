/*
 * The audit record of a run: what it is, what it is about to do before it does it, what came of it. Goes into AUDIT_LOG
 * (audit_log.h says how its lines chain) and, as one object, into REPORT_FILE. README lists the events and their
 * fields.
 *
 * Without AUDIT_LOG and REPORT_FILE all of this does nothing. Where a line cannot be written, the run goes no further:
 * the next intent fails, and the failure is undone as any other. While something is undone, and behind the commit
 * point, nothing stops for the record's sake; what is missing in it is said, in the log and by the next line that can
 * be written (`gap`).
 */
#ifndef AUDIT_H
#define AUDIT_H

#include <cjson/cJSON.h>

#include "run.h"

enum audit_kind { AUDIT_KIND_END, AUDIT_KIND_TEXT, AUDIT_KIND_NUMBER, AUDIT_KIND_FLAG, AUDIT_KIND_ITEM };

struct audit_field {
    enum audit_kind kind;
    const char *name;
    const char *text;
    double number;
    cJSON *item; /* taken over */
};

#define AUDIT_TEXT(member, value)                                                                                      \
    {                                                                                                                  \
        AUDIT_KIND_TEXT, member, value, 0, NULL                                                                        \
    }
#define AUDIT_NUMBER(member, value)                                                                                    \
    {                                                                                                                  \
        AUDIT_KIND_NUMBER, member, NULL, (double)(value), NULL                                                         \
    }
#define AUDIT_FLAG(member, value)                                                                                      \
    {                                                                                                                  \
        AUDIT_KIND_FLAG, member, NULL, (value) ? 1 : 0, NULL                                                           \
    }
#define AUDIT_ITEM(member, value)                                                                                      \
    {                                                                                                                  \
        AUDIT_KIND_ITEM, member, NULL, 0, value                                                                        \
    }

/* Whether there is a record at all. */
bool audit_is_on(void);

/* Opens the files and writes who, with what and what for. Returns 0, or -1 (run_fail). */
int audit_begin(struct run *run);

/* Sign something, so that nothing is loaded for it later. Returns 0, or -1. */
int audit_warm_up(void);

/* In a process that does not keep the record: its copy of the key is wiped. */
void audit_forget_key(void);

/* One event. AUDIT(event, AUDIT_TEXT("name", value), ...) */
void audit_event(const char *event, const struct audit_field *fields);
#define AUDIT(event, ...) audit_event(event, (const struct audit_field[]){__VA_ARGS__, {0}})

/* What is about to be done, on disk before this returns 0; -1: it must not be done (run_fail). */
int audit_intent(struct run *run, const char *action, const char *what);

/* What came of it; returns `result`. */
int audit_result(const struct run *run, const char *action, int result);

/* Intent, action, result. */
#define AUDITED(run, action, what, expression)                                                                         \
    (audit_intent((run), (action), (what)) != 0 ? -1 : audit_result((run), (action), (expression)))

/* The last line, the head, its signature and the report. Returns the exit code. */
int audit_end(struct run *run, int code);

struct confined;

/* Events that are made of the run's state: audit_facts.c. */
cJSON *audit_begin_facts(const struct run *run);
void audit_source(const struct run *run);
void audit_containers(const struct run *run);
void audit_archive(const struct run *run);
void audit_plan(const char *plan, const char *sha256);
void audit_volume(const struct run *run, const struct stream *stream);
void audit_database(const struct stream *stream);
int audit_former(struct run *run); /* asks the stager; 0, or -1 where it cannot be asked */
void audit_worker(const struct confined *said, const char *filter); /* filter: its SHA-256 */
void audit_failure(const struct run *run);
void audit_outcome(const struct run *run, int code);

#endif
