/* How a verb of the fetcher ended, and what the supervisor is told. */
#ifndef OUTCOME_H
#define OUTCOME_H

enum outcome {
    OUTCOME_OK,
    OUTCOME_MISSING,     /* there is no such object */
    OUTCOME_REDIRECTED,  /* the bucket lives in problem->region */
    OUTCOME_INTERRUPTED, /* the supervisor spoke or hung up: go back to the channel */
    OUTCOME_FAILED,      /* problem says why */
};

/* code: exit_codes.def. text: one line; what, where, what to do. Never a secret. */
struct problem {
    unsigned code;
    char text[2048];
    char region[65];
};

/* Fills in code and text (cut where it is too long), and returns OUTCOME_FAILED. */
enum outcome problem_set(struct problem *problem, unsigned code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
