/*
 * Linked into a test build of the supervisor only (-Wl,--wrap=channel_send,...): counts the frames
 * of the protocol by direction and name, and at one of them kills a process of the run. Workers and policies are the
 * shipped ones; this supervisor alone has no sandbox, which would not let it do so.
 *
 * KILL_TRACE=FILE: a line for each frame, "DIRECTION MESSAGE OCCURRENCE VICTIM,..." with the processes that live.
 *
 * KILL_POINT="DIRECTION MESSAGE OCCURRENCE VICTIM MICROSECONDS": after that frame and the wait, SIGKILL.
 * DIRECTION: send, receive, or lose: received, but kept from the supervisor, as if the worker had died with the deed
 * done and before its answer. VICTIM: supervisor, fetcher, unpacker, agent, stager, stretcher, all, or orphan: all but
 * the stager, which is stopped (SIGSTOP), as if its verb took long; hold: nobody, the supervisor stops itself until
 * SIGCONT, for faults that a test makes by hand. KILL_LOG=FILE gets a line when that has happened.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ipc.h"
#include "sandbox.h"

enum victim {
    VICTIM_SUPERVISOR,
    VICTIM_FETCHER,
    VICTIM_UNPACKER,
    VICTIM_AGENT,
    VICTIM_STAGER,
    VICTIM_STRETCHER,
    VICTIM_COUNT
};

/* Names as /proc/PID/comm cuts them, and as KILL_POINT has them. */
static const char *const commands[VICTIM_COUNT] = {"restore",         "restore-fetcher", "restore-unpacke",
                                                   "restore-docker-", "restore-stager",  "restore-stretch"};
static const char *const names[VICTIM_COUNT] = {"supervisor", "fetcher", "unpacker", "agent", "stager", "stretcher"};

struct point {
    char direction[16];
    char message[64];
    unsigned occurrence;
    char victim[16];
    unsigned delay;
};

enum ipc_result __real_channel_send(struct channel *channel, enum message_type type, const void *message);
enum ipc_result __real_channel_receive(struct channel *channel, struct frame *frame);
enum ipc_result __wrap_channel_send(struct channel *channel, enum message_type type, const void *message);
enum ipc_result __wrap_channel_receive(struct channel *channel, struct frame *frame);

int __wrap_sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report);

int __wrap_sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    *report = (struct sandbox_report){.layers = LAYER_SECCOMP};
    return sandbox_filter(plan->policy, &report->filter); /* what it would be */
}

