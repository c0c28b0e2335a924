/* The project's lock: a container that is created and never started; its labels say who holds it. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "cleanup.h"
#include "monitor.h"
#include "output.h"
#include "stack.h"
#include "workers.h"

#define STAGER_END_SECONDS 60 /* it ends by itself when nobody listens any more, after the verb it is in */
#define STAGER_POLL_SECONDS 0.25

enum { LOCK_BROKEN = 1, STAGER_RUNS };

/* Field 22 of /proc/PID/stat, which tells a process from a later one of the same number; 0 where there is none. */
static unsigned long long start_time(long pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    cleanup_fclose FILE *file = fopen(path, "re");
    char line[1024];
    if (file == NULL || fgets(line, sizeof line, file) == NULL) {
        return 0;
    }
    const char *at = strrchr(line, ')');
    unsigned long long value = 0;
    if (at == NULL ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &value) !=
            1) {
        return 0;
    }
    return value;
}

static void read_boot_id(char *out, size_t size)
{
    cleanup_fclose FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL || fgets(out, (int)size, file) == NULL) {
        out[0] = '\0';
    }
    out[strcspn(out, "\n")] = '\0';
}

static void describe_owner(const struct run *run, char *out, size_t size)
{
    if (run->self[0] != '\0') {
        snprintf(out, size, "container:%s", run->self);
        return;
    }
    snprintf(out, size, "process:%ld:%llu", (long)getpid(), start_time((long)getpid()));
}

static int report_holder(struct run *run, const struct msg_lock_held *held)
{
    time_t since = (time_t)held->since;
    struct tm utc;
    char when[40] = "?";
    if (gmtime_r(&since, &utc) != NULL) {
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &utc);
    }
    return run_fail(run, EXIT_LOCKED, "Project '%s' is being restored by run %s (%s) since %s",
                    target_project(&run->options), held->run.data, held->owner.data, when);
}

/*
 * Whether a holder that is a process of this host is gone: another boot, or no process of that number and start time.
 * Containers are judged by the docker-agent, who can see them. A stager that runs may be swapping still.
 */
static bool holder_is_gone(const struct msg_lock_held *held, const char *boot_id)
{
    long pid;
    unsigned long long start;
    if (sscanf(held->owner.data, "process:%ld:%llu", &pid, &start) != 2) {
        return false;
    }
    return strcmp(held->boot_id.data, boot_id) != 0 || start_time(pid) != start;
}

/* One try. LOCK_BROKEN: it was held by a run that is gone. STAGER_RUNS: the same, but its stager has not ended yet. */
static int try_lock(struct run *run, const char *owner, const char *boot_id)
{
    if (TELL(run, PROCESS_AGENT, lock, .run = text_of(run->id), .owner = text_of(owner), .boot_id = text_of(boot_id),
             .since = (uint64_t)time(NULL)) != 0) {
        return -1;
    }
    enum process from;
    struct frame frame;
    if (monitor_next(run, ENGINE_PATIENCE(run), &from, &frame) != 0) {
        return -1;
    }
    if (frame.type == MESSAGE_locked) {
        run->marks.locked = true;
        AUDIT("lock", AUDIT_TEXT("owner", owner));
        return 0;
    }
    struct msg_lock_held held;
    struct msg_removed removed;
    if (frame.type != MESSAGE_lock_held) {
        return monitor_violation(run, from, "another message than those of a lock");
    }
    if (monitor_decode(run, from, &frame, &held) != 0) {
        return -1;
    }
    if (!holder_is_gone(&held, boot_id)) {
        return report_holder(run, &held);
    }
    if (held.stager_runs != 0) {
        report_holder(run, &held);
        return STAGER_RUNS;
    }
    say("The lock of run %s is left over: its process is gone", held.run.data);
    if (TELL(run, PROCESS_AGENT, break_lock, .run = held.run) != 0 ||
        EXPECT(run, removed, ENGINE_PATIENCE(run), &removed) != 0) {
        return -1;
    }
    return LOCK_BROKEN;
}

int take_lock(struct run *run)
{
    char owner[128];
    char boot_id[64];
    describe_owner(run, owner, sizeof owner);
    read_boot_id(boot_id, sizeof boot_id);
    double deadline = monotonic_seconds() + STAGER_END_SECONDS;
    int result = try_lock(run, owner, boot_id);
    while (result == STAGER_RUNS && monotonic_seconds() < deadline) {
        run->failure = (struct failure){0};
        if (monitor_sleep(run, STAGER_POLL_SECONDS) != 0) {
            return -1;
        }
        result = try_lock(run, owner, boot_id);
    }
    if (result == LOCK_BROKEN) {
        result = try_lock(run, owner, boot_id);
    }
    return result == 0 ? 0 : -1;
}
