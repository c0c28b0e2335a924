/* Starts workers up to the point where they are confined and ready. */
#include "workers.h"

#include <string.h>

#include "audit.h"
#include "output.h"
#include "sandbox.h"
#include "spawn.h"

#define READY_SECONDS 10
#define WINDOW_LOG_MAX 27 /* 128 MiB, what zstd itself writes at most without --long=28 and more */
#define ENTRIES_MAX 50000000
#define BYTES_MAX (1ULL << 50)

static const char *expected_filter(const struct run *run, const struct policy *policy)
{
    size_t i = 0;
    while (run->policies[i].policy != policy) {
        i++;
    }
    return run->policies[i].sha256;
}

int check_layers(struct run *run, const struct confined *said)
{
    const char *name = said->name;
    const char *missing = said->missing;
    char filter[SHA256_HEX_SIZE];
    if (sha256_hex(said->filter.data, said->filter.size, filter) != 0) {
        return run_fail(run, EXIT_INTERNAL, "The filter of %s cannot be hashed", name);
    }
    audit_worker(said, filter);
    if ((said->layers & LAYER_SECCOMP) == 0) {
        return run_fail(run, EXIT_SANDBOX, "%s runs without a seccomp filter", name);
    }
    if (strcmp(filter, expected_filter(run, said->policy)) != 0) {
        return run_fail(run, EXIT_SANDBOX,
                        "%s runs under another filter than that of its policy; is it of another build?", name);
    }
    if (missing[0] == '\0') {
        say_debug("%s is confined", name);
        return 0;
    }
    if (strstr(missing, "landlock") != NULL && run->options.sandbox == 0) {
        return run_fail(run, EXIT_SANDBOX,
                        "%s: the kernel lacks %s. SANDBOX=degraded goes on without it (seccomp stays on)", name,
                        missing);
    }
    say("%s is confined; the kernel lacks: %s", name, missing);
    return 0;
}

int worker_ready(struct run *run, enum process process)
{
    struct msg_ready ready;
    return EXPECT(run, ready, READY_SECONDS, &ready) != 0 ? -1 : worker_check(run, process, &ready);
}

/* The kernel's word first, then its own. */
int worker_check(struct run *run, enum process process, const struct msg_ready *ready)
{
    const struct process_rule *rule = &process_table[process];
    bool directory = run->file_store && rule->directory_policy != NULL;
    run->workers[process].layers = (unsigned)ready->layers;
    if (check_confinement(run, &run->workers[process]) != 0) {
        return -1;
    }
    return check_layers(run, &(struct confined){rule->name, directory ? rule->directory_policy : rule->policy,
                                                ready->layers, ready->missing.data, ready->filter});
}

int unpacker_start(struct run *run)
{
    if (spawn_worker(run, PROCESS_UNPACKER) != 0 ||
        TELL(run, PROCESS_UNPACKER, unpacker_config, .window_log_max = WINDOW_LOG_MAX, .max_entries = ENTRIES_MAX,
             .max_bytes = BYTES_MAX, .restore_devices = run->options.devices) != 0) {
        return -1;
    }
    return worker_ready(run, PROCESS_UNPACKER);
}

int agent_start(struct run *run)
{
    const struct options *options = &run->options;
    const char *socket = options->docker_host;
    if (strncmp(socket, "unix://", 7) != 0 || socket[7] != '/') {
        return run_fail(run, EXIT_USAGE, "DOCKER_HOST: '%s' is not unix:///PATH; other transports are not supported",
                        socket);
    }
    if (spawn_worker(run, PROCESS_AGENT) != 0 ||
        TELL(run, PROCESS_AGENT, agent_config, .socket = text_of(socket + 7),
             .project = text_of(target_project(options)), .self = text_of(run->self),
             .stager_image = text_of(options->stager_image == NULL ? "" : options->stager_image),
             .timeout = options->docker_timeout) != 0) {
        return -1;
    }
    return worker_ready(run, PROCESS_AGENT);
}

int stager_open(struct run *run, const char *run_id)
{
    struct msg_stager_opened opened;
    struct msg_stager_ready ready;
    channel_relay(&run->workers[PROCESS_AGENT].channel, PARTY_SUPERVISOR, PARTY_STAGER);
    if (TELL(run, PROCESS_AGENT, open_stager, .run = text_of(run_id)) != 0 ||
        EXPECT(run, stager_opened, ENGINE_PATIENCE(run), &opened) != 0 ||
        TELL(run, PROCESS_AGENT, stager_config, .run = text_of(run_id), .spool_only = 0) != 0 ||
        EXPECT(run, stager_ready, READY_SECONDS, &ready) != 0) {
        return -1;
    }
    return check_layers(run,
                        &(struct confined){"stager", &policy_stager, ready.layers, ready.missing.data, ready.filter});
}

int stager_close(struct run *run)
{
    struct msg_stager_closed closed;
    if (TELL(run, PROCESS_AGENT, close_stager) != 0 || EXPECT(run, stager_closed, ENGINE_PATIENCE(run), &closed) != 0) {
        return -1;
    }
    if (closed.exit_code != 0) {
        return run_fail(run, EXIT_WORKER, "The stager ended with exit code %llu", (unsigned long long)closed.exit_code);
    }
    return 0;
}

static int take_step(struct run *run, enum message_type type, const void *message, struct msg_swapped *swapped)
{
    if (monitor_send(run, PROCESS_AGENT, type, message) != 0) {
        return -1;
    }
    return EXPECT(run, swapped, STEP_PATIENCE, swapped);
}

int stager_step(struct run *run, enum message_type type, const void *message, struct msg_swapped *swapped)
{
    return AUDITED(run, message_rule(type)->name, "the volumes of this run", take_step(run, type, message, swapped));
}
