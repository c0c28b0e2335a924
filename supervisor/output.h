/*
 * What the user sees: lines on standard output (warnings and errors on standard error), or JSON lines, and one live
 * line of progress on a terminal. Writing never blocks the run: what a stuck reader does not take is dropped.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct output_settings {
    bool json;
    bool debug;
};

void output_init(const struct output_settings *settings);

/* One line; control bytes are escaped. `source`: the process that said it, or NULL for the supervisor. */
void output_line(enum log_level level, const char *source, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define say(...) output_line(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define say_debug(...) output_line(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)

/* A warning counts: a run with any ends in exit code 10 instead of 0. */
void say_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Called with the text of each warning, for the record of the run. */
void output_on_warning(void (*take)(const char *text));
void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned output_warnings(void);

/* Lines that are a result rather than a log (list, help): standard output as they stand. */
void output_result(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Replace the live line on a terminal; elsewhere a plain line now and then. An empty text ends it. */
void output_progress(const char *text);

/* "1.6 GB", "512 B"; decimal units as in the specification. Static buffers, four in turn. */
const char *human_bytes(uint64_t bytes);

/* Escape control bytes and invalid UTF-8 of untrusted text into `out`, for one line of a terminal. */
void escape_text(const char *text, char *out, size_t size);

#endif
