/*
 * Starts workers: fork, fixed low descriptors, everything else closed, an empty environment, exec. All forks are made
 * before the supervisor's own lock-down, which leaves it no call for that: each of them waits for its first frame and
 * executes its worker then.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "cleanup.h"
#include "descriptors.h"
#include "sandbox.h"

#define DATA_PIPE_BYTES (1024 * 1024)

int create_data_pipes(struct run *run)
{
    for (int i = PIPE_NONE + 1; i < PIPE_COUNT; i++) {
        if (pipe2(run->pipes[i], O_CLOEXEC) != 0) {
            return run_fail(run, EXIT_INTERNAL, "Cannot create a pipe: %s", strerror(errno));
        }
        fcntl(run->pipes[i][1], F_SETPIPE_SZ, DATA_PIPE_BYTES); /* a smaller pipe is slower, not wrong */
    }
    return 0;
}

/* What the child needs, prepared before the fork: after it only async-signal-safe calls are made. */
struct launch {
    char path[4096];
    const char *name;
    int descriptors[FD_FIRST_FREE];
};

/* Descriptors may overlap their targets: move all above the fixed range first. */
static void place_descriptors(const struct launch *launch)
{
    int high[FD_FIRST_FREE];
    for (int i = 0; i < FD_FIRST_FREE; i++) {
        high[i] = fcntl(launch->descriptors[i], F_DUPFD, FD_FIRST_FREE);
        if (high[i] < 0) {
            _exit(EXIT_SANDBOX);
        }
    }
    for (int i = 0; i < FD_FIRST_FREE; i++) {
        if (dup2(high[i], i) < 0) {
            _exit(EXIT_SANDBOX);
        }
    }
    if (sandbox_close_from(FD_FIRST_FREE) != 0) {
        _exit(EXIT_SANDBOX);
    }
}

/* Until the first frame comes. A supervisor that has no use for the worker, or is gone, closes the pipe instead. */
static void wait_for_work(void)
{
    struct pollfd work = {FD_CONTROL_IN, POLLIN, 0};
    while (poll(&work, 1, -1) < 0 && errno == EINTR) {
    }
    if ((work.revents & POLLIN) == 0) {
        _exit(EXIT_RESTORED);
    }
}

static void run_child(const struct launch *launch)
{
    setpgid(0, 0);
    prctl(PR_SET_NAME, "restore-spare");
    prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    place_descriptors(launch);
    wait_for_work();
    char *const arguments[] = {(char *)launch->name, NULL};
    char *const environment[] = {NULL};
    execve(launch->path, arguments, environment);
    _exit(EXIT_SANDBOX);
}

/* The file of the worker's secret, for it alone to read, or -1 where it has none. */
static int open_secret(const struct run *run, enum secret secret)
{
    const char *path = secret == SECRET_AGE_IDENTITY     ? run->options.age_identity_file
                       : secret == SECRET_AGE_PASSPHRASE ? run->options.age_passphrase_file
                                                         : NULL;
    return path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
}

static int data_descriptor(const struct run *run, enum data_pipe pipe, int end, int null)
{
    return pipe == PIPE_NONE ? null : run->pipes[pipe][end];
}

static void choose_descriptors(const struct run *run, const struct process_rule *rule, int null, struct launch *launch)
{
    launch->descriptors[FD_NULL_IN] = null;
    launch->descriptors[FD_NULL_OUT] = null;
    launch->descriptors[FD_DATA_IN] = data_descriptor(run, rule->data_in, 0, null);
    launch->descriptors[FD_DATA_OUT] = data_descriptor(run, rule->data_out, 1, null);
    snprintf(launch->path, sizeof launch->path, "%s/%s", run->directory, rule->executable);
}

/* One process that waits to become a worker. */
static int prepare_spare(struct run *run, const struct process_rule *rule, bool first, struct spare *spare)
{
    int down[2], up[2], log[2];
    cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    cleanup_close int secret = open_secret(run, rule->secret);
    if (null < 0 || pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0 || pipe2(log, O_CLOEXEC) != 0) {
        return run_fail(run, EXIT_INTERNAL, "Cannot prepare %s: %s", rule->name, strerror(errno));
    }
    fcntl(log[1], F_SETFL, O_NONBLOCK);
    struct launch launch = {.name = rule->executable};
    choose_descriptors(run, rule, null, &launch);
    launch.descriptors[FD_SECRET] = secret < 0 ? null : secret;
    launch.descriptors[FD_LOG] = log[1];
    launch.descriptors[FD_CONTROL_IN] = down[0];
    launch.descriptors[FD_CONTROL_OUT] = up[1];
    if (!first && rule->relays_stager) {
        launch.descriptors[FD_DATA_IN] = null; /* it undoes: what the failed pass left in the pipe is not for it */
    }
    pid_t pid = fork();
    if (pid == 0) {
        options_wipe_secrets(&run->options);
        audit_forget_key();
        run_child(&launch);
    }
    close(down[0]);
    close(up[1]);
    close(log[1]);
    int handle = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0U);
    if (handle < 0) {
        return run_fail(run, EXIT_INTERNAL, "Cannot prepare %s: %s", rule->name, strerror(errno));
    }
    *spare = (struct spare){pid, handle, up[0], down[1], log[0]};
    fcntl(up[0], F_SETFL, O_NONBLOCK);
    fcntl(down[1], F_SETFL, O_NONBLOCK);
    fcntl(log[0], F_SETFL, O_NONBLOCK);
    return 0;
}

