/* The audit record of a run: writing it, and what follows where it cannot be written. */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit_log.h"
#include "canonical.h"
#include "cleanup.h"
#include "descriptors.h"
#include "minisign.h"
#include "output.h"
#include "pending_file.h"

#define LOCK_SECONDS 10
#define LOCK_POLL_NANOSECONDS 100000000
#define LIST_MAX 10000 /* of one kind in the report */
#define REPORT_FORM 1

static struct {
    struct audit_log log; /* fd -1: none */
    bool chained;
    bool on;
    bool ended;
    bool said;     /* that a line could not be written */
    unsigned lost; /* lines since then */
    bool gap;      /* any at all */
    int cause;     /* errno of the first */
    char run[RUN_ID_SIZE];
    cJSON *report;
    struct pending_file report_file;
    struct pending_file head_file;
    struct pending_file signature_file;
    struct minisign_key *key;
} audit = {.log = {.fd = -1}, .report_file = {.fd = -1}, .head_file = {.fd = -1}, .signature_file = {.fd = -1}};

bool audit_is_on(void)
{
    return audit.on;
}

static void stamp(cJSON *record, void *context)
{
    (void)context;
    struct timespec now;
    struct tm utc = {0};
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + used, sizeof text - used, ".%03ldZ", now.tv_nsec / 1000000);
    cJSON_DeleteItemFromObjectCaseSensitive(record, "time");
    cJSON_DeleteItemFromObjectCaseSensitive(record, "run");
    cJSON_AddStringToObject(record, "time", text);
    cJSON_AddStringToObject(record, "run", audit.run);
}

static cJSON *object_of(const char *event, const struct audit_field *fields)
{
    cJSON *record = cJSON_CreateObject();
    cJSON_AddStringToObject(record, "event", event);
    for (const struct audit_field *field = fields; field->kind != AUDIT_KIND_END; field++) {
        switch (field->kind) {
        case AUDIT_KIND_TEXT:
            cJSON_AddStringToObject(record, field->name, field->text == NULL ? "" : field->text);
            break;
        case AUDIT_KIND_NUMBER:
            cJSON_AddNumberToObject(record, field->name, field->number);
            break;
        case AUDIT_KIND_FLAG:
            cJSON_AddBoolToObject(record, field->name, field->number != 0);
            break;
        default:
            cJSON_AddItemToObject(record, field->name, field->item);
        }
    }
    return record;
}

static bool comes_once(const char *event)
{
    static const char *const once[] = {"begin", "engine", "source", "archive", "plan", "failure", "end"};
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
        if (strcmp(once[i], event) == 0) {
            return true;
        }
    }
    return false;
}

/* Into the report: under its own name, or into the list of its kind. What was intended stands in the log alone. */
static void add_to_report(cJSON *record)
{
    const char *event = audit_text(record, "event");
    char list[64];
    if (audit.report == NULL || strcmp(event, "intent") == 0) {
        cJSON_Delete(record);
        return;
    }
    snprintf(list, sizeof list, "%ss", event);
    cJSON *array = cJSON_GetObjectItemCaseSensitive(audit.report, list);
    if (!comes_once(event) && array == NULL) {
        array = cJSON_AddArrayToObject(audit.report, list);
    }
    cJSON *item = record;
    for (const char *const *drop = (const char *const[]){"event", "run", "seq", "prev", NULL}; *drop != NULL; drop++) {
        cJSON_DeleteItemFromObjectCaseSensitive(item, *drop);
    }
    if (array == NULL) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(strlen(list) - 1), list);
        cJSON_DeleteItemFromObjectCaseSensitive(audit.report, name);
        cJSON_AddItemToObject(audit.report, name, item);
    } else if (cJSON_GetArraySize(array) < LIST_MAX) {
        cJSON_AddItemToArray(array, item);
    } else {
        cJSON_Delete(item);
    }
}

static void note_loss(void)
{
    audit.cause = audit.lost == 0 ? audit.log.error : audit.cause;
    audit.lost++;
    audit.gap = true;
    if (!audit.said) {
        audit.said = true;
        say_error("The audit log cannot be written: %s", strerror(audit.log.error));
    }
}

/* Lines that are missing are told by the first that can be written again. */
static void tell_gap(void)
{
    if (audit.lost == 0) {
        return;
    }
    cJSON *record =
        object_of("gap", (const struct audit_field[]){
                             AUDIT_NUMBER("lines", audit.lost), AUDIT_TEXT("reason", strerror(audit.cause)), {0}});
    if (audit_log_append(&audit.log, record, false, stamp, NULL) == 0) {
        audit.lost = 0;
    }
    add_to_report(record);
}

