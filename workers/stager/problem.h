/* Why a verb failed: the exit code of its cause and one clear line, as `stager_failed` carries them. */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "exit_codes.h"

struct problem {
    unsigned code; /* 0: none */
    char text[3072];
};

/* Note what went wrong; the first problem stands, later ones are consequences. Returns -1. */
int problem_set(struct problem *problem, unsigned code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: `WHAT PATH: strerror(errno)`. ENOSPC and EDQUOT become EXIT_SPACE. Returns -1. */
int problem_errno(struct problem *problem, const char *what, const char *path);

#endif
