/* The phases as a table, and what follows their end: a summary, or the way back. */
#include "phases.h"

#include <string.h>

#include "audit.h"
#include "monitor.h"
#include "output.h"
#include "recovery.h"
#include "run_times.h"
#include "spawn.h"

#define IN(mode) (1U << (mode))
#define RESTORES (IN(MODE_LATEST) | IN(MODE_SPECIFIC))
#define CHECKS (IN(MODE_VERIFY) | IN(MODE_PLAN))

/* The numbers follow the order of the run: verified before anything is stopped, the specification's 4 before its 3. */
static const struct phase {
    const char *name;
    int (*function)(struct run *);
    unsigned modes;
} phases[PHASE_COUNT] = {
    {"Validation", phase_validation, RESTORES | IN(MODE_LIST) | CHECKS | IN(MODE_RECOVER)},
    {"Backup Discovery", phase_discovery, RESTORES | IN(MODE_LIST) | CHECKS},
    {"Backup Download & Extraction", phase_download, RESTORES | CHECKS},
    {"Stack Shutdown", phase_shutdown, RESTORES},
    {"Volume Restoration", phase_volumes, RESTORES},
    {"Database Restoration", phase_databases, RESTORES},
    {"Stack Restart", phase_restart, RESTORES},
};

static int run_table(struct run *run, enum restore_mode mode)
{
    for (unsigned i = 0; i < PHASE_COUNT; i++) {
        if ((phases[i].modes & IN(mode)) == 0) {
            continue;
        }
        AUDIT("phase", AUDIT_NUMBER("number", i + 1), AUDIT_TEXT("name", phases[i].name));
        if (mode != MODE_LIST) {
            say("Phase %u: %s", i + 1, phases[i].name);
        }
        double start = monotonic_seconds();
        int result = phases[i].function(run);
        run->phase_seconds[i] = monotonic_seconds() - start;
        if (result != 0) {
            return -1;
        }
    }
    return 0;
}

static void show_streams(const struct run *run)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        const struct stream *stream = &run->plan.streams[i];
        if (!stream->seen) {
            continue;
        }
        if (is_database(stream->kind)) {
            say("  %-10s %-30s %9u databases %10s", database_engine(stream->kind), stream->service,
                stream->databases.count, human_bytes(stream->bytes));
            continue;
        }
        char name[600];
        snprintf(name, sizeof name, "%s/%s", stream->service, stream->name);
        say("  %-10s %-30s %9llu entries   %10s", "Volume", name, (unsigned long long)stream->entries,
            human_bytes(stream->bytes));
    }
}

static void show_summary(const struct run *run)
{
    say("Summary:");
    for (unsigned i = 0; i < PHASE_COUNT; i++) {
        if (run->phase_seconds[i] > 0) {
            say("  Phase %u: %-30s %8.1f s", i + 1, phases[i].name, run->phase_seconds[i]);
        }
    }
    show_streams(run);
    const struct run_times times = run_times(run);
    if (times.ran_again) {
        say("  Downtime: %.1f s of %.1f s", times.downtime, times.took);
    }
}

/* An earlier run could not be ended: what is wrong was said; what to do about it is said here. */
static void show_unended(const struct run *run)
{
    const char *project = target_project(&run->options);
    say_error("Run %s is not ended, and its data is kept. Mend what is named above, then run again with "
              "RESTORE_MODE=recover",
              run->unended);
    say_error("To give it up instead, with what is in the volume now: docker rm -f restore-%s-%s-1; docker volume rm "
              "restore-%s-%s; then remove the folders .restore-%s from the volumes",
              project, run->unended, project, run->unended, run->unended);
}

/* What the user has to know about the data after a failure. */
static void show_consequence(const struct run *run, bool undone)
{
    if (run->unended[0] != '\0') {
        show_unended(run);
    } else if (run->marks.concluded) {
        say_error("The data of the backup is restored; what failed came after it. The old data is gone");
        if (!undone) {
            say_error("Run again with RESTORE_MODE=recover to start what ran and to clear away the rest");
        }
    } else if (!undone) {
        say_error("Run again with RESTORE_MODE=recover to bring back the former data before anything else");
    } else if (run->marks.stopping) {
        say("Data and containers are as they were before");
    } else if (run->marks.locked) {
        say("Nothing was changed; the stack was not stopped");
    }
}

static int end_in_failure(struct run *run)
{
    output_progress("");
    say_error("%s", run->failure.message);
    audit_failure(run);
    bool keep = run->options.on_failure != 0 && run->marks.stopping && run->caught == 0;
    if (keep) {
        end_all_workers(run);
        say_error("Everything is left as it is (ON_FAILURE=keep). RESTORE_MODE=recover undoes it");
        return run->failure.code;
    }
    bool undone = unwind_run(run) == 0;
    show_consequence(run, undone);
    return undone ? run->failure.code : EXIT_RECOVERY;
}

/* verify, plan and recover end without the last phase: what the run has in the Engine goes the way of a failed run's.
 */
static int end_early(struct run *run, enum restore_mode mode)
{
    if (unwind_run(run) != 0) {
        return EXIT_RECOVERY;
    }
    if (mode == MODE_VERIFY) {
        show_summary(run);
        say("The backup is sound and fits this stack; nothing was changed");
    }
    return output_warnings() > 0 ? EXIT_WARNINGS : EXIT_RESTORED;
}

/* BACKUP_FILE wins over latest, specific and list. */
static enum restore_mode effective_mode(const struct options *options)
{
    enum restore_mode mode = (enum restore_mode)options->mode;
    return options->backup_file != NULL && mode == MODE_LIST ? MODE_SPECIFIC : mode;
}

int run_phases(struct run *run)
{
    enum restore_mode mode = effective_mode(&run->options);
    run->started_at = monotonic_seconds();
    if (run_table(run, mode) != 0) {
        return end_in_failure(run);
    }
    if (mode == MODE_RECOVER || (IN(mode) & CHECKS) != 0) {
        return end_early(run, mode);
    }
    end_all_workers(run);
    if (mode == MODE_LIST) {
        return EXIT_RESTORED;
    }
    show_summary(run);
    if (output_warnings() > 0) {
        say("Restore completed with %u warnings", output_warnings());
        return EXIT_WARNINGS;
    }
    say("Restore completed successfully");
    return EXIT_RESTORED;
}
