/* Lines, JSON lines and the live line of progress. */
#include "output.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 8192
#define PROGRESS_SIZE 1024
#define PLAIN_PROGRESS_SECONDS 5
#define WRITE_PATIENCE_MS 200

static struct output_settings settings;
static unsigned warnings;
static void (*on_warning)(const char *text);
static bool live_line_shown;
static bool on_terminal;
static bool in_colour;

void output_init(const struct output_settings *wanted)
{
    settings = *wanted;
    const char *no_colour = getenv("NO_COLOR");
    on_terminal = isatty(STDOUT_FILENO) == 1 && !settings.json;
    /* given a buffer, stdio does not ask what kind of device it writes to, which the policy has no call for */
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    in_colour = on_terminal && isatty(STDERR_FILENO) == 1 && (no_colour == NULL || no_colour[0] == '\0');
}

/*
 * A reader that is stuck costs the line, not the run. The descriptors stay blocking, since they may be shared with the
 * shell that started us; a pipe that polls writable takes at least PIPE_BUF bytes.
 */
static void write_line(int fd, const char *line, size_t size)
{
    while (size > 0) {
        struct pollfd writable = {fd, POLLOUT, 0};
        if (poll(&writable, 1, WRITE_PATIENCE_MS) <= 0) {
            return;
        }
        size_t piece = size < 4096 ? size : 4096;
        ssize_t put = write(fd, line, piece);
        if (put <= 0) {
            return;
        }
        line += put;
        size -= (size_t)put;
    }
}

/* Length of the UTF-8 character at `at`, or 0 where there is none. */
static size_t utf8_length(const unsigned char *at)
{
    size_t length = at[0] >= 0xc2 && at[0] <= 0xdf   ? 2
                    : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                    : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
                                                     : 0;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool c1_control = length == 2 && at[0] == 0xc2 && at[1] < 0xa0;
    return c1_control ? 0 : length;
}

void escape_text(const char *text, char *out, size_t size)
{
    size_t used = 0;
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0' && used + 5 < size) {
        size_t length = *at >= 0x20 && *at < 0x7f ? 1 : utf8_length(at);
        if (length == 0) {
            used += (size_t)snprintf(out + used, size - used, "\\x%02x", *at);
            at++;
            continue;
        }
        memcpy(out + used, at, length);
        used += length;
        at += length;
    }
    out[used] = '\0';
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_DEBUG:
        return "debug";
    default:
        return "info";
    }
}

static void write_json(enum log_level level, const char *source, const char *text)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char stamp[40];
    size_t used = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + used, sizeof stamp - used, ".%03ldZ", now.tv_nsec / 1000000);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "time", stamp);
    cJSON_AddStringToObject(object, "level", level_name(level));
    cJSON_AddStringToObject(object, "source", source == NULL ? "restore" : source);
    cJSON_AddStringToObject(object, "message", text);
    char *line = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    if (line != NULL) {
        size_t size = strlen(line);
        line[size] = '\n'; /* over the NUL: one write a line */
        write_line(STDOUT_FILENO, line, size + 1);
        cJSON_free(line);
    }
}

static void erase_live_line(void)
{
    if (live_line_shown) {
        write_line(STDOUT_FILENO, "\r\033[K", 4);
        live_line_shown = false;
    }
}

static void write_text(enum log_level level, const char *source, const char *text)
{
    const char *prefix = level == LOG_LEVEL_ERROR ? "ERROR: " : level == LOG_LEVEL_WARNING ? "WARNING: " : "";
    const char *colour = level == LOG_LEVEL_ERROR ? "\033[31m" : level == LOG_LEVEL_WARNING ? "\033[33m" : "";
    bool coloured = in_colour && colour[0] != '\0';
    char line[LINE_SIZE + 256];
    int size = snprintf(line, sizeof line, "%s%s%s%s%s%s\n", coloured ? colour : "", prefix,
                        source == NULL ? "" : source, source == NULL ? "" : ": ", text, coloured ? "\033[0m" : "");
    erase_live_line();
    bool urgent = level == LOG_LEVEL_ERROR || level == LOG_LEVEL_WARNING;
    write_line(urgent ? STDERR_FILENO : STDOUT_FILENO, line, (size_t)size);
}

static void emit(enum log_level level, const char *source, const char *format, va_list arguments)
{
    if (level == LOG_LEVEL_DEBUG && !settings.debug) {
        return;
    }
    char raw[LINE_SIZE];
    char text[LINE_SIZE];
    vsnprintf(raw, sizeof raw, format, arguments);
    escape_text(raw, text, sizeof text);
    if (settings.json) {
        write_json(level, source, text);
        return;
    }
    write_text(level, source, text);
}

void output_line(enum log_level level, const char *source, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    emit(level, source, format, arguments);
    va_end(arguments);
}

void say_warning(const char *format, ...)
{
    warnings++;
    va_list arguments;
    va_start(arguments, format);
    emit(LOG_LEVEL_WARNING, NULL, format, arguments);
    va_end(arguments);
    if (on_warning != NULL) {
        char text[LINE_SIZE];
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        on_warning(text);
    }
}

void output_on_warning(void (*take)(const char *text))
{
    on_warning = take;
}

void say_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    emit(LOG_LEVEL_ERROR, NULL, format, arguments);
    va_end(arguments);
}

unsigned output_warnings(void)
{
    return warnings;
}

void output_result(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
}

void output_progress(const char *text)
{
    static time_t last;
    if (text[0] == '\0') {
        erase_live_line();
        return;
    }
    if (on_terminal) {
        char line[PROGRESS_SIZE];
        char shown[PROGRESS_SIZE - 8];
        escape_text(text, shown, sizeof shown);
        int size = snprintf(line, sizeof line, "\r\033[K%s", shown);
        write_line(STDOUT_FILENO, line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1);
        live_line_shown = true;
        return;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (last == 0) {
        last = now.tv_sec;
    }
    if (now.tv_sec - last >= PLAIN_PROGRESS_SECONDS) {
        last = now.tv_sec;
        say("%s", text);
    }
}

const char *human_bytes(uint64_t bytes)
{
    static char buffers[4][32];
    static unsigned turn;
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    char *buffer = buffers[turn++ % 4];
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    snprintf(buffer, sizeof buffers[0], unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return buffer;
}
