/* Why a pass over an archive failed: one exit code and one clear line, filled where the fault is found. */
#ifndef FAILURE_H
#define FAILURE_H

#include <stddef.h>

#define SHOWN_SIZE 512

struct failure {
    unsigned code; /* enum exit_code; 0: nothing failed */
    char text[2048];
};

/*
 * Both return -1, so that a caller can hand the failure up in one statement. The first failure stands: what follows
 * from it does not replace it. fail_integrity() puts the specification's words before the text.
 */
int fail_integrity(struct failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));
int fail_with(struct failure *failure, unsigned code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A name as it can stand in a line of text: control bytes as \xNN, the middle of a long one left out. Returns `out`. */
const char *shown(char out[SHOWN_SIZE], const char *name);

#endif
