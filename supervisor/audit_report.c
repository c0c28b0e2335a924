/* An audit log, or the summary of a run, as a page that a person can read and print. It loads nothing and runs nothing.
 */
#include "audit_report.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "audit_verify.h"
#include "canonical.h"
#include "cleanup.h"
#include "exit_codes.h"
#include "output.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Audit record of restore</title>\n<style>\n"
    "body{font:15px/1.45 system-ui,sans-serif;color:#1a1a1a;background:#fff;margin:2em auto;max-width:70em;padding:0 "
    "1em}\n"
    "h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #bbb}\n"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25em .6em;"
    "border-bottom:1px solid #ddd;overflow-wrap:anywhere}th{font-weight:600;white-space:nowrap;width:1%}\n"
    "td table{font-size:.93em}td table th,td table td{border:0;padding:.05em .5em .05em 0}\n"
    ".good{background:#e7f4e4;border-left:5px solid #2e7d32;padding:.6em 1em}"
    ".bad{background:#fdecea;border-left:5px solid #c62828;padding:.6em 1em}\n"
    "tr.warning,tr.finding{background:#fff8e1}tr.failure,tr.violation,tr.gap,tr.torn{background:#fdecea}"
    "tr.intent th,tr.intent td{color:#555}\n"
    "@media "
    "print{body{margin:0;max-width:none;font-size:9.5pt}tr{break-inside:avoid}thead{display:table-header-group}}\n"
    "</style>\n</head>\n<body>\n";

static void put_escaped(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t length = utf8_character(at);
        if (length == 0 || *at < 0x20 || *at == 0x7f) {
            fprintf(out, "\\x%02x", *at);
            at++;
            continue;
        }
        switch (*at) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fwrite(at, 1, length, out);
        }
        at += length;
    }
}

/* "plan_sha256" reads as "plan sha256". */
static void put_name(FILE *out, const char *name)
{
    char shown[128];
    snprintf(shown, sizeof shown, "%s", name);
    for (char *at = shown; *at != '\0'; at++) {
        *at = *at == '_' ? ' ' : *at;
    }
    put_escaped(out, shown);
}

static void put_value(FILE *out, const cJSON *value);

