/* Log lines of a worker, by one write each and without allocation, so that they work under every policy. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "descriptors.h"

#define LINE_MAX_BYTES 4096

void log_line(enum log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    line[0] = (char)level;
    line[1] = ' ';
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + 2, sizeof line - 3, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return;
    }
    size_t size = (size_t)length < sizeof line - 4 ? (size_t)length : sizeof line - 4;
    for (size_t i = 2; i < size + 2; i++) {
        if (line[i] == '\n') {
            line[i] = ' ';
        }
    }
    line[size + 2] = '\n';
    ssize_t written = write(FD_LOG, line, size + 3);
    (void)written; /* a full or closed log pipe must not stop the run */
}
