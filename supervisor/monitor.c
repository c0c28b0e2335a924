/* The one poll loop, and the checks on everything that comes from a worker. */
#include "monitor.h"

#include <errno.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "output.h"
#include "spawn.h"
#include "stack.h"

/* What a worker can say in one life. Progress on 16 TB, or a million names, fits; a flood ends here. */
#define HEARD_MOST (128U << 20)
#define LOGGED_MOST (16U << 20)
#define LOG_READS_A_TURN 16
#define CLOSED_SECONDS 2 /* from the end of a worker's pipe to its own */

int monitor_init(struct run *run)
{
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGHUP);
    sigaddset(&handled, SIGCHLD);
    sigaddset(&handled, SIGPIPE);
    sigprocmask(SIG_BLOCK, &handled, NULL);
    run->signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    if (run->signals < 0) {
        return run_fail(run, EXIT_INTERNAL, "signalfd: %s", strerror(errno));
    }
    return 0;
}

int monitor_violation(struct run *run, enum process process, const char *reason)
{
    AUDIT("violation", AUDIT_TEXT("worker", process_table[process].name), AUDIT_TEXT("reason", reason));
    return run_fail(run, EXIT_WORKER, "%s broke the protocol (%s): the run ends here", process_table[process].name,
                    reason == NULL ? "unreadable frame" : reason);
}

/* "NUMBER" or "NUMBER stager": a system call that a sandbox refused, as a line with its name. */
static void show_forbidden(const struct worker *worker, const char *line, size_t size)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)size, line);
    char *rest;
    int number = (int)strtol(text, &rest, 10);
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
    output_line(LOG_LEVEL_ERROR, *rest == ' ' ? rest + 1 : process_table[worker->process].name,
                "its sandbox refused the system call %s (%d)", name == NULL ? "?" : name, number);
    AUDIT("violation", AUDIT_TEXT("worker", *rest == ' ' ? rest + 1 : process_table[worker->process].name),
          AUDIT_TEXT("system_call", name));
    free(name);
}

/* Show the log lines that are complete; `everything`: the rest as well. */
static void show_log(struct worker *worker, bool everything)
{
    char *start = worker->log_buffer;
    char *end = worker->log_buffer + worker->log_size;
    while (start < end) {
        char *newline = memchr(start, '\n', (size_t)(end - start));
        bool full = newline == NULL && start == worker->log_buffer && worker->log_size == LOG_BUFFER_SIZE;
        if (newline == NULL && !everything && !full) {
            break;
        }
        size_t size = (size_t)((newline == NULL ? end : newline) - start);
        enum log_level level = size > 1 && start[1] == ' ' ? (enum log_level)start[0] : LOG_LEVEL_ERROR;
        size_t skip = size > 1 && start[1] == ' ' ? 2 : 0;
        if (level == LOG_LEVEL_SYSCALL) {
            show_forbidden(worker, start + skip, size - skip);
        } else {
            output_line(level, process_table[worker->process].name, "%.*s", (int)(size - skip), start + skip);
        }
        start = newline == NULL ? end : newline + 1;
    }
    worker->log_size = (size_t)(end - start);
    memmove(worker->log_buffer, start, worker->log_size);
}

/* What is there, but not more than a share of it: who writes without end must not keep us from all others. */
static int read_log(struct run *run, struct worker *worker)
{
    for (int reads = 0; reads < LOG_READS_A_TURN; reads++) {
        ssize_t got = read(worker->log, worker->log_buffer + worker->log_size, LOG_BUFFER_SIZE - worker->log_size);
        if (got <= 0) {
            return 0;
        }
        worker->log_size += (size_t)got;
        worker->logged += (size_t)got;
        if (worker->logged > LOGGED_MOST) {
            return monitor_violation(run, worker->process, "a flood of log lines");
        }
        show_log(worker, false);
    }
    return 0;
}

/* A worker decides what failed, not that anything succeeded: codes that are none of a failure are none of its own. */
static int fail_as_told(struct run *run, enum process process, const struct msg_failed *failed)
{
    bool failure = failed->code > EXIT_RESTORED && failed->code <= EXIT_WORKER && failed->code != EXIT_WARNINGS;
    return failure ? run_fail(run, (int)failed->code, "%s", failed->message.data)
                   : run_fail(run, EXIT_WORKER, "%s broke the protocol (failure with code %llu): %s",
                              process_table[process].name, (unsigned long long)failed->code, failed->message.data);
}

static int describe_death(struct run *run, const struct worker *worker, int status)
{
    const char *name = process_table[worker->process].name;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        return run_fail(run, EXIT_WORKER, "%s was killed by its sandbox: it made a system call that its policy forbids",
                        name);
    }
    if (WIFSIGNALED(status)) {
        return run_fail(run, EXIT_WORKER, "%s was killed by signal %d (%s)", name, WTERMSIG(status),
                        strsignal(WTERMSIG(status)));
    }
    int code = WEXITSTATUS(status);
    if (code == EXIT_SANDBOX && worker->layers == 0) {
        return run_fail(run, EXIT_SANDBOX, "%s could not be started in its sandbox (see the line above)", name);
    }
    return run_fail(run, EXIT_WORKER, "%s ended unexpectedly with exit code %d", name, code);
}

