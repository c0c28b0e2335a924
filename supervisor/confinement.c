/* The supervisor's own lock-down, and what is known of the workers'. */
#include "confinement.h"

#include <linux/capability.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "audit.h"
#include "cleanup.h"
#include "descriptors.h"
#include "identity.h"
#include "output.h"
#include "sandbox.h"
#include "workers.h"

#define DESCRIPTORS 256

/* The folders where the report, the metrics and the audit log's head get their names at the end; their files are open
 * already. */
static size_t add_evidence(const struct options *options, struct sandbox_path paths[3])
{
    const uint64_t renaming = LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    size_t count = 0;
    if (options->audit_sign_key_file != NULL) {
        paths[count++] = (struct sandbox_path){"/proc/self/fd/41", renaming};
    }
    if (options->report_file != NULL) {
        paths[count++] = (struct sandbox_path){"/proc/self/fd/44", renaming};
    }
    if (options->metrics_file != NULL) {
        paths[count++] = (struct sandbox_path){"/proc/self/fd/46", renaming};
    }
    _Static_assert(FD_AUDIT_DIRECTORY == 41 && FD_REPORT_DIRECTORY == 44 && FD_METRICS_DIRECTORY == 46,
                   "the numbers above");
    return count;
}

/* What libraries load or set up at their first use, for which there is no system call later. */
static int warm_up(struct run *run)
{
    char sha256[SHA256_HEX_SIZE];
    if (sha256_hex("", 0, sha256) != 0 || audit_warm_up() != 0) {
        return run_fail(run, EXIT_INTERNAL, "libcrypto cannot be set up");
    }
    return 0;
}

int confine_supervisor(struct run *run)
{
    struct sandbox_path paths[4] = {{"/proc", LANDLOCK_ACCESS_FS_READ_FILE}};
    struct sandbox_report report;
    run->user = getuid();
    run->own_users = true;
    for (int i = 0; i < PROCESS_COUNT; i++) {
        run->own_users = run->own_users && identity_may_change(process_table[i].user);
    }
    const struct sandbox_plan plan = {
        .policy = &policy_supervisor,
        .paths = paths,
        .path_count = 1 + add_evidence(&run->options, &paths[1]),
        .file_size_limit = RLIM_INFINITY, /* the log may be a file */
        .descriptor_limit = DESCRIPTORS,
        .ends_others = true,
        .outlives_parent = true,
        .capabilities = run->own_users ? 1ULL << CAP_KILL : 0, /* to end workers that are other users */
    };
    if (warm_up(run) != 0) {
        return -1;
    }
    if (sandbox_lock(&plan, &report) != 0) {
        return run_fail(run, EXIT_SANDBOX, "The supervisor could not be confined: %s", report.error);
    }
    run->layers = report.layers;
    return check_layers(
        run, &(struct confined){"supervisor", &policy_supervisor, report.layers, report.missing, filter_text(&report)});
}

void say_identity(const struct run *run)
{
    char line[256];
    size_t used = 0;
    for (int i = 0; i < PROCESS_COUNT && run->own_users; i++) {
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%s %u", i == 0 ? "" : ", ", process_table[i].name,
                                 process_table[i].user);
    }
    if (run->own_users) {
        say("Each worker is a user of its own: %s", line);
        return;
    }
    say("All workers are user %u: without CAP_SETUID, CAP_SETGID and CAP_KILL they get none of their own", run->user);
}

int hash_policies(struct policy_hash hashes[POLICY_COUNT])
{
    static const struct policy *const policies[POLICY_COUNT] = {
        &policy_supervisor,   &policy_fetcher, &policy_fetcher_file, &policy_unpacker,
        &policy_docker_agent, &policy_stager,  &policy_stretcher};
    for (size_t i = 0; i < POLICY_COUNT; i++) {
        struct filter filter;
        hashes[i].policy = policies[i];
        if (sandbox_filter(policies[i], &filter) != 0 || sha256_hex(filter.bytes, filter.size, hashes[i].sha256) != 0) {
            return -1;
        }
    }
    return 0;
}
