/* Whether the chain of an audit log is whole. */
#include "audit_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_log.h"
#include "canonical.h"
#include "cleanup.h"
#include "exit_codes.h"
#include "io.h"
#include "output.h"

#define TORN_LINES_MAX 64

struct line {
    const char *text;
    size_t size;
};

/* Where the reading is: the line in hand, and the hash of the one before. */
struct reader {
    struct line *lines;
    uint64_t count;
    char prev[SHA256_HEX_SIZE];
    const char *head;
    struct audit_verdict *verdict;
};

static int bad(struct audit_verdict *verdict, uint64_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int bad(struct audit_verdict *verdict, uint64_t line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict->reason, sizeof verdict->reason, format, arguments);
    va_end(arguments);
    verdict->bad_line = line;
    return -1;
}

static double number_of(const cJSON *record, const char *member)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(record, member);
    return cJSON_IsNumber(number) ? number->valuedouble : -1;
}

/* The `torn` record that covers the lines from `from` on, or 0. Lines are numbered from 1. */
static uint64_t covered_by(const struct reader *reader, uint64_t from)
{
    for (uint64_t at = from + 1; at <= reader->count && at <= from + TORN_LINES_MAX; at++) {
        const struct line *line = &reader->lines[at - 1];
        const struct line *first = &reader->lines[from - 1];
        size_t size = (size_t)(line->text - 1 - first->text);
        char sha256[SHA256_HEX_SIZE];
        cJSON *record = canonical_parse(line->text, line->size);
        bool covers = record != NULL && strcmp(audit_text(record, "event"), "torn") == 0 &&
                      number_of(record, "torn_from") == (double)from && number_of(record, "seq") == (double)at &&
                      strcmp(audit_text(record, "torn_prev"), reader->prev) == 0 &&
                      sha256_hex(first->text, size, sha256) == 0 &&
                      strcmp(audit_text(record, "torn_sha256"), sha256) == 0;
        cJSON_Delete(record);
        if (covers) {
            return at;
        }
    }
    return 0;
}

/* One record against its place: 0, or -1 with the reason. */
static int check_record(struct reader *reader, uint64_t number, const cJSON *record)
{
    uint64_t seq;
    struct audit_verdict *verdict = reader->verdict;
    if (record == NULL || !audit_is_record(record, &seq)) {
        return bad(verdict, number, "it is no record in canonical form: it was changed or inserted");
    }
    if (seq != number) {
        return bad(verdict, number, "it says that it is line %llu: lines were dropped, inserted or reordered here",
                   (unsigned long long)seq);
    }
    if (strcmp(audit_text(record, "prev"), reader->prev) != 0) {
        return bad(verdict, number == 1 ? 1 : number - 1,
                   number == 1 ? "it does not begin the chain"
                               : "it is not the line that the next one was chained to: one of both was changed");
    }
    return 0;
}

static void pass_line(struct reader *reader, uint64_t number)
{
    const struct line *line = &reader->lines[number - 1];
    sha256_hex(line->text, line->size, reader->prev);
    if (reader->head != NULL && strcasecmp(reader->head, reader->prev) == 0) {
        reader->verdict->head_line = number;
    }
}

/* The lines of a text; -1 where it is empty, does not end in a line feed, or memory is out. */
static int split(const char *text, size_t size, struct reader *reader)
{
    for (size_t i = 0; i < size; i++) {
        reader->count += text[i] == '\n' ? 1 : 0;
    }
    reader->lines = calloc(reader->count + 1, sizeof *reader->lines);
    if (reader->lines == NULL) {
        return bad(reader->verdict, 1, "memory is out");
    }
    const char *at = text;
    for (uint64_t i = 0; i < reader->count; i++) {
        const char *end = memchr(at, '\n', size - (size_t)(at - text));
        reader->lines[i] = (struct line){at, (size_t)(end - at)};
        at = end + 1;
    }
    return 0;
}

