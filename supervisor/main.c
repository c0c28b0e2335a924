/*
 * restore: the supervisor.
 *
 * Holds:            the plan of the run; S3 credentials until the bucket was listed.
 * Reads:            its environment; frames from workers, all of which are distrusted.
 * Must never have:  sockets, HTTP, bytes of an archive.
 * A compromise yields the run.
 *
 * Start reading at proctable.c, ../include/messages.def, options.def and ../policies; phases.c is the order of a run.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "audit_report.h"
#include "audit_verify.h"
#include "cleanup.h"
#include "confinement.h"
#include "metrics.h"
#include "monitor.h"
#include "options.h"
#include "output.h"
#include "phases.h"
#include "run.h"
#include "spawn.h"

int run_fail(struct run *run, int code, const char *format, ...)
{
    if (!run->failure.set) {
        run->failure.set = true;
        run->failure.code = code;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(run->failure.message, sizeof run->failure.message, format, arguments);
        va_end(arguments);
    }
    return -1;
}

double monotonic_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_help(void)
{
    output_result("restore %s: restores a Docker Compose stack from a backup in S3\n\n"
                  "Usage: restore [--help | --version]\n"
                  "       restore audit verify FILE [--head HASH]\n"
                  "       restore audit report FILE\n\n"
                  "Everything is set by environment variables:\n",
                  RESTORE_VERSION);
    options_help(stdout);
    output_result("\nExit codes:\n");
    for (int code = 0; code <= EXIT_WORKER; code++) {
        output_result("  %-6d %s\n", code, exit_code_meaning(code));
    }
    output_result("  %-6s ended by signal n\n", "128+n");
}

/* The version, and for each policy the SHA-256 of its filter. */
static int print_version(void)
{
    struct policy_hash hashes[POLICY_COUNT];
    output_result("restore %s\n", RESTORE_VERSION);
    if (hash_policies(hashes) != 0) {
        say_error("The filters cannot be built");
        return EXIT_SANDBOX;
    }
    for (size_t i = 0; i < POLICY_COUNT; i++) {
        output_result("policy %-13s sha256:%s\n", hashes[i].policy->name, hashes[i].sha256);
    }
    return EXIT_RESTORED;
}

/* YYYYMMDDHHMMSS and eight random hexadecimal digits. */
static int make_run_id(struct run *run)
{
    uint32_t random;
    time_t now = time(NULL);
    struct tm utc;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random || gmtime_r(&now, &utc) == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Cannot make an identifier for the run: %s", strerror(errno));
    }
    size_t used = strftime(run->id, sizeof run->id, "%Y%m%d%H%M%S", &utc);
    snprintf(run->id + used, sizeof run->id - used, "-%08x", random);
    return 0;
}

/* Our own container's id, from the mounts that the Engine makes for every container; empty outside of one. */
static void find_own_container(struct run *run)
{
    cleanup_fclose FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    while (mounts != NULL && fgets(line, sizeof line, mounts) != NULL) {
        const char *at = strstr(line, "/containers/");
        const char *file = at == NULL ? NULL : strchr(at + 12, '/');
        if (file != NULL && file - (at + 12) == 64 && strstr(line, " /etc/hostname ") != NULL) {
            memcpy(run->self, at + 12, 64);
            run->self[64] = '\0';
            return;
        }
    }
}

/* The workers lie beside the supervisor, or in ../libexec/restore; never on PATH. */
static int find_directory(struct run *run)
{
    static char directory[4096];
    ssize_t size = readlink("/proc/self/exe", directory, sizeof directory - 64);
    if (size <= 0) {
        return run_fail(run, EXIT_INTERNAL, "Cannot find my own executable: %s", strerror(errno));
    }
    directory[size] = '\0';
    char *name = strrchr(directory, '/');
    strcpy(name, "/restore-fetcher");
    if (access(directory, X_OK) != 0) {
        strcpy(name, "/../libexec/restore/restore-fetcher");
    }
    if (access(directory, X_OK) != 0) {
        return run_fail(run, EXIT_INTERNAL,
                        "The workers (restore-fetcher, ...) are neither beside %.*s nor in ../libexec",
                        (int)(name - directory), directory);
    }
    *strrchr(directory, '/') = '\0';
    run->directory = directory;
    return 0;
}

static int parse_options(struct run *run)
{
    char error[600];
    int result = options_parse(&run->options, error, sizeof error);
    output_init(&(struct output_settings){run->options.log_format == LOG_JSON, run->options.log_level != 0});
    return result == 0 ? 0 : run_fail(run, EXIT_USAGE, "%s", error);
}

static int prepare(struct run *run)
{
    prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL); /* the environment holds secrets until they are handed over */
    prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL);
    bool understood = parse_options(run) == 0; /* if not, the record has the reason */
    if (make_run_id(run) != 0 || find_directory(run) != 0) {
        return -1;
    }
    find_own_container(run);
    if (hash_policies(run->policies) != 0) {
        return run_fail(run, EXIT_SANDBOX, "The filters of system calls cannot be built");
    }
    if (metrics_open(run) != 0 || audit_begin(run) != 0 || !understood || check_options(run) != 0 ||
        monitor_init(run) != 0) {
        return -1;
    }
    if (create_data_pipes(run) != 0 || prepare_workers(run) != 0 || confine_supervisor(run) != 0) {
        end_spares(run);
        return -1;
    }
    return 0;
}

/* restore audit ...: needs no other settings, starts no worker. */
static int audit_command(int count, char **arguments)
{
    bool with_head = count == 6 && strcmp(arguments[4], "--head") == 0;
    if (count >= 4 && strcmp(arguments[2], "verify") == 0 && (count == 4 || with_head)) {
        return audit_verify_command(arguments[3], with_head ? arguments[5] : NULL);
    }
    if (count == 4 && strcmp(arguments[2], "report") == 0) {
        return audit_report_command(arguments[3]);
    }
    say_error("Usage: restore audit verify FILE [--head HASH], or restore audit report FILE");
    return EXIT_USAGE;
}

static int check_arguments(int count, char **arguments)
{
    if (count == 1) {
        return -1;
    }
    if (count == 2 && (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0)) {
        print_help();
        return EXIT_RESTORED;
    }
    if (count == 2 && strcmp(arguments[1], "--version") == 0) {
        return print_version();
    }
    if (strcmp(arguments[1], "audit") == 0) {
        return audit_command(count, arguments);
    }
    say_error("Unknown argument '%s'. Everything is set by environment variables: restore --help", arguments[1]);
    return EXIT_USAGE;
}

int main(int count, char **arguments)
{
    static struct run run;
    setlocale(LC_CTYPE, "C.UTF-8");
    int code = check_arguments(count, arguments);
    if (code >= 0) {
        return code;
    }
    if (prepare(&run) != 0) {
        say_error("%s", run.failure.message);
        audit_failure(&run);
        return metrics_write(&run, audit_end(&run, run.failure.code));
    }
    code = metrics_write(&run, audit_end(&run, run_phases(&run)));
    end_spares(&run);
    fflush(stdout);
    _exit(code); /* the libraries' exit handlers would make calls that the policy lacks */
}
