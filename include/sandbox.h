/*
 * Lock-down of a process, in this order: rlimits, user and capabilities, MDWE, DUMPABLE and PDEATHSIG (both of which a
 * change of user takes back), no_new_privs, Landlock, seccomp last. Policies are data (policies/NAME.def); there is no
 * build option that turns it off.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messages.h"

/* Layers in force, as bits; reported in `ready`. */
enum sandbox_layer {
    LAYER_SECCOMP = 1 << 0,
    LAYER_LANDLOCK = 1 << 1,
    LAYER_NO_NEW_PRIVS = 1 << 2,
    LAYER_MDWE = 1 << 3,
    LAYER_NOT_DUMPABLE = 1 << 4,
    LAYER_OWN_USER = 1 << 5,     /* a user of its own, that of include/identities.h */
    LAYER_CAPABILITIES = 1 << 6, /* none but those that its plan names */
};

enum policy_comparison { COMPARE_NONE, COMPARE_EQUAL, COMPARE_MASKED };

/* One argument of a syscall that a rule limits. MASKED: (argument & mask) == value. */
struct policy_argument {
    enum policy_comparison comparison;
    unsigned index;
    uint64_t mask;
    uint64_t value;
};

/* One line of a policy. Lines for the same syscall are alternatives. */
struct policy_rule {
    const char *syscall;
    struct policy_argument arguments[3];
    const char *reason;
};

struct policy {
    const char *name;
    const struct policy_rule *rules;
    size_t rule_count;
};

extern const struct policy policy_supervisor;
extern const struct policy policy_fetcher;
extern const struct policy policy_fetcher_file;
extern const struct policy policy_unpacker;
extern const struct policy policy_docker_agent;
extern const struct policy policy_stager;
extern const struct policy policy_stretcher;

/* A directory that Landlock leaves open; everything else is closed. access: LANDLOCK_ACCESS_FS_* bits. */
struct sandbox_path {
    const char *path;
    uint64_t access;
};

struct sandbox_plan {
    const struct policy *policy;
    const struct sandbox_path *paths;
    size_t path_count;
    uint64_t file_size_limit;  /* RLIMIT_FSIZE; RLIM_INFINITY for the stager */
    uint64_t descriptor_limit; /* RLIMIT_NOFILE */
    bool may_fork;             /* false: RLIMIT_NPROC 0 as well */
    bool connects_by_tcp;      /* true: Landlock leaves TCP to the filter */
    bool ends_others;          /* true: Landlock lets signals out */
    bool outlives_parent;      /* no PDEATHSIG: it was started by people, who may go */
    unsigned user;             /* to become, with `group` alone; 0: stay as we are */
    unsigned group;
    uint64_t capabilities; /* bits 1 << CAP_* that are kept where they are held */
};

/* A policy as the kernel gets it: BPF instructions. */
#define FILTER_BYTES_MAX 8192
struct filter {
    size_t size;
    _Alignas(8) unsigned char bytes[FILTER_BYTES_MAX];
};

struct sandbox_report {
    unsigned layers;      /* bits of enum sandbox_layer */
    char missing[256];    /* names of layers that the kernel lacks, comma-separated */
    char error[256];      /* why the lock-down failed */
    struct filter filter; /* that was loaded */
};

/* Returns 0, or -1 with report->error set: then the process must end with EXIT_SANDBOX. */
int sandbox_lock(const struct sandbox_plan *plan, struct sandbox_report *report);

/* The filter that sandbox_lock loads for a policy. Returns 0, or -1. */
int sandbox_filter(const struct policy *policy, struct filter *filter);

/* The same as a field of `ready`. */
static inline struct text filter_text(const struct sandbox_report *report)
{
    return (struct text){(const char *)report->filter.bytes, report->filter.size};
}

/* Close every descriptor from `first` on. */
int sandbox_close_from(unsigned first);

#endif
