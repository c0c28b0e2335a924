/*
 * restore-docker-agent: the one process that speaks with the Docker Engine.
 *
 * Holds:       the Engine's socket by its path; database credentials for moments, read from containers and wiped.
 * Reads:       typed verbs of the supervisor; the Engine's answers (HTTP by libcurl, JSON by cJSON, both bounded);
 * bytes of the unpacker, of which only the frames' headers are looked at; frames and log lines of the stager, relayed;
 * output of database clients. Never has:   S3 credentials, TCP or any socket but AF_UNIX, the archive's structure,
 * files. Compromised: the Engine's socket, which is the host. So its verbs are closed, containers are those that it
 * listed under the project's label itself and checks again before each use, and it takes no path, URL or body from
 * anyone.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "descriptors.h"
#include "exit_codes.h"
#include "identities.h"
#include "identity.h"
#include "io.h"
#include "log.h"
#include "relay.h"
#include "run_objects.h"
#include "sandbox.h"
#include "verbs.h"

#define STAGER_TAR "restore-stager.tar"
#define STAGER_TAR_MAX (32 * 1024 * 1024)
#define HEAP_RESERVE (256 * 1024 * 1024)
#define DESCRIPTORS_MAX 4096 /* one connection for each action on a container that runs at the same time */

static struct agent agent;

static int violated(const char *where)
{
    log_error("%s: %s", where, agent.channel.violation == NULL ? "the channel is broken" : agent.channel.violation);
    return EXIT_WORKER;
}

/* The image to import lies beside our executable. A missing one shows when it is needed. */
static int read_stager_tar(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof STAGER_TAR);
    if (length < 0) {
        return 0;
    }
    path[length] = '\0';
    char *base = strrchr(path, '/');
    memcpy(base == NULL ? path : base + 1, STAGER_TAR, sizeof STAGER_TAR);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size > STAGER_TAR_MAX) {
        log_warning("%s cannot be read", path);
        return 0;
    }
    agent.stager_tar = malloc((size_t)status.st_size + 1);
    if (agent.stager_tar == NULL || read_full(fd, agent.stager_tar, (size_t)status.st_size) != status.st_size) {
        return -1;
    }
    agent.stager_tar_size = (size_t)status.st_size;
    return 0;
}

static int configure(void)
{
    struct frame frame;
    struct msg_agent_config config;
    if (channel_receive(&agent.channel, &frame) != IPC_OK ||
        channel_decode(&agent.channel, &frame, MESSAGE_agent_config, &config) != IPC_OK) {
        return -1;
    }
    if (!is_plain_name(config.project.data, 128) || config.socket.data[0] != '/' || config.timeout == 0) {
        agent.channel.violation = "a configuration without project, socket path or timeout";
        return -1;
    }
    agent.timeout = (unsigned)config.timeout;
    snprintf(agent.project, sizeof agent.project, "%s", config.project.data);
    snprintf(agent.self, sizeof agent.self, "%s", config.self.data);
    snprintf(agent.stager_image, sizeof agent.stager_image, "%s", config.stager_image.data);
    return engine_init(&agent.engine, config.socket.data, agent.timeout);
}

/*
 * The heap is grown once and never shrinks nor maps: the policy has no call for memory. Untouched pages cost nothing.
 * What answers of the Engine can take of it is bounded (engine_api.c).
 */
static int reserve_heap(void)
{
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    void *volatile reserve = malloc(HEAP_RESERVE); /* volatile: else the compiler leaves both calls out */
    int result = reserve == NULL ? -1 : 0;
    free(reserve);
    return result;
}

/*
 * Its own user, with the socket's group where that is what allows connecting: each connection asks anew. A socket that
 * neither of them may use leaves us as we are, and that is said.
 */
static void choose_identity(struct sandbox_plan *plan)
{
    const char *path = agent.engine.socket_path;
    struct stat status;
    if (identity_may_change(AGENT_USER) && stat(path, &status) == 0) {
        const unsigned groups[] = {AGENT_USER, status.st_gid};
        for (size_t i = 0; i < 2; i++) {
            if (identity_could_write(AGENT_USER, groups[i], path)) {
                plan->user = AGENT_USER;
                plan->group = groups[i];
                return;
            }
        }
        log_info("stays user %u: %s is closed to others and to its group", getuid(), path);
    }
    plan->capabilities = identity_writes_bare(path) ? 0 : 1ULL << CAP_DAC_OVERRIDE;
}

static int lock_down(struct sandbox_report *report)
{
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    uint64_t most = files.rlim_max < DESCRIPTORS_MAX ? files.rlim_max : DESCRIPTORS_MAX;
    struct sandbox_plan plan = {
        .policy = &policy_docker_agent, .file_size_limit = 0, .descriptor_limit = most, .may_fork = false};
    choose_identity(&plan);
    if (sandbox_lock(&plan, report) != 0) {
        log_error("sandbox: %s", report->error);
        return -1;
    }
    return 0;
}

static int serve(void)
{
    for (;;) {
        enum relay_event event = relay_turn(&agent);
        if (event == RELAY_BROKEN) {
            return violated("relay");
        }
        if (event == RELAY_AGAIN) {
            continue;
        }
        struct frame frame;
        enum ipc_result result = channel_receive(&agent.channel, &frame);
        if (result == IPC_AGAIN) {
            continue;
        }
        if (result == IPC_EOF) {
            return EXIT_RESTORED;
        }
        if (result != IPC_OK || verb_handle(&agent, &frame) != 0) {
            return violated("control");
        }
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_CTYPE, "C.UTF-8");
    if (reserve_heap() != 0 || sandbox_close_from(FD_FIRST_FREE) != 0) {
        log_error("sandbox: the heap or the descriptors cannot be prepared");
        _exit(EXIT_SANDBOX);
    }
    channel_init(&agent.channel, FD_CONTROL_IN, FD_CONTROL_OUT, PARTY_AGENT, PARTY_SUPERVISOR);
    if (configure() != 0 || read_stager_tar() != 0) {
        _exit(violated("configuration"));
    }
    fcntl(FD_CONTROL_IN, F_SETFL, O_NONBLOCK);
    fcntl(FD_DATA_IN, F_SETFL, O_NONBLOCK);
    struct sandbox_report report;
    if (lock_down(&report) != 0) {
        _exit(EXIT_SANDBOX);
    }
    if (SEND(&agent.channel, ready, .layers = report.layers, .missing = text_of(report.missing),
             .filter = filter_text(&report)) != IPC_OK) {
        _exit(violated("ready"));
    }
    _exit(serve());
}
