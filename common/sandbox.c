/* Lock-down of a worker: each step ends in 0 or in an error that ends the process. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1UL
#endif
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#define LANDLOCK_ACCESS_FS_BASE ((1ULL << 13) - 1) /* ABI 1 */

#define ALLOW(name, why) {#name, {{COMPARE_NONE, 0, 0, 0}}, why},
#define ALLOW_IF(name, index, value, why) {#name, {{COMPARE_EQUAL, index, 0, value}}, why},
#define ALLOW_IF2(name, index1, value1, index2, value2, why)                                                           \
    {#name, {{COMPARE_EQUAL, index1, 0, value1}, {COMPARE_EQUAL, index2, 0, value2}}, why},
#define ALLOW_MASKED(name, index, mask, value, why) {#name, {{COMPARE_MASKED, index, mask, value}}, why},

#include "policy_tables.h"

static int fail(struct sandbox_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct sandbox_report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report->error, sizeof report->error, format, arguments);
    va_end(arguments);
    return -1;
}

static void note_missing(struct sandbox_report *report, const char *layer)
{
    size_t used = strlen(report->missing);
    snprintf(report->missing + used, sizeof report->missing - used, "%s%s", used == 0 ? "" : ",", layer);
}

int sandbox_close_from(unsigned first)
{
    return (int)syscall(SYS_close_range, first, ~0U, 0);
}

static int limit(int resource, uint64_t value, const char *name, struct sandbox_report *report)
{
    struct rlimit limits = {value, value};
    if (setrlimit((__rlimit_resource_t)resource, &limits) != 0) {
        return fail(report, "setrlimit %s: %s", name, strerror(errno));
    }
    return 0;
}

static int set_limits(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    if (limit(RLIMIT_CORE, 0, "CORE", report) != 0 ||
        limit(RLIMIT_FSIZE, plan->file_size_limit, "FSIZE", report) != 0 ||
        limit(RLIMIT_NOFILE, plan->descriptor_limit, "NOFILE", report) != 0) {
        return -1;
    }
    return plan->may_fork ? 0 : limit(RLIMIT_NPROC, 0, "NPROC", report);
}

static int set_process_flags(struct sandbox_report *report)
{
    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0UL, 0UL, 0UL) == 0) {
        report->layers |= LAYER_MDWE;
    } else {
        note_missing(report, "mdwe");
    }
    if (prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) != 0) {
        return fail(report, "PR_SET_DUMPABLE: %s", strerror(errno));
    }
    report->layers |= LAYER_NOT_DUMPABLE;
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL) != 0) {
        return fail(report, "PR_SET_PDEATHSIG: %s", strerror(errno));
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0) {
        return fail(report, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
    }
    report->layers |= LAYER_NO_NEW_PRIVS;
    return 0;
}

/* Everything that this kernel's Landlock can take away from file access. */
static uint64_t landlock_rights(int abi)
{
    uint64_t rights = LANDLOCK_ACCESS_FS_BASE;
    rights |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    rights |= abi >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
    rights |= abi >= 5 ? 1ULL << 15 : 0; /* LANDLOCK_ACCESS_FS_IOCTL_DEV */
    return rights;
}

static int open_path(int ruleset, const struct sandbox_path *path, uint64_t handled, struct sandbox_report *report)
{
    cleanup_close int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return fail(report, "landlock: open %s: %s", path->path, strerror(errno));
    }
    struct landlock_path_beneath_attr beneath = {.allowed_access = path->access & handled, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0) {
        return fail(report, "landlock: allow %s: %s", path->path, strerror(errno));
    }
    return 0;
}

static int set_landlock(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        note_missing(report, "landlock");
        return 0;
    }
    /* handled_access_net (ABI 4) lies behind handled_access_fs; Debian 12's header does not know it */
    struct {
        uint64_t handled_access_fs;
        uint64_t handled_access_net;
    } attributes = {landlock_rights(abi), 0};
    cleanup_close int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attributes, abi >= 4 ? sizeof attributes : sizeof(uint64_t), 0);
    if (ruleset < 0) {
        return fail(report, "landlock: %s", strerror(errno));
    }
    for (size_t i = 0; i < plan->path_count; i++) {
        if (open_path(ruleset, &plan->paths[i], attributes.handled_access_fs, report) != 0) {
            return -1;
        }
    }
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        return fail(report, "landlock_restrict_self: %s", strerror(errno));
    }
    report->layers |= LAYER_LANDLOCK;
    return 0;
}

/*
 * What the filter forbids is not carried out and raises SIGSYS. The handler tells the supervisor the number, in one
 * write; the handler is gone by then (SA_RESETHAND), so that the forbidden call it ends with kills the process.
 * Policies without rt_sigaction, which is all of them, leave no way to put another handler there.
 */
static void report_forbidden(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    log_line(LOG_LEVEL_SYSCALL, "%d", info->si_syscall);
    for (;;) {
        syscall(SYS_kexec_load, 0, 0, NULL, 0);
    }
}

static int set_handler(struct sandbox_report *report)
{
    struct sigaction action = {.sa_sigaction = report_forbidden,
                               .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_NODEFER)};
    if (sigaction(SIGSYS, &action, NULL) != 0) {
        return fail(report, "sigaction: %s", strerror(errno));
    }
    return 0;
}

static struct scmp_arg_cmp comparison_of(const struct policy_argument *argument)
{
    if (argument->comparison == COMPARE_MASKED) {
        return SCMP_CMP64(argument->index, SCMP_CMP_MASKED_EQ, argument->mask, argument->value);
    }
    return SCMP_CMP64(argument->index, SCMP_CMP_EQ, argument->value);
}

static int add_rule(scmp_filter_ctx filter, const struct policy_rule *rule, struct sandbox_report *report)
{
    int number = seccomp_syscall_resolve_name(rule->syscall);
    if (number < 0) {
        return fail(report, "seccomp: no syscall %s on this architecture", rule->syscall);
    }
    struct scmp_arg_cmp comparisons[3];
    unsigned count = 0;
    for (size_t i = 0; i < 3 && rule->arguments[i].comparison != COMPARE_NONE; i++) {
        comparisons[count++] = comparison_of(&rule->arguments[i]);
    }
    int result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, comparisons);
    if (result != 0) {
        return fail(report, "seccomp: rule for %s: %s", rule->syscall, strerror(-result));
    }
    return 0;
}

static int set_seccomp(const struct policy *policy, struct sandbox_report *report)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    if (filter == NULL || set_handler(report) != 0) {
        return fail(report, "seccomp: no memory");
    }
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; i < policy->rule_count && result == 0; i++) {
        result = add_rule(filter, &policy->rules[i], report);
    }
    if (result == 0) {
        result = seccomp_load(filter);
        if (result != 0) {
            fail(report, "seccomp: load: %s", strerror(-result));
        }
    }
    seccomp_release(filter); /* frees heap alone: no syscall that the policy lacks */
    if (result != 0) {
        return -1;
    }
    report->layers |= LAYER_SECCOMP;
    return 0;
}

int sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    *report = (struct sandbox_report){0};
    if (set_limits(plan, report) != 0 || set_process_flags(report) != 0 || set_landlock(plan, report) != 0) {
        return -1;
    }
    return set_seccomp(plan->policy, report);
}
