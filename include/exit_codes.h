/* Exit codes of `restore`, generated from exit_codes.def. */
#ifndef EXIT_CODES_H
#define EXIT_CODES_H

enum exit_code {
#define EXIT_CODE(name, number, meaning) EXIT_##name = (number),
#include "exit_codes.def"
#undef EXIT_CODE
};

/* What a code means, for messages and --help; "unknown" for a number that is not in the table. */
const char *exit_code_meaning(int code);

#endif