/* Takes the record over. */
static int append(cJSON *record, bool sync)
{
    int result = 0;
    if (audit.chained) {
        tell_gap();
        result = audit.lost > 0 ? -1 : audit_log_append(&audit.log, record, sync, stamp, NULL);
    } else {
        stamp(record, NULL);
    }
    if (result != 0) {
        note_loss();
    }
    add_to_report(record);
    return result;
}

void audit_event(const char *event, const struct audit_field *fields)
{
    if (audit.on && !audit.ended) {
        append(object_of(event, fields), false);
    } else {
        for (const struct audit_field *field = fields; field->kind != AUDIT_KIND_END; field++) {
            cJSON_Delete(field->item);
        }
    }
}

int audit_intent(struct run *run, const char *action, const char *what)
{
    if (!audit.on) {
        return 0;
    }
    cJSON *record =
        object_of("intent", (const struct audit_field[]){AUDIT_TEXT("action", action), AUDIT_TEXT("what", what), {0}});
    append(record, true);
    if (!audit.gap || run->unwinding || run->marks.concluded) {
        return 0;
    }
    return run_fail(run, audit.cause == ENOSPC || audit.cause == EDQUOT ? EXIT_SPACE : EXIT_INTERNAL,
                    "The audit log cannot be written (%s), so nothing more is done: %s", strerror(audit.cause), action);
}

int audit_result(const struct run *run, const char *action, int result)
{
    AUDIT("result", AUDIT_TEXT("action", action), AUDIT_FLAG("ok", result == 0),
          AUDIT_TEXT("reason", result == 0 ? "" : run->failure.message));
    return result;
}

static void take_warning(const char *text)
{
    AUDIT("warning", AUDIT_TEXT("message", text));
}

/* A log belongs to one run at a time: another one that is just ending is waited for. */
static int open_log(struct run *run, const char *path)
{
    char error[512];
    int result;
    double deadline = monotonic_seconds() + LOCK_SECONDS;
    while ((result = audit_log_open(&audit.log, path, error, sizeof error)) > 0 && monotonic_seconds() < deadline) {
        nanosleep(&(struct timespec){0, LOCK_POLL_NANOSECONDS}, NULL);
    }
    if (result > 0) {
        return run_fail(run, EXIT_LOCKED,
                        "AUDIT_LOG: another run writes '%s'. Give each project a log of its own, or "
                        "run again when that run has ended",
                        path);
    }
    if (result < 0) {
        return run_fail(run, EXIT_USAGE, "%s", error);
    }
    if (dup3(audit.log.fd, FD_AUDIT_LOG, O_CLOEXEC) < 0) {
        return run_fail(run, EXIT_INTERNAL, "AUDIT_LOG: %s", strerror(errno));
    }
    close(audit.log.fd);
    audit.log.fd = FD_AUDIT_LOG;
    audit.chained = true;
    if (audit.log.torn_size > 0) {
        say_warning("AUDIT_LOG: the last line of '%s' is cut off (%zu bytes). It stays as it is, and the next line "
                    "says so",
                    path, audit.log.torn_size);
    }
    return 0;
}

static int open_signature(struct run *run, const char *path)
{
    const struct options *options = &run->options;
    char error[512];
    char head[4096];
    if (options->audit_sign_key_file == NULL) {
        return 0;
    }
    if (path == NULL) {
        return run_fail(run, EXIT_USAGE, "AUDIT_SIGN_KEY_FILE: there is nothing to sign without AUDIT_LOG");
    }
    audit.key = minisign_load(options->audit_sign_key_file, error, sizeof error);
    if (audit.key == NULL) {
        return run_fail(run, EXIT_USAGE, "AUDIT_SIGN_KEY_FILE: %s", error);
    }
    snprintf(head, sizeof head - 16, "%s.head", path);
    if (pending_open(&audit.head_file, head, run->id, FD_AUDIT_HEAD, FD_AUDIT_DIRECTORY, error, sizeof error) != 0) {
        return run_fail(run, EXIT_USAGE, "AUDIT_LOG: %s", error);
    }
    strcat(head, ".minisig");
    if (pending_open(&audit.signature_file, head, run->id, FD_AUDIT_SIGNATURE, FD_AUDIT_DIRECTORY, error,
                     sizeof error) != 0) {
        return run_fail(run, EXIT_USAGE, "AUDIT_LOG: %s", error);
    }
    return 0;
}

