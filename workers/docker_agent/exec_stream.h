/*
 * A process inside a container (`docker exec`): started with its streams handed over to us.
 *
 * Input and output must move at the same time, or both ends stall: poll exec_fd() for reading always, and for writing
 * while there is input. argv is visible in the Engine's events and to the container: never a secret in it.
 */
#ifndef EXEC_STREAM_H
#define EXEC_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent.h"
#include "demux.h"

#define EXEC_OUTPUT_MAX (64 * 1024)

/* What to run. */
struct exec_request {
    const char *const *argv; /* ends with NULL */
    const char *user;        /* NULL: the container's own */
    bool input;              /* attach stdin; false: the process finds its input at an end */
};

struct exec_stream;

/*
 * Creates and starts the process in a running container (checked by agent_container() just before).
 * 0 and *out (end with exec_close()), or -1 with agent->engine.error.
 */
int exec_open(struct agent *agent, const struct container *container, const struct exec_request *request,
              struct exec_stream **out);

/* Non-blocking; for poll alone. -1 once the stream has ended. Call exec_read() once before the first poll: output that
 * came with the Engine's answer is held already. */
int exec_fd(const struct exec_stream *stream);

/* Writes input: the bytes taken, 0 where it would block, -1 with errno (EPIPE: the process no longer reads). */
ssize_t exec_write(struct exec_stream *stream, const void *data, size_t size);

/* No more input. */
void exec_end_input(struct exec_stream *stream);

/*
 * Reads once what is there and gives it to `sink` (demux.h), piece by piece as stdout or stderr.
 * 1: more may come (also where it would block), 0: both have ended, -1: errno (EPROTO: the stream is malformed).
 */
int exec_read(struct exec_stream *stream, demux_sink *sink, void *context);

/* After exec_read() returned 0: the process's exit code, from the Engine. 0, or -1 with agent->engine.error. */
int exec_exit_code(struct agent *agent, struct exec_stream *stream, int *exit_code);

/* Closes the stream and frees it; the process goes on or ends as it likes with its streams closed. NULL is allowed. */
void exec_close(struct exec_stream *stream);
#define cleanup_exec __attribute__((cleanup(cleanup_exec_value)))
static inline void cleanup_exec_value(struct exec_stream **stream)
{
    exec_close(*stream);
}

/* Collected output: NUL-terminated, on the heap; free with exec_result_free(), which wipes. */
struct exec_result {
    int exit_code;
    char *out;
    size_t out_size;
    char *err;
    size_t err_size;
    bool cut; /* one of them was longer than EXEC_OUTPUT_MAX; the rest was read and dropped */
};
#define cleanup_exec_result __attribute__((cleanup(exec_result_free)))
void exec_result_free(struct exec_result *result);

/*
 * Runs a process to its end: feeds `input` (size 0: none), collects its output, waits at most `deadline` seconds.
 * 0 with *result filled, whatever the exit code; or -1 with agent->engine.error (EXIT_DOCKER), also when the deadline
 * passed. `result` must be freed in either case. Input that the process does not read is no error.
 */
int exec_run(struct agent *agent, const struct container *container, const struct exec_request *request,
             const void *input, size_t input_size, unsigned deadline, struct exec_result *result);

#endif
