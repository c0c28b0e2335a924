/* Why a verb failed. */
#include "problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int problem_set(struct problem *problem, unsigned code, const char *format, ...)
{
    if (problem->code != 0) {
        return -1;
    }
    problem->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    return -1;
}

int problem_errno(struct problem *problem, const char *what, const char *path)
{
    int error = errno;
    if (error == ENOSPC || error == EDQUOT) {
        return problem_set(problem, EXIT_SPACE, "%s %s: %s; free some space and run the restore again", what, path,
                           strerror(error));
    }
    return problem_set(problem, EXIT_INTERNAL, "%s %s: %s", what, path, strerror(error));
}
