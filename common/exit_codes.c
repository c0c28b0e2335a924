/* What the exit codes mean. */
#include "exit_codes.h"

const char *exit_code_meaning(int code)
{
    switch (code) {
#define EXIT_CODE(name, number, meaning)                                                                               \
    case number:                                                                                                       \
        return meaning;
#include "exit_codes.def"
#undef EXIT_CODE
    default:
        return "unknown";
    }
}