/* A worker's last frames and log lines are read before its death is told: a `failed` says more than an exit code. */
static int reap(struct run *run)
{
    int status;
    pid_t pid;
    int result = 0;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < PROCESS_COUNT; i++) {
            struct worker *worker = &run->workers[i];
            if (worker->pid != pid) {
                continue;
            }
            worker->pid = 0;
            read_log(run, worker);
            show_log(worker, true);
            struct frame frame;
            while (channel_receive(&worker->channel, &frame) == IPC_OK) {
                struct msg_failed failed;
                if (frame.type == MESSAGE_failed &&
                    channel_decode(&worker->channel, &frame, MESSAGE_failed, &failed) == IPC_OK) {
                    fail_as_told(run, (enum process)i, &failed);
                }
            }
            describe_death(run, worker, status);
            end_worker(run, (enum process)i);
            result = -1;
        }
    }
    return result;
}

static int handle_signals(struct run *run)
{
    struct signalfd_siginfo signal;
    int result = 0;
    while (read(run->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo == SIGCHLD) {
            result = reap(run) != 0 ? -1 : result;
            continue;
        }
        if (signal.ssi_signo == SIGPIPE) {
            continue;
        }
        if (run->unwinding) {
            say("Received %s while the former state is brought back; this has to end first",
                strsignal((int)signal.ssi_signo));
            continue;
        }
        run->caught = (int)signal.ssi_signo;
        result = run_fail(run, 128 + run->caught, "Interrupted by signal %d (%s)", run->caught, strsignal(run->caught));
    }
    return result;
}

int monitor_decode(struct run *run, enum process from, const struct frame *frame, void *message)
{
    const char *refusal = message_decode(frame->type, frame->payload, frame->length, message);
    return refusal == NULL ? 0 : monitor_violation(run, from, refusal);
}

/* 1: the frame may come at any time and is dealt with (failure: -1); 0: it is for the phase. */
static int handle_common(struct run *run, enum process from, const struct frame *frame)
{
    if (frame->type == MESSAGE_failed || frame->type == MESSAGE_stager_failed) {
        struct msg_failed failed;
        if (monitor_decode(run, from, frame, &failed) != 0) {
            return -1;
        }
        return fail_as_told(run, from, &failed);
    }
    if (frame->type == MESSAGE_warning || frame->type == MESSAGE_stager_warning) {
        struct msg_warning warning;
        if (monitor_decode(run, from, frame, &warning) != 0) {
            return -1;
        }
        say_warning("%s", warning.message.data);
        return 1;
    }
    if (frame->type == MESSAGE_user_started) {
        return take_started(run, from, frame) != 0 ? -1 : 1;
    }
    return 0;
}

/*
 * 1: a frame for the phase; 0: none yet; -1: failure. Warnings are dealt with one a turn, so that a flood of them keeps
 * nobody waiting.
 */
static int take_frame(struct run *run, enum process process, struct frame *frame)
{
    struct worker *worker = &run->workers[process];
    switch (channel_receive(&worker->channel, frame)) {
    case IPC_OK: {
        worker->heard += FRAME_HEADER_SIZE + frame->length;
        if (worker->heard > HEARD_MOST) {
            return monitor_violation(run, process, "a flood of messages");
        }
        int handled = handle_common(run, process, frame);
        return handled == 0 ? 1 : handled < 0 ? -1 : 0;
    }
    case IPC_AGAIN:
        return 0;
    case IPC_VIOLATION:
        return monitor_violation(run, process, worker->channel.violation);
    default: /* it is ending: SIGCHLD tells how */
        close(worker->channel.in);
        worker->channel.in = -1;
        worker->closed_at = monotonic_seconds();
        return 0;
    }
}

/* The end of a pipe is the end of its worker, or soon will be. */
static int check_closed(struct run *run)
{
    for (int i = 0; i < PROCESS_COUNT; i++) {
        const struct worker *worker = &run->workers[i];
        if (worker->pid > 0 && worker->channel.in < 0 && monotonic_seconds() - worker->closed_at > CLOSED_SECONDS) {
            return monitor_violation(run, (enum process)i, "closed its pipe and lives on");
        }
    }
    return 0;
}

struct watch {
    struct pollfd fds[1 + 2 * PROCESS_COUNT];
    nfds_t count;
};