static int judge_lines(struct reader *reader)
{
    char run[128] = "";
    struct audit_verdict *verdict = reader->verdict;
    for (uint64_t number = 1; number <= reader->count; number++) {
        const struct line *line = &reader->lines[number - 1];
        cJSON *record = canonical_parse(line->text, line->size);
        int result = check_record(reader, number, record);
        bool new_run = result == 0 && strcmp(audit_text(record, "run"), run) != 0;
        if (new_run) {
            verdict->runs++;
            snprintf(run, sizeof run, "%s", audit_text(record, "run"));
        }
        cJSON_Delete(record);
        uint64_t after = result == 0 ? 0 : covered_by(reader, number);
        if (result != 0 && after == 0) {
            return -1;
        }
        if (after != 0) {
            verdict->torn_line = verdict->torn == 0 ? number : verdict->torn_line;
            verdict->torn += after - number;
            verdict->bad_line = 0;
            number = after - 1;
        }
        pass_line(reader, number);
    }
    return 0;
}

void audit_judge(const char *text, size_t size, const char *head, struct audit_verdict *verdict)
{
    struct reader reader = {.prev = AUDIT_PREV_OF_FIRST, .head = head, .verdict = verdict};
    *verdict = (struct audit_verdict){.head = AUDIT_PREV_OF_FIRST};
    if (split(text, size, &reader) == 0 && judge_lines(&reader) == 0 && size > 0 && text[size - 1] != '\n') {
        bad(verdict, reader.count + 1, "it is cut off, and no later line says so");
    }
    if (verdict->bad_line == 0 && reader.count == 0) {
        bad(verdict, 1, "there is no line");
    }
    if (verdict->bad_line == 0 && head != NULL && verdict->head_line == 0) {
        bad(verdict, reader.count,
            "the last line is not the one of that head, nor is any before it: lines were cut off "
            "at the end, or the whole was written anew");
    }
    verdict->lines = reader.count;
    memcpy(verdict->head, reader.prev, sizeof verdict->head);
    free(reader.lines);
}

char *audit_read_file(const char *path, size_t *size)
{
    struct stat status;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) != 0) {
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return NULL;
    }
    char *text = malloc((size_t)status.st_size + 1);
    ssize_t got = text == NULL ? -1 : read_full(fd, text, (size_t)status.st_size);
    if (got < 0) {
        free(text);
        return NULL;
    }
    text[got] = '\0';
    *size = (size_t)got;
    return text;
}

static int show_verdict(const char *path, const char *head, const struct audit_verdict *verdict)
{
    if (verdict->bad_line != 0) {
        say_error("%s: line %llu: %s", path, (unsigned long long)verdict->bad_line, verdict->reason);
        return EXIT_INTEGRITY;
    }
    say("%s: %llu lines of %llu runs, the chain is whole", path, (unsigned long long)verdict->lines,
        (unsigned long long)verdict->runs);
    if (head != NULL && verdict->head_line == verdict->lines) {
        say("The last line is the one of the head");
    } else if (head != NULL) {
        say("The head is that of line %llu; %llu lines were added after it", (unsigned long long)verdict->head_line,
            (unsigned long long)(verdict->lines - verdict->head_line));
    }
    say("Audit head: %s", verdict->head);
    if (verdict->torn > 0) {
        say_warning("%llu lines were cut off while they were written, from line %llu on; the log itself says so",
                    (unsigned long long)verdict->torn, (unsigned long long)verdict->torn_line);
        return EXIT_WARNINGS;
    }
    return EXIT_RESTORED;
}

int audit_verify_command(const char *path, const char *head)
{
    struct audit_verdict verdict;
    size_t size;
    if (head != NULL && (strlen(head) != 64 || strspn(head, "0123456789abcdefABCDEF") != 64)) {
        say_error("--head: '%s' is not a SHA-256 in 64 hexadecimal digits", head);
        return EXIT_USAGE;
    }
    cleanup_free char *text = audit_read_file(path, &size);
    if (text == NULL) {
        say_error("Cannot read '%s': %s", path, strerror(errno));
        return EXIT_USAGE;
    }
    audit_judge(text, size, head, &verdict);
    return show_verdict(path, head, &verdict);
}
