/*
 * Linked around the shipped objects of a worker (Makefile: its own link line, and --wrap for two functions), so that
 * its own main runs up to and including its lock-down and `ready`; then one system call is tried instead of serving.
 *
 * Where the worker asks for its lock-down, a fork of it is made for each trial: the child goes on into the real
 * sandbox_lock, sends `ready`, tries its call and ends; the parent, not locked down, notes how it ended.
 *
 * SANDBOX_TRIALS names a file of struct trial; what came of them is written beside it, to NAME.results. With
 * SANDBOX_CONTROL the lock-down is left out, which shows that nothing but the sandbox kills.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"
#include "ipc.h"
#include "log.h"
#include "sandbox.h"

#define CAME_BACK 100 /* exit codes: the call reached the kernel and was refused, */
#define SUCCEEDED 101 /* or done; check_sandbox.py knows them */
#define UNUSABLE 2
#define MAX_TRIALS 65536
#define CONTROL_SECONDS 1 /* after which a call that waits (pause) is known to have reached the kernel */
#define SECONDS 30        /* the same, and the lock-down before it */

enum entry { ENTRY_NATIVE, ENTRY_I386 };

struct trial {
    uint64_t entry;
    uint64_t number;
    uint64_t arguments[6];
};

static const struct trial *trials;
static size_t trial_count;
static const struct trial *current; /* in a child: what it tries after `ready` */
static int statuses[MAX_TRIALS];

int __real_sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report);
int __wrap_sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report);
enum ipc_result __real_channel_send(struct channel *channel, enum message_type type, const void *message);
enum ipc_result __wrap_channel_send(struct channel *channel, enum message_type type, const void *message);

static _Noreturn void give_up(const char *what)
{
    log_error("probe: %s", what);
    _exit(UNUSABLE);
}

static void read_trials(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        give_up("SANDBOX_TRIALS cannot be read");
    }
    trial_count = (size_t)status.st_size / sizeof(struct trial);
    if (trial_count > MAX_TRIALS) {
        give_up("too many trials");
    }
    if (trial_count > 0) {
        trials = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (trials == MAP_FAILED) {
            give_up("SANDBOX_TRIALS cannot be mapped");
        }
    }
    close(fd);
}

static void write_rule(int fd, const struct policy_rule *rule)
{
    dprintf(fd, "rule %s %d", rule->syscall, seccomp_syscall_resolve_name(rule->syscall));
    for (size_t i = 0; i < 3 && rule->arguments[i].comparison != COMPARE_NONE; i++) {
        const struct policy_argument *argument = &rule->arguments[i];
        uint64_t mask = argument->comparison == COMPARE_MASKED ? argument->mask : UINT64_MAX;
        dprintf(fd, " %u %" PRIu64 " %" PRIu64, argument->index, mask, argument->value);
    }
    dprintf(fd, "\n");
}

/* The policy as it was compiled in and asked for, then how each trial ended. */
static _Noreturn void write_results(const char *path, const struct policy *policy)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s.results", path);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        give_up("the results cannot be written");
    }
    dprintf(fd, "policy %s\n", policy->name);
    for (size_t i = 0; i < policy->rule_count; i++) {
        write_rule(fd, &policy->rules[i]);
    }
    for (size_t i = 0; i < trial_count; i++) {
        dprintf(fd, "status %d\n", statuses[i]);
    }
    _exit(0);
}

/* The entry of 32-bit programs, which a 64-bit process may use as well, with numbers of its own. */
static long enter_i386(const struct trial *trial)
{
#ifdef __x86_64__
    long result = (long)trial->number;
    __asm__ volatile("int $0x80"
                     : "+a"(result)
                     : "b"(trial->arguments[0]), "c"(trial->arguments[1]), "d"(trial->arguments[2]),
                       "S"(trial->arguments[3]), "D"(trial->arguments[4])
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    (void)trial;
    return -1;
#endif
}

static _Noreturn void try_current(void)
{
    const uint64_t *arguments = current->arguments;
    long returned = current->entry == ENTRY_I386 ? enter_i386(current)
                                                 : syscall((long)current->number, arguments[0], arguments[1],
                                                           arguments[2], arguments[3], arguments[4], arguments[5]);
    syscall(SYS_exit_group, returned < 0 ? CAME_BACK : SUCCEEDED);
    __builtin_unreachable();
}

/* The supervisor serves nobody: it is ready when it is locked down. Its word is written where a worker's would be. */
static _Noreturn void try_in_supervisor(const struct sandbox_report *report)
{
    static uint8_t frame[CONTROL_FRAME_MAX];
    const struct msg_ready ready = {
        .layers = report->layers, .missing = text_of(report->missing), .filter = filter_text(report)};
    size_t size = message_encode(MESSAGE_ready, &ready, frame, sizeof frame);
    if (size == 0 || write(FD_CONTROL_OUT, frame, size) != (ssize_t)size) {
        give_up("the supervisor's word cannot be written");
    }
    try_current();
}

static int lock_or_not(const struct sandbox_plan *plan, struct sandbox_report *report, bool control)
{
    *report = (struct sandbox_report){0};
    int result = control ? 0 : __real_sandbox_lock(plan, report);
    if (result == 0 && plan->policy == &policy_supervisor) {
        try_in_supervisor(report);
    }
    return result;
}

int __wrap_sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    const char *path = getenv("SANDBOX_TRIALS");
    bool control = getenv("SANDBOX_CONTROL") != NULL;
    if (path == NULL) {
        give_up("SANDBOX_TRIALS is not set");
    }
    read_trials(path);
    for (size_t i = 0; i < trial_count; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            give_up("fork fails");
        }
        if (pid == 0) {
            const struct itimerval timer = {.it_value = {.tv_sec = control ? CONTROL_SECONDS : SECONDS}};
            setitimer(ITIMER_REAL, &timer, NULL);
            current = &trials[i];
            return lock_or_not(plan, report, control);
        }
        if (waitpid(pid, &statuses[i], 0) != pid) {
            give_up("waitpid fails");
        }
    }
    write_results(path, plan->policy);
}

enum ipc_result __wrap_channel_send(struct channel *channel, enum message_type type, const void *message)
{
    enum ipc_result result = __real_channel_send(channel, type, message);
    if (current == NULL || (type != MESSAGE_ready && type != MESSAGE_stager_ready) || result != IPC_OK) {
        return result;
    }
    try_current();
}
