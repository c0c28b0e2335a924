/* Lock-down of a process: each step ends in 0 or in an error that ends the process. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "identity.h"
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
/* What libseccomp takes for a filter, and more; in blocks that malloc does not map one by one. */
#define FILTER_BLOCKS 16
#define FILTER_BLOCK_BYTES ((size_t)64 * 1024)

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
    struct rlimit limits = {0};
    if (getrlimit((__rlimit_resource_t)resource, &limits) != 0) {
        return fail(report, "getrlimit %s: %s", name, strerror(errno));
    }
    limits.rlim_max = value < limits.rlim_max ? value : limits.rlim_max; /* never more than we were given */
    limits.rlim_cur = limits.rlim_max;
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

static int set_identity(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    int result = plan->user != 0 ? identity_become(plan->user, plan->group, plan->capabilities)
                                 : identity_keep_capabilities(plan->capabilities);
    if (result != 0) {
        return fail(report, "user %u and capabilities %llx: %s", plan->user, (unsigned long long)plan->capabilities,
                    strerror(errno));
    }
    report->layers |= LAYER_CAPABILITIES;
    report->layers |= plan->user != 0 ? LAYER_OWN_USER : 0;
    return 0;
}

static int set_process_flags(const struct sandbox_plan *plan, struct sandbox_report *report)
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
    if (!plan->outlives_parent && prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL) != 0) {
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

/* What is handled and not allowed by a rule is closed; there are no rules for these. */
static uint64_t network_rights(const struct sandbox_plan *plan)
{
    const uint64_t bind = 1ULL << 0, connect = 1ULL << 1; /* LANDLOCK_ACCESS_NET_*_TCP */
    return plan->connects_by_tcp ? bind : bind | connect;
}

/* Abstract unix sockets and signals reach no process outside. */
static uint64_t scopes(const struct sandbox_plan *plan)
{
    const uint64_t abstract_socket = 1ULL << 0, signal = 1ULL << 1; /* LANDLOCK_SCOPE_* */
    return plan->ends_others ? abstract_socket : abstract_socket | signal;
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
    /* Debian 12's header knows the first of these alone */
    struct {
        uint64_t handled_access_fs;
        uint64_t handled_access_net; /* ABI 4 */
        uint64_t scoped;             /* ABI 6 */
    } attributes = {landlock_rights(abi), network_rights(plan), scopes(plan)};
    size_t size = (abi >= 6 ? 3 : abi >= 4 ? 2 : 1) * sizeof(uint64_t);
    cleanup_close int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
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

static bool log_is_for_people; /* the supervisor's is, a worker's goes to the supervisor */

/*
 * What the filter forbids is not carried out and raises SIGSYS. The handler tells the supervisor the number, in one
 * write; the handler is gone by then (SA_RESETHAND), so that the forbidden call it ends with kills the process.
 * Policies without rt_sigaction, which is all of them, leave no way to put another handler there.
 */
static void report_forbidden(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (log_is_for_people) {
        char line[80];
        int size = snprintf(line, sizeof line, "ERROR: its own sandbox refused the system call %d\n", info->si_syscall);
        ssize_t written = write(STDERR_FILENO, line, (size_t)size);
        (void)written;
    } else {
        log_line(LOG_LEVEL_SYSCALL, "%d", info->si_syscall);
    }
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

/*
 * Where an allocation of its own fails, libseccomp 2.5.4 frees twice, or loads a filter that lacks rules: so the memory
 * is on the heap, and stays there, before it begins.
 */
static int reserve_filter_memory(void)
{
    void *volatile blocks[FILTER_BLOCKS] = {NULL}; /* volatile: else the compiler leaves the calls out */
    bool complete = mallopt(M_TRIM_THRESHOLD, INT_MAX) == 1;
    for (size_t i = 0; i < FILTER_BLOCKS; i++) {
        blocks[i] = malloc(FILTER_BLOCK_BYTES);
        complete = complete && blocks[i] != NULL;
    }
    for (size_t i = 0; i < FILTER_BLOCKS; i++) {
        free(blocks[i]);
    }
    return complete ? 0 : -1;
}

static scmp_filter_ctx build_filter(const struct policy *policy, struct sandbox_report *report)
{
    scmp_filter_ctx filter = reserve_filter_memory() != 0 ? NULL : seccomp_init(SCMP_ACT_TRAP);
    if (filter == NULL) {
        fail(report, "seccomp: no memory");
        return NULL;
    }
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; i < policy->rule_count && result == 0; i++) {
        result = add_rule(filter, &policy->rules[i], report);
    }
    if (result != 0) {
        seccomp_release(filter);
        return NULL;
    }
    return filter;
}

/* libseccomp writes its instructions to a descriptor in one piece; a pipe is subject to no limit on files. */
static int export_filter(scmp_filter_ctx made, struct filter *filter, struct sandbox_report *report)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return fail(report, "seccomp: pipe: %s", strerror(errno));
    }
    cleanup_close int out = ends[0];
    cleanup_close int in = ends[1];
    int result = seccomp_export_bpf(made, in);
    if (result != 0) {
        return fail(report, "seccomp: export: %s", strerror(-result));
    }
    ssize_t size = read(out, filter->bytes, sizeof filter->bytes);
    if (size <= 0 || (size_t)size == sizeof filter->bytes || (size_t)size % sizeof(struct sock_filter) != 0) {
        return fail(report, "seccomp: the filter is longer than %d bytes", FILTER_BYTES_MAX);
    }
    filter->size = (size_t)size;
    return 0;
}

static int make_filter(const struct policy *policy, struct filter *filter, struct sandbox_report *report)
{
    scmp_filter_ctx made = build_filter(policy, report);
    if (made == NULL) {
        return -1;
    }
    int result = export_filter(made, filter, report);
    seccomp_release(made);
    return result;
}

int sandbox_filter(const struct policy *policy, struct filter *filter)
{
    struct sandbox_report report = {0};
    return make_filter(policy, filter, &report);
}

/* Loads the very bytes that are reported, so that their hash is that of what is in force. */
static int set_seccomp(struct sandbox_report *report)
{
    struct filter *filter = &report->filter;
    const struct sock_fprog program = {(unsigned short)(filter->size / sizeof(struct sock_filter)),
                                       (struct sock_filter *)(void *)filter->bytes};
    if (set_handler(report) != 0) {
        return -1;
    }
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0UL, &program) != 0) {
        return fail(report, "seccomp: load: %s", strerror(errno));
    }
    report->layers |= LAYER_SECCOMP;
    return 0;
}

static int compare_bytes(const void *left, const void *right)
{
    return *(const char *)left - *(const char *)right;
}

/* glibc's qsort asks for the machine's memory (sysinfo) at its first list of 1 KiB and more, and no policy has that. */
static void warm_sort(void)
{
    char list[2048];
    for (size_t i = 0; i < sizeof list; i++) {
        list[i] = (char)(sizeof list - i);
    }
    qsort(list, sizeof list, 1, compare_bytes);
}

int sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report)
{
    warm_sort();
    *report = (struct sandbox_report){0};
    log_is_for_people = plan->outlives_parent;
    if (make_filter(plan->policy, &report->filter, report) != 0 || set_limits(plan, report) != 0 ||
        set_identity(plan, report) != 0 || set_process_flags(plan, report) != 0 || set_landlock(plan, report) != 0) {
        return -1;
    }
    return set_seccomp(report);
}
