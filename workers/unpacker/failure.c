/* Failures of a pass, and names made fit for them. */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "exit_codes.h"

#define SHOWN_END 60 /* bytes of a long name's end that are kept */

static int set_failure(struct failure *failure, unsigned code, const char *before, const char *format,
                       va_list arguments)
{
    if (failure->code != 0) {
        return -1;
    }
    failure->code = code;
    size_t used = strlen(before);
    memcpy(failure->text, before, used);
    vsnprintf(failure->text + used, sizeof failure->text - used, format, arguments);
    return -1;
}

int fail_integrity(struct failure *failure, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_failure(failure, EXIT_INTEGRITY, "Archive integrity check failed: ", format, arguments);
    va_end(arguments);
    return -1;
}

int fail_with(struct failure *failure, unsigned code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_failure(failure, code, "", format, arguments);
    va_end(arguments);
    return -1;
}

static size_t show_bytes(char *out, size_t room, const char *name, size_t length)
{
    size_t used = 0;
    for (size_t i = 0; i < length && room - used > 4; i++) {
        unsigned char byte = (unsigned char)name[i];
        if (byte < 0x20 || byte == 0x7f) {
            used += (size_t)snprintf(out + used, room - used, "\\x%02x", byte);
        } else {
            out[used++] = (char)byte;
        }
    }
    out[used] = '\0';
    return used;
}

const char *shown(char out[SHOWN_SIZE], const char *name)
{
    size_t length = strlen(name);
    size_t half = SHOWN_SIZE / 2;
    if (length <= half - 4) {
        show_bytes(out, SHOWN_SIZE, name, length);
        return out;
    }
    size_t used = show_bytes(out, half, name, half - 4);
    memcpy(out + used, "...", 3);
    show_bytes(out + used + 3, SHOWN_SIZE - used - 3, name + length - SHOWN_END, SHOWN_END);
    return out;
}