int prepare_workers(struct run *run)
{
    for (int i = 0; i < PROCESS_COUNT; i++) {
        run->workers[i].log = -1;
        for (unsigned start = 0; start < process_table[i].starts; start++) {
            if (prepare_spare(run, &process_table[i], start == 0, &run->workers[i].spares[start]) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

int spawn_worker(struct run *run, enum process process)
{
    const struct process_rule *rule = &process_table[process];
    struct worker *worker = &run->workers[process];
    if (worker->started == rule->starts || worker->spares[worker->started].pid == 0) {
        return run_fail(run, EXIT_INTERNAL, "Cannot start %s: no process is left for it", rule->name);
    }
    struct spare *spare = &worker->spares[worker->started++];
    worker->process = process;
    worker->pid = spare->pid;
    worker->handle = spare->handle;
    worker->log = spare->log;
    worker->log_size = 0;
    worker->layers = 0;
    worker->heard = 0;
    worker->logged = 0;
    channel_init(&worker->channel, spare->in, spare->out, PARTY_SUPERVISOR, rule->party);
    if (rule->relays_stager) {
        channel_relay(&worker->channel, PARTY_SUPERVISOR, PARTY_STAGER);
    }
    *spare = (struct spare){0};
    return 0;
}

static void kill_and_reap(pid_t pid, int handle)
{
    syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0U);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

void end_worker(struct run *run, enum process process)
{
    struct worker *worker = &run->workers[process];
    if (worker->pid > 0) {
        kill_and_reap(worker->pid, worker->handle);
        worker->pid = 0;
    }
    if (worker->log >= 0) {
        close(worker->log);
        close(worker->handle);
        close(worker->channel.in);
        close(worker->channel.out);
        worker->log = -1;
    }
}

void end_all_workers(struct run *run)
{
    for (int i = 0; i < PROCESS_COUNT; i++) {
        end_worker(run, (enum process)i);
    }
}

void end_spares(struct run *run)
{
    for (int i = 0; i < PROCESS_COUNT; i++) {
        for (unsigned start = 0; start < process_table[i].starts; start++) {
            const struct spare *spare = &run->workers[i].spares[start];
            if (spare->pid > 0) {
                kill_and_reap(spare->pid, spare->handle);
            }
        }
    }
}

/* "Uid:", "Gid:": real, effective, saved and file system's; 1 where all are the same. */
static bool same_ids(const char *line, const char *name, unsigned *id)
{
    unsigned others[3];
    size_t size = strlen(name);
    return strncmp(line, name, size) == 0 &&
           sscanf(line + size, "%u %u %u %u", id, &others[0], &others[1], &others[2]) == 4 && *id == others[0] &&
           *id == others[1] && *id == others[2];
}

static bool read_capabilities(const char *line, const char *name, uint64_t *capabilities)
{
    unsigned long long bits;
    size_t size = strlen(name);
    bool read = strncmp(line, name, size) == 0 && sscanf(line + size, "%llx", &bits) == 1;
    *capabilities = read ? bits : *capabilities;
    return read;
}

/* What /proc/PID/status says: each line that is as it has to be is one of `found`. */
enum { FOUND_NO_NEW_PRIVILEGES = 1, FOUND_FILTER = 2, FOUND_USER = 4, FOUND_GROUP = 8, FOUND_CAPABILITIES = 16 };

static unsigned read_status(FILE *status, struct identity *identity)
{
    unsigned found = 0;
    uint64_t permitted = UINT64_MAX;
    char line[256];
    while (fgets(line, sizeof line, status) != NULL) {
        found |= strcmp(line, "NoNewPrivs:\t1\n") == 0 ? FOUND_NO_NEW_PRIVILEGES : 0;
        found |= strcmp(line, "Seccomp:\t2\n") == 0 ? FOUND_FILTER : 0;
        found |= same_ids(line, "Uid:\t", &identity->user) ? FOUND_USER : 0;
        found |= same_ids(line, "Gid:\t", &identity->group) ? FOUND_GROUP : 0;
        read_capabilities(line, "CapPrm:\t", &permitted);
        found |= read_capabilities(line, "CapEff:\t", &identity->capabilities) ? FOUND_CAPABILITIES : 0;
    }
    return permitted == identity->capabilities ? found : found & ~(unsigned)FOUND_CAPABILITIES;
}

int check_confinement(struct run *run, struct worker *worker)
{
    const struct process_rule *rule = &process_table[worker->process];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)worker->pid);
    cleanup_fclose FILE *status = fopen(path, "re");
    if (status == NULL) {
        return run_fail(run, EXIT_SANDBOX, "Cannot check the sandbox of %s: %s", rule->name, strerror(errno));
    }
    const unsigned confined = FOUND_NO_NEW_PRIVILEGES | FOUND_FILTER;
    const unsigned settled = FOUND_USER | FOUND_GROUP | FOUND_CAPABILITIES;
    unsigned found = read_status(status, &worker->identity);
    if ((found & confined) != confined) {
        return run_fail(run, EXIT_SANDBOX, "%s says it is ready, but /proc shows no filter on it", rule->name);
    }
    bool says_own = (worker->layers & LAYER_OWN_USER) != 0;
    if ((found & settled) != settled || (says_own && worker->identity.user != rule->user)) {
        return run_fail(run, EXIT_SANDBOX, "%s says it is ready, but /proc shows another user or capabilities",
                        rule->name);
    }
    return 0;
}