static bool read_proc(long pid, const char *file, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", pid, file);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = 0;
    while (fd >= 0 && used < size - 1 && (got = read(fd, out + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    out[used] = '\0';
    return used > 0;
}

/* The stager of this project, whatever else runs on the machine: the run's volume is mounted in it. */
static bool is_our_stager(long pid)
{
    static char mounts[256 * 1024];
    char volume[256];
    snprintf(volume, sizeof volume, "/restore-%s-", getenv("PROJECT_NAME"));
    return read_proc(pid, "mountinfo", mounts, sizeof mounts) && strstr(mounts, volume) != NULL;
}

static bool is_our_child(long pid)
{
    char status[4096];
    long parent = 0;
    const char *line = read_proc(pid, "status", status, sizeof status) ? strstr(status, "\nPPid:") : NULL;
    return line != NULL && sscanf(line, "\nPPid:%ld", &parent) == 1 && parent == (long)getpid();
}

/* Which of the run's processes this is, or VICTIM_COUNT. */
static enum victim victim_of(long pid)
{
    char command[32];
    if (pid <= 0 || !read_proc(pid, "comm", command, sizeof command)) {
        return VICTIM_COUNT;
    }
    command[strcspn(command, "\n")] = '\0';
    for (enum victim victim = VICTIM_FETCHER; victim < VICTIM_COUNT; victim++) {
        if (strcmp(command, commands[victim]) == 0) {
            bool ours = victim == VICTIM_STAGER ? is_our_stager(pid) : is_our_child(pid);
            return ours ? victim : VICTIM_COUNT;
        }
    }
    return VICTIM_COUNT;
}

/* Sends what `wanted` chooses (NULL: none) its signal and marks in `alive` what was there. */
static void visit(const int *wanted, bool alive[VICTIM_COUNT])
{
    memset(alive, 0, VICTIM_COUNT * sizeof *alive);
    alive[VICTIM_SUPERVISOR] = true;
    DIR *list = opendir("/proc");
    struct dirent *entry;
    while (list != NULL && (entry = readdir(list)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);
        enum victim victim = victim_of(pid);
        if (victim == VICTIM_COUNT) {
            continue;
        }
        alive[victim] = true;
        if (wanted != NULL && wanted[victim] != 0) {
            kill((pid_t)pid, wanted[victim]);
        }
    }
    if (list != NULL) {
        closedir(list);
    }
}

static void append_line(const char *variable, const char *direction, const char *message, unsigned occurrence,
                        const bool alive[VICTIM_COUNT])
{
    const char *path = getenv(variable);
    cleanup_fclose FILE *file = path == NULL ? NULL : fopen(path, "ae");
    if (file == NULL) {
        return;
    }
    fprintf(file, "%s %s %u ", direction, message, occurrence);
    for (enum victim victim = 0; victim < VICTIM_COUNT; victim++) {
        if (alive[victim]) {
            fprintf(file, "%s%s", victim == 0 ? "" : ",", names[victim]);
        }
    }
    fprintf(file, "\n");
}

static void strike(const struct point *point)
{
    bool all = strcmp(point->victim, "all") == 0;
    bool orphan = strcmp(point->victim, "orphan") == 0;
    int wanted[VICTIM_COUNT];
    bool alive[VICTIM_COUNT];
    for (enum victim victim = 0; victim < VICTIM_COUNT; victim++) {
        wanted[victim] = all || orphan || strcmp(point->victim, names[victim]) == 0 ? SIGKILL : 0;
    }
    wanted[VICTIM_STAGER] = orphan ? SIGSTOP : wanted[VICTIM_STAGER];
    usleep(point->delay);
    /* Its file is written first: nothing of us is left to do so afterwards. */
    visit(NULL, alive);
    append_line("KILL_LOG", point->direction, point->message, point->occurrence, alive);
    if (strcmp(point->victim, "hold") == 0) {
        raise(SIGSTOP);
        return;
    }
    visit(wanted, alive);
    if (wanted[VICTIM_SUPERVISOR] != 0) {
        kill(getpid(), SIGKILL);
    }
}

static unsigned count_frame(const char *direction, unsigned type)
{
    static unsigned sent[MESSAGE_COUNT];
    static unsigned received[MESSAGE_COUNT];
    return ++(strcmp(direction, "send") == 0 ? sent : received)[type];
}

/* Whether the frame is lost. */
static bool at_frame(const char *direction, unsigned type)
{
    const char *name = message_rule(type)->name;
    unsigned occurrence = count_frame(direction, type);
    struct point point;
    bool alive[VICTIM_COUNT];
    if (getenv("KILL_TRACE") != NULL) {
        visit(NULL, alive);
        append_line("KILL_TRACE", direction, name, occurrence, alive);
    }
    const char *wanted = getenv("KILL_POINT");
    if (wanted == NULL || sscanf(wanted, "%15s %63s %u %15s %u", point.direction, point.message, &point.occurrence,
                                 point.victim, &point.delay) != 5) {
        return false;
    }
    bool lost = strcmp(point.direction, "lose") == 0 && strcmp(direction, "receive") == 0;
    bool here = (lost || strcmp(point.direction, direction) == 0) && strcmp(point.message, name) == 0 &&
                point.occurrence == occurrence;
    if (here) {
        strike(&point);
    }
    return here && lost;
}

enum ipc_result __wrap_channel_send(struct channel *channel, enum message_type type, const void *message)
{
    enum ipc_result result = __real_channel_send(channel, type, message);
    if (result == IPC_OK) {
        at_frame("send", type);
    }
    return result;
}

enum ipc_result __wrap_channel_receive(struct channel *channel, struct frame *frame)
{
    enum ipc_result result = __real_channel_receive(channel, frame);
    return result == IPC_OK && at_frame("receive", frame->type) ? IPC_AGAIN : result;
}