static bool is_of_every_record(const char *name)
{
    static const char *const common[] = {"event", "prev", "run", "seq", "time"};
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++) {
        if (strcmp(common[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* `record`: without what its row shows already. */
static void put_object(FILE *out, const cJSON *object, bool record)
{
    const cJSON *item;
    fputs("<table>", out);
    cJSON_ArrayForEach(item, object)
    {
        bool empty = cJSON_IsNull(item) || (cJSON_IsString(item) && item->valuestring[0] == '\0');
        if (empty || (record && is_of_every_record(item->string))) {
            continue;
        }
        fputs("<tr><th>", out);
        put_name(out, item->string);
        fputs("</th><td>", out);
        put_value(out, item);
        fputs("</td></tr>", out);
    }
    fputs("</table>", out);
}

static void put_array(FILE *out, const cJSON *array)
{
    const cJSON *item;
    const char *separator = "";
    cJSON_ArrayForEach(item, array)
    {
        bool nested = cJSON_IsObject(item) || cJSON_IsArray(item);
        fputs(nested ? "" : separator, out);
        put_value(out, item);
        separator = ", ";
    }
}

static void put_value(FILE *out, const cJSON *value)
{
    if (cJSON_IsObject(value)) {
        put_object(out, value, false);
    } else if (cJSON_IsArray(value)) {
        put_array(out, value);
    } else if (cJSON_IsString(value)) {
        put_escaped(out, value->valuestring);
    } else {
        cleanup_free char *text = canonical_json(value);
        fputs(cJSON_IsTrue(value) ? "yes" : cJSON_IsFalse(value) ? "no" : text == NULL ? "?" : text, out);
    }
}

static void put_verdict(FILE *out, const char *text, size_t size)
{
    struct audit_verdict verdict;
    audit_judge(text, size, NULL, &verdict);
    if (verdict.bad_line != 0) {
        fprintf(out, "<p class=\"bad\">The chain is broken at line %llu: ", (unsigned long long)verdict.bad_line);
        put_escaped(out, verdict.reason);
        fputs("</p>\n", out);
        return;
    }
    fprintf(out, "<p class=\"good\">The chain is whole: %llu lines of %llu runs. Its head is %s",
            (unsigned long long)verdict.lines, (unsigned long long)verdict.runs, verdict.head);
    if (verdict.torn > 0) {
        fprintf(out, ". %llu lines were cut off while they were written, from line %llu on",
                (unsigned long long)verdict.torn, (unsigned long long)verdict.torn_line);
    }
    fputs("</p>\n", out);
}

/* The text of a class must be of ours: an event is a word. */
static void put_row(FILE *out, const cJSON *record)
{
    const char *event = audit_text(record, "event");
    uint64_t seq = 0;
    audit_is_record(record, &seq);
    fputs("<tr class=\"", out);
    put_escaped(out, event);
    fprintf(out, "\"><td>%llu</td><td>", (unsigned long long)seq);
    put_escaped(out, audit_text(record, "time"));
    fputs("</td><th>", out);
    put_escaped(out, event);
    fputs("</th><td>", out);
    put_object(out, record, true);
    fputs("</td></tr>\n", out);
}

static void put_line(FILE *out, const char *line, size_t size, char run[128])
{
    cJSON *record = cJSON_ParseWithLength(line, size);
    uint64_t seq;
    if (record == NULL || !audit_is_record(record, &seq)) {
        fprintf(out, "<tr class=\"torn\"><td></td><td></td><th>no record</th><td>%zu bytes</td></tr>\n", size);
        cJSON_Delete(record);
        return;
    }
    if (strcmp(audit_text(record, "run"), run) != 0) {
        snprintf(run, 128, "%s", audit_text(record, "run"));
        fputs("</table>\n<h2>Run ", out);
        put_escaped(out, run);
        fputs("</h2>\n<table><thead><tr><th>line</th><th>time (UTC)</th><th>event</th><th></th></tr></thead>\n", out);
    }
    put_row(out, record);
    cJSON_Delete(record);
}

static void put_log(FILE *out, const char *text, size_t size)
{
    char run[128] = "";
    const char *end = text + size;
    fputs("<h1>Audit record of restore</h1>\n", out);
    put_verdict(out, text, size);
    fputs("<table>\n", out);
    for (const char *at = text; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        put_line(out, at, (size_t)(stop - at), run);
        at = stop + 1;
    }
    fputs("</table>\n", out);
}

static void put_report(FILE *out, const cJSON *report)
{
    const cJSON *end = cJSON_GetObjectItemCaseSensitive(report, "end");
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(end, "exit_code");
    bool good = cJSON_IsNumber(code) && code->valuedouble == 0;
    fputs("<h1>Report of run ", out);
    put_escaped(out, audit_text(report, "run"));
    fprintf(out, "</h1>\n<p class=\"%s\">", good ? "good" : "bad");
    put_escaped(out, audit_text(end, "outcome"));
    fputs("; the data is ", out);
    put_escaped(out, audit_text(end, "data"));
    fputs("</p>\n", out);
    const cJSON *item;
    cJSON_ArrayForEach(item, report)
    {
        fputs("<h2>", out);
        put_name(out, item->string);
        fputs("</h2>\n", out);
        put_value(out, item);
        fputc('\n', out);
    }
}

int audit_page(const char *text, size_t size, FILE *out)
{
    uint64_t seq;
    size_t first = strcspn(text, "\n");
    cJSON *line = cJSON_ParseWithLength(text, first);
    bool log = audit_is_record(line, &seq);
    bool report = !log && cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(line, "end"));
    if (log || report) {
        fputs(head, out);
        log ? put_log(out, text, size) : put_report(out, line);
        fputs("</body>\n</html>\n", out);
    }
    cJSON_Delete(line);
    return log || report ? 0 : -1;
}

int audit_report_command(const char *path)
{
    size_t size;
    cleanup_free char *text = audit_read_file(path, &size);
    if (text == NULL) {
        say_error("Cannot read '%s': %s", path, strerror(errno));
        return EXIT_USAGE;
    }
    if (audit_page(text, size, stdout) != 0) {
        say_error("'%s' is neither an audit log nor a report", path);
        return EXIT_USAGE;
    }
    return fflush(stdout) == 0 ? EXIT_RESTORED : EXIT_INTERNAL;
}
