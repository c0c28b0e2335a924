/* Starts workers: fork, fixed low descriptors, everything else closed, an empty environment, exec. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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

int renew_data_pipes(struct run *run)
{
    for (int i = PIPE_NONE + 1; i < PIPE_COUNT; i++) {
        close(run->pipes[i][0]);
        close(run->pipes[i][1]);
    }
    return create_data_pipes(run);
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

static void run_child(const struct launch *launch)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    place_descriptors(launch);
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

static void adopt(struct run *run, enum process process, pid_t pid, const int control[2], int log)
{
    const struct process_rule *rule = &process_table[process];
    struct worker *worker = &run->workers[process];
    worker->process = process;
    worker->pid = pid;
    worker->log = log;
    worker->log_size = 0;
    channel_init(&worker->channel, control[0], control[1], PARTY_SUPERVISOR, rule->party);
    if (rule->relays_stager) {
        channel_relay(&worker->channel, PARTY_SUPERVISOR, PARTY_STAGER);
    }
    fcntl(control[0], F_SETFL, O_NONBLOCK);
    fcntl(control[1], F_SETFL, O_NONBLOCK);
    fcntl(log, F_SETFL, O_NONBLOCK);
}

int spawn_worker(struct run *run, enum process process)
{
    const struct process_rule *rule = &process_table[process];
    int down[2], up[2], log[2];
    cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    cleanup_close int secret = open_secret(run, rule->secret);
    if (null < 0 || pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0 || pipe2(log, O_CLOEXEC) != 0) {
        return run_fail(run, EXIT_INTERNAL, "Cannot prepare %s: %s", rule->name, strerror(errno));
    }
    fcntl(log[1], F_SETFL, O_NONBLOCK);
    struct launch launch = {.name = rule->executable};
    snprintf(launch.path, sizeof launch.path, "%s/%s", run->directory, rule->executable);
    launch.descriptors[FD_SECRET] = secret < 0 ? null : secret;
    launch.descriptors[FD_NULL_OUT] = null;
    launch.descriptors[FD_LOG] = log[1];
    launch.descriptors[FD_CONTROL_IN] = down[0];
    launch.descriptors[FD_CONTROL_OUT] = up[1];
    launch.descriptors[FD_DATA_IN] = data_descriptor(run, rule->data_in, 0, null);
    launch.descriptors[FD_DATA_OUT] = data_descriptor(run, rule->data_out, 1, null);
    pid_t pid = fork();
    if (pid == 0) {
        run_child(&launch);
    }
    close(down[0]);
    close(up[1]);
    close(log[1]);
    if (pid < 0) {
        close(down[1]);
        close(up[0]);
        close(log[0]);
        return run_fail(run, EXIT_INTERNAL, "Cannot start %s: %s", rule->name, strerror(errno));
    }
    adopt(run, process, pid, (const int[]){up[0], down[1]}, log[0]);
    return 0;
}

void end_worker(struct run *run, enum process process)
{
    struct worker *worker = &run->workers[process];
    if (worker->pid > 0) {
        kill(worker->pid, SIGKILL);
        while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        worker->pid = 0;
    }
    if (worker->log >= 0) {
        close(worker->log);
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

int check_confinement(struct run *run, const struct worker *worker)
{
    const char *name = process_table[worker->process].name;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)worker->pid);
    cleanup_fclose FILE *status = fopen(path, "re");
    if (status == NULL) {
        return run_fail(run, EXIT_SANDBOX, "Cannot check the sandbox of %s: %s", name, strerror(errno));
    }
    bool no_new_privileges = false;
    bool filtered = false;
    char line[256];
    while (fgets(line, sizeof line, status) != NULL) {
        no_new_privileges = no_new_privileges || strcmp(line, "NoNewPrivs:\t1\n") == 0;
        filtered = filtered || strcmp(line, "Seccomp:\t2\n") == 0;
    }
    if (!no_new_privileges || !filtered) {
        return run_fail(run, EXIT_SANDBOX, "%s says it is ready, but /proc shows no filter on it", name);
    }
    return 0;
}
