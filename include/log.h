/*
 * Log lines of a worker: one write to FD_LOG each, `LEVEL text\n` with LEVEL one of E W I D S, at most 4096 bytes so
 * that lines of several writers do not mix. The pipe does not block: a full one loses the line, never the run.
 * S is the number of a system call that the sandbox refused, and the docker-agent adds whose, where it was not its own;
 * the supervisor gives the name.
 * The supervisor names the worker and escapes control bytes. Never log a secret.
 */
#ifndef LOG_H
#define LOG_H

enum log_level {
    LOG_LEVEL_ERROR = 'E',
    LOG_LEVEL_WARNING = 'W',
    LOG_LEVEL_INFO = 'I',
    LOG_LEVEL_DEBUG = 'D',
    LOG_LEVEL_SYSCALL = 'S',
};

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
