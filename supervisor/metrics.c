/* METRICS_FILE: what came of the run, as gauges. */
#include "metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "descriptors.h"
#include "output.h"
#include "pending_file.h"
#include "run_times.h"

#define PREFIX "restore_last_run_"

static struct pending_file file = {.fd = -1};

/* Gauges that there is nothing to say of are left out. */
struct gauge {
    const char *name;
    const char *help;
    bool known;
    double value;
};

int metrics_open(struct run *run)
{
    char error[512];
    const char *path = run->options.metrics_file;
    if (path != NULL &&
        pending_open(&file, path, run->id, FD_METRICS, FD_METRICS_DIRECTORY, error, sizeof error) != 0) {
        return run_fail(run, EXIT_USAGE, "METRICS_FILE: %s", error);
    }
    return 0;
}

/* A label's value: backslash, quote and line break are escaped. */
static void write_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\n') {
            fputs("\\n", out);
            continue;
        }
        if (*value == '\\' || *value == '"') {
            fputc('\\', out);
        }
        fputc(*value, out);
    }
    fputc('"', out);
}

static void write_gauge(FILE *out, const struct gauge *gauge, const char *project, const char *mode)
{
    fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s gauge\n" PREFIX "%s{", gauge->name, gauge->help,
            gauge->name, gauge->name);
    write_label(out, "project", project);
    fputc(',', out);
    write_label(out, "mode", mode);
    fprintf(out, "} %.17g\n", gauge->value);
}

static void write_gauges(FILE *out, const struct run *run, int code)
{
    char mode[32];
    const char *project = target_project(&run->options);
    const struct run_times times = run_times(run);
    const struct gauge gauges[] = {
        {"timestamp_seconds", "When the run ended.", true, (double)time(NULL)},
        {"success", "1 where the exit code was 0 or 10.", true, code == EXIT_RESTORED || code == EXIT_WARNINGS},
        {"exit_code", "The run's exit code.", true, code},
        {"warnings", "Warnings of the run.", true, output_warnings()},
        {"duration_seconds", "How long the run took.", true, times.took},
        {"downtime_seconds", "From the stop until the stack ran again.", times.ran_again, times.downtime},
        {"rto_seconds", "From the start of the run until the stack ran again.", times.ran_again, times.rto},
        {"rpo_seconds", "From the backup to the start of the run.", times.has_backup, times.rpo},
        {"backup_timestamp_seconds", "When the backup was made.", times.has_backup, (double)times.made},
        {"downloaded_bytes", "Bytes of the archive that came.", true, (double)run->fetched},
        {"volumes", "Volumes that were restored.", true, run->volumes_restored},
        {"databases", "Database servers that were restored.", true, run->databases_restored},
    };
    options_mode_name(&run->options, mode, sizeof mode);
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        if (gauges[i].known) {
            write_gauge(out, &gauges[i], project == NULL ? "" : project, mode);
        }
    }
}

int metrics_write(const struct run *run, int code)
{
    if (file.fd < 0) {
        return code;
    }
    cleanup_free char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out != NULL) {
        write_gauges(out, run, code);
    }
    if (out != NULL && fclose(out) == 0 && pending_commit(&file, text, size) == 0) {
        return code;
    }
    say_error("METRICS_FILE cannot be written: %s", strerror(errno));
    return code == EXIT_RESTORED ? EXIT_WARNINGS : code;
}
