/*
 * The low descriptors that every worker is started with; all others are closed before exec.
 * The stager, which the Engine starts, has its frames on 0 and 1 and its log on 2.
 */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

enum {
    FD_NULL_IN = 0,     /* /dev/null */
    FD_SECRET = 0,      /* instead of it, for a worker to which the process table gives a secret: its file */
    FD_NULL_OUT = 1,    /* /dev/null */
    FD_LOG = 2,         /* non-blocking pipe to the supervisor: lines, see log.h */
    FD_CONTROL_IN = 3,  /* frames from the supervisor */
    FD_CONTROL_OUT = 4, /* frames to the supervisor */
    FD_DATA_IN = 5,     /* bulk; /dev/null where the worker takes none */
    FD_DATA_OUT = 6,    /* bulk; /dev/null where the worker gives none */
    FD_FIRST_FREE = 7,
};

/* The supervisor's own, closed in every worker: what it writes evidence to, opened before its first phase. */
enum {
    FD_AUDIT_LOG = 40,
    FD_AUDIT_DIRECTORY = 41, /* of the audit log: the head and its signature get their names there */
    FD_AUDIT_HEAD = 42,
    FD_AUDIT_SIGNATURE = 43,
    FD_REPORT_DIRECTORY = 44,
    FD_REPORT = 45,
    FD_METRICS_DIRECTORY = 46,
    FD_METRICS = 47,
};

#endif