static int open_report(struct run *run)
{
    char error[512];
    const char *path = run->options.report_file;
    if (path == NULL) {
        return 0;
    }
    if (pending_open(&audit.report_file, path, run->id, FD_REPORT, FD_REPORT_DIRECTORY, error, sizeof error) != 0) {
        return run_fail(run, EXIT_USAGE, "REPORT_FILE: %s", error);
    }
    audit.report = cJSON_CreateObject();
    cJSON_AddNumberToObject(audit.report, "form", REPORT_FORM);
    cJSON_AddStringToObject(audit.report, "run", run->id);
    return 0;
}

int audit_begin(struct run *run)
{
    const char *path = run->options.audit_log;
    snprintf(audit.run, sizeof audit.run, "%s", run->id);
    if (path == NULL && run->options.report_file == NULL && run->options.audit_sign_key_file == NULL) {
        return 0;
    }
    if (open_report(run) != 0) {
        return -1;
    }
    audit.on = true; /* from here on the report gets what fails */
    output_on_warning(take_warning);
    if ((path != NULL && open_log(run, path) != 0) || open_signature(run, path) != 0) {
        return -1;
    }
    cJSON *facts = audit_begin_facts(run);
    cJSON_AddStringToObject(facts, "event", "begin");
    if (append(facts, true) != 0) {
        return run_fail(run, audit.cause == ENOSPC ? EXIT_SPACE : EXIT_INTERNAL, "AUDIT_LOG: cannot write '%s': %s",
                        path, strerror(audit.cause));
    }
    return 0;
}

int audit_warm_up(void)
{
    if (audit.key == NULL) {
        return 0;
    }
    cleanup_free char *signature = minisign_sign(audit.key, "", "");
    return signature == NULL ? -1 : 0;
}

void audit_forget_key(void)
{
    minisign_free(audit.key);
    audit.key = NULL;
}

/* "HASH SEQ RUN": what is signed. */
static int write_head(void)
{
    char text[256];
    char comment[256];
    snprintf(text, sizeof text, "%s %llu %s\n", audit.log.head, (unsigned long long)audit.log.seq, audit.run);
    snprintf(comment, sizeof comment, "audit head of run %s, line %llu", audit.run, (unsigned long long)audit.log.seq);
    cleanup_free char *signature = minisign_sign(audit.key, text, comment);
    audit_forget_key();
    if (signature == NULL) {
        errno = EINVAL;
        return -1;
    }
    return pending_commit(&audit.head_file, text, strlen(text)) != 0
               ? -1
               : pending_commit(&audit.signature_file, signature, strlen(signature));
}

static int write_report(void)
{
    if (audit.chained) {
        cJSON_AddStringToObject(audit.report, "audit_head", audit.log.head);
        cJSON_AddNumberToObject(audit.report, "audit_line", (double)audit.log.seq);
    }
    cJSON_AddBoolToObject(audit.report, "audit_complete", !audit.gap);
    cleanup_free char *text = canonical_json(audit.report);
    size_t size = text == NULL ? 0 : strlen(text);
    if (text == NULL) {
        errno = ENOMEM;
        return -1;
    }
    text[size] = '\n'; /* over the NUL */
    return pending_commit(&audit.report_file, text, size + 1);
}

/* What was asked for as evidence is missing: a run that changed nothing fails, one that restored warns. */
static int without_evidence(const struct run *run, int code, const char *what, int cause)
{
    say_error("%s: %s", what, strerror(cause));
    if (code != EXIT_RESTORED) {
        return code;
    }
    return run->marks.concluded ? EXIT_WARNINGS : cause == ENOSPC ? EXIT_SPACE : EXIT_INTERNAL;
}

int audit_end(struct run *run, int code)
{
    if (!audit.on) {
        return code;
    }
    audit_outcome(run, code);
    if (audit.chained && fdatasync(audit.log.fd) != 0 && !audit.gap) {
        audit.log.error = errno;
        note_loss();
    }
    audit.ended = true;
    if (audit.gap) {
        code = without_evidence(run, code, "The audit log of this run is not complete", audit.cause);
    }
    if (audit.chained) {
        say("Audit head: %s", audit.log.head);
    }
    if (audit.key != NULL && audit.signature_file.fd >= 0 && write_head() != 0) {
        code = without_evidence(run, code, "The head of the audit log cannot be signed", errno);
    }
    if (audit.report_file.fd >= 0 && write_report() != 0) {
        code = without_evidence(run, code, "REPORT_FILE cannot be written", errno);
    }
    return code;
}