/* Returns after how many milliseconds of silence to look again. */
static int watch_all(const struct run *run, struct watch *watch, double left)
{
    double patience = left;
    watch->count = 0;
    watch->fds[watch->count++] = (struct pollfd){run->signals, POLLIN, 0};
    for (int i = 0; i < PROCESS_COUNT; i++) {
        const struct worker *worker = &run->workers[i];
        bool alive = worker->pid > 0;
        watch->fds[watch->count++] = (struct pollfd){alive ? worker->channel.in : -1, POLLIN, 0};
        watch->fds[watch->count++] = (struct pollfd){alive ? worker->log : -1, POLLIN, 0};
        patience = alive && worker->channel.in < 0 && patience > CLOSED_SECONDS ? CLOSED_SECONDS : patience;
    }
    return (int)(patience * 1000) + 1;
}

/* One look at everything that is readable now. 1: a frame; 0: none; -1: failure. */
static int sweep(struct run *run, enum process *from, struct frame *frame)
{
    for (int i = 0; i < PROCESS_COUNT; i++) {
        struct worker *worker = &run->workers[i];
        if (worker->pid <= 0 || worker->channel.in < 0) {
            continue;
        }
        int result = take_frame(run, (enum process)i, frame);
        if (result != 0) {
            *from = (enum process)i;
            return result;
        }
    }
    return 0;
}

static int read_logs(struct run *run)
{
    for (int i = 0; i < PROCESS_COUNT; i++) {
        if (run->workers[i].pid > 0 && read_log(run, &run->workers[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Waits until the deadline; `wanted` false: only signals, logs and failures are of interest. */
static int wait_frame(struct run *run, double seconds, bool wanted, enum process *from, struct frame *frame)
{
    double deadline = monotonic_seconds() + seconds;
    for (;;) {
        if (read_logs(run) != 0) {
            return -1;
        }
        if (wanted) {
            int result = sweep(run, from, frame);
            if (result != 0) {
                return result;
            }
        }
        if (handle_signals(run) != 0 || check_closed(run) != 0) {
            return -1;
        }
        double left = deadline - monotonic_seconds();
        if (left <= 0) {
            return 0;
        }
        struct watch watch;
        int patience = watch_all(run, &watch, left);
        if (!wanted) {
            watch.count = 1;
        }
        poll(watch.fds, watch.count, patience);
    }
}

int monitor_try(struct run *run, double seconds, enum process *from, struct frame *frame)
{
    int result = wait_frame(run, seconds, true, from, frame);
    return result == 0 ? 1 : result < 0 ? -1 : 0;
}

int monitor_await(struct run *run, enum process due, double seconds, enum process *from, struct frame *frame)
{
    int result = wait_frame(run, seconds, true, from, frame);
    if (result == 0) {
        return run_fail(run, EXIT_WORKER, "%s said nothing for %.0f seconds", process_table[due].name, seconds);
    }
    return result < 0 ? -1 : 0;
}

int monitor_next(struct run *run, double seconds, enum process *from, struct frame *frame)
{
    int result = wait_frame(run, seconds, true, from, frame);
    if (result == 0) {
        return run_fail(run, EXIT_WORKER, "No worker said anything within %.0f seconds", seconds);
    }
    return result < 0 ? -1 : 0;
}

/* Who is to send it: for what every worker sends, the one that was started last. */
static const char *awaited_of(const struct run *run, enum message_type type)
{
    enum party sender = message_rule(type)->sender;
    const char *name = sender == PARTY_STAGER ? "stager" : "worker";
    for (int i = 0; i < PROCESS_COUNT; i++) {
        bool starting = sender == PARTY_WORKER && run->workers[i].pid > 0 && run->workers[i].layers == 0;
        name = starting || process_table[i].party == sender ? process_table[i].name : name;
    }
    return name;
}

int monitor_expect(struct run *run, enum message_type type, double seconds, void *message)
{
    enum process from;
    struct frame frame;
    int result = wait_frame(run, seconds, true, &from, &frame);
    if (result == 0) {
        return run_fail(run, EXIT_WORKER, "%s gave no answer (%s) within %.0f seconds", awaited_of(run, type),
                        message_rule(type)->name, seconds);
    }
    if (result < 0) {
        return -1;
    }
    if (frame.type != type) {
        return monitor_violation(run, from, "another message than the one due");
    }
    return monitor_decode(run, from, &frame, message);
}

int monitor_send(struct run *run, enum process to, enum message_type type, const void *message)
{
    struct worker *worker = &run->workers[to];
    if (worker->pid <= 0) {
        return run_fail(run, EXIT_INTERNAL, "%s is not running", process_table[to].name);
    }
    enum ipc_result result = channel_send(&worker->channel, type, message);
    if (result == IPC_VIOLATION) {
        return run_fail(run, EXIT_INTERNAL, "Cannot send %s to %s: %s", message_rule(type)->name,
                        process_table[to].name, worker->channel.violation);
    }
    if (result != IPC_OK) {
        int cause = errno;
        handle_signals(run); /* a death says more than a broken pipe */
        return run_fail(run, EXIT_WORKER, "Cannot reach %s: %s", process_table[to].name, strerror(cause));
    }
    return 0;
}

int monitor_sleep(struct run *run, double seconds)
{
    enum process from;
    struct frame frame;
    return wait_frame(run, seconds, false, &from, &frame);
}
