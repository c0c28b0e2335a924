/* How a verb of the fetcher ended. */
#include "outcome.h"

#include <stdarg.h>
#include <stdio.h>

enum outcome problem_set(struct problem *problem, unsigned code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    problem->code = code;
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    return OUTCOME_FAILED;
}
