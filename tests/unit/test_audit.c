/* The audit log: its form, its chain, torn lines, and what finds a change. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/audit_log.h"
#include "supervisor/audit_verify.h"
#include "supervisor/canonical.h"

static void assert_canonical(const char *given, const char *wanted)
{
    cJSON *value = cJSON_Parse(given);
    assert_non_null(value);
    char *text = canonical_json(value);
    assert_string_equal(text, wanted);
    cJSON *again = canonical_parse(text, strlen(text));
    assert_non_null(again);
    cJSON_Delete(again);
    free(text);
    cJSON_Delete(value);
}

static void one_value_has_one_form(void **state)
{
    (void)state;
    assert_canonical("{ \"b\" : [1, 2.50, true, null], \"a\":{} , \"B\": \"x\" }",
                     "{\"B\":\"x\",\"a\":{},\"b\":[1,2.5,true,null]}");
    assert_canonical("\"\\u0001\\b\\t\\n\\f\\r \\\" \\\\ \\u007f \\/\"", "\"\\u0001\\b\\t\\n\\f\\r \\\" \\\\ \x7f /\"");
    assert_canonical("\"\\u00e9 \\ud83d\\ude00\"", "\"\xc3\xa9 \xf0\x9f\x98\x80\"");
    assert_canonical("[0.001, -0, 12.0004, 9007199254740992, 1e3]", "[0.001,0,12,9007199254740992,1000]");
}

static void bytes_that_are_no_utf8_are_named(void **state)
{
    (void)state;
    cJSON *value = cJSON_CreateString("a\xff\xc3(\xed\xa0\x80");
    char *text = canonical_json(value);
    assert_string_equal(text, "\"a\\\\xff\\\\xc3(\\\\xed\\\\xa0\\\\x80\"");
    free(text);
    cJSON_Delete(value);
}

static void other_forms_are_refused(void **state)
{
    (void)state;
    static const char *const others[] = {
        "{\"b\":1,\"a\":2}", "{\"a\":1,\"a\":1}", "{\"a\": 1}", "{\"a\":1.0}", "\"\\u0041\"", "[1]x", "{", "", "1e3",
        "\"\xff\""};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_null(canonical_parse(others[i], strlen(others[i])));
    }
}

struct scene {
    char path[64];
    char *text;
    size_t size;
    struct audit_verdict verdict;
};

static void stamp(cJSON *record, void *context)
{
    cJSON_DeleteItemFromObjectCaseSensitive(record, "run");
    cJSON_AddStringToObject(record, "run", context);
}

static void append(struct audit_log *log, const char *event, const char *run)
{
    char name[64];
    snprintf(name, sizeof name, "%s", run);
    cJSON *record = cJSON_CreateObject();
    cJSON_AddStringToObject(record, "event", event);
    assert_int_equal(audit_log_append(log, record, true, stamp, name), 0);
    cJSON_Delete(record);
}

static void open_log(struct audit_log *log, const char *path)
{
    char error[256] = "";
    assert_int_equal(audit_log_open(log, path, error, sizeof error), 0);
    assert_string_equal(error, "");
}

static void close_log(struct audit_log *log)
{
    close(log->fd);
    free(log->torn);
}

static int make_scene(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    snprintf(scene->path, sizeof scene->path, "/tmp/test_audit.%ld", (long)getpid());
    unlink(scene->path);
    *state = scene;
    return 0;
}

static int end_scene(void **state)
{
    struct scene *scene = *state;
    unlink(scene->path);
    free(scene->text);
    free(scene);
    return 0;
}

static void judge(struct scene *scene, const char *head)
{
    free(scene->text);
    scene->text = audit_read_file(scene->path, &scene->size);
    assert_non_null(scene->text);
    audit_judge(scene->text, scene->size, head, &scene->verdict);
}

static void add_bytes(const struct scene *scene, const char *bytes)
{
    FILE *file = fopen(scene->path, "a");
    assert_non_null(file);
    fputs(bytes, file);
    fclose(file);
}

static void write_runs(const struct scene *scene, const char *first, const char *second)
{
    struct audit_log log;
    for (int i = 0; i < 2; i++) {
        open_log(&log, scene->path);
        append(&log, "begin", i == 0 ? first : second);
        append(&log, "end", i == 0 ? first : second);
        close_log(&log);
    }
}

static void runs_chain_onto_each_other(void **state)
{
    struct scene *scene = *state;
    write_runs(scene, "r1", "r2");
    judge(scene, NULL);
    assert_int_equal(scene->verdict.bad_line, 0);
    assert_int_equal(scene->verdict.lines, 4);
    assert_int_equal(scene->verdict.runs, 2);
    char head[SHA256_HEX_SIZE];
    memcpy(head, scene->verdict.head, sizeof head);
    judge(scene, head);
    assert_int_equal(scene->verdict.head_line, 4);
}

/* `number` counts from 1. */
static char *line_of(struct scene *scene, int number)
{
    char *line = scene->text;
    while (--number > 0) {
        line = strchr(line, '\n') + 1;
    }
    return line;
}

static void changes_are_found_with_their_line(void **state)
{
    struct scene *scene = *state;
    write_runs(scene, "r1", "r2");
    judge(scene, NULL);
    line_of(scene, 2)[strlen("{\"event\":\"")] = 'E';
    audit_judge(scene->text, scene->size, NULL, &scene->verdict);
    assert_int_equal(scene->verdict.bad_line, 2);
    judge(scene, NULL);
    size_t dropped = (size_t)(line_of(scene, 3) - line_of(scene, 2));
    memmove(line_of(scene, 2), line_of(scene, 3), strlen(line_of(scene, 3)) + 1);
    audit_judge(scene->text, scene->size - dropped, NULL, &scene->verdict);
    assert_int_equal(scene->verdict.bad_line, 2);
    judge(scene, NULL);
    audit_judge(line_of(scene, 2), strlen(line_of(scene, 2)), NULL, &scene->verdict);
    assert_int_equal(scene->verdict.bad_line, 1);
    judge(scene, NULL);
    char head[SHA256_HEX_SIZE];
    memcpy(head, scene->verdict.head, sizeof head);
    audit_judge(scene->text, (size_t)(line_of(scene, 4) - scene->text), head, &scene->verdict);
    assert_int_equal(scene->verdict.bad_line, 3);
}

static void a_torn_line_is_kept_and_recorded(void **state)
{
    struct scene *scene = *state;
    struct audit_log log;
    write_runs(scene, "r1", "r2");
    add_bytes(scene, "{\"event\":\"beg");
    judge(scene, NULL);
    assert_int_equal(scene->verdict.bad_line, 5);
    open_log(&log, scene->path);
    assert_int_equal(log.torn_size, 13);
    append(&log, "begin", "r3");
    close_log(&log);
    judge(scene, NULL);
    assert_int_equal(scene->verdict.bad_line, 0);
    assert_int_equal(scene->verdict.torn, 1);
    assert_int_equal(scene->verdict.torn_line, 5);
    assert_int_equal(scene->verdict.lines, 7);
    assert_non_null(strstr(scene->text, "\n{\"event\":\"beg\n"));
    char *torn = strstr(scene->text, "{\"event\":\"beg\n");
    torn[-12] ^= 1; /* the line before it: another run, and a record still */
    audit_judge(scene->text, scene->size, NULL, &scene->verdict);
    assert_in_range(scene->verdict.bad_line, 4, 5);
    torn[-12] ^= 1;
    memcpy(torn, "{\"event\":\"end\n", 14);
    audit_judge(scene->text, scene->size, NULL, &scene->verdict);
    assert_int_equal(scene->verdict.bad_line, 5);
}

/* The record of a torn line was torn as well; and a log that holds nothing else. */
static void torn_twice_and_torn_alone(void **state)
{
    struct scene *scene = *state;
    struct audit_log log;
    add_bytes(scene, "{\"eve\n{\"event\":\"to");
    open_log(&log, scene->path);
    append(&log, "begin", "r1");
    close_log(&log);
    judge(scene, NULL);
    assert_int_equal(scene->verdict.bad_line, 0);
    assert_int_equal(scene->verdict.torn, 2);
    assert_int_equal(scene->verdict.lines, 4);
}

static void a_file_that_is_no_log_is_refused(void **state)
{
    struct scene *scene = *state;
    struct audit_log log;
    char error[256];
    add_bytes(scene, "root:x:0:0\n");
    assert_int_equal(audit_log_open(&log, scene->path, error, sizeof error), -1);
    assert_non_null(strstr(error, "does not end in a record"));
    assert_int_equal(log.fd, -1);
}

static void links_and_devices_are_refused(void **state)
{
    struct scene *scene = *state;
    struct audit_log log;
    char error[256];
    assert_int_equal(symlink("/tmp/elsewhere", scene->path), 0);
    assert_int_equal(audit_log_open(&log, scene->path, error, sizeof error), -1);
    assert_non_null(strstr(error, "symbolic link"));
    assert_int_equal(audit_log_open(&log, "/dev/null", error, sizeof error), -1);
    assert_non_null(strstr(error, "no regular file"));
    assert_int_equal(audit_log_open(&log, "/nowhere/log", error, sizeof error), -1);
}

static void one_run_at_a_time(void **state)
{
    struct scene *scene = *state;
    struct audit_log log, second;
    char error[256];
    open_log(&log, scene->path);
    assert_int_equal(audit_log_open(&second, scene->path, error, sizeof error), 1);
    close_log(&log);
    open_log(&second, scene->path);
    close_log(&second);
}

/* A disk that is full for a while: /dev/full for the writes, then the file again. */
static void a_line_that_cannot_be_written(void **state)
{
    struct scene *scene = *state;
    struct audit_log log;
    open_log(&log, scene->path);
    append(&log, "begin", "r1");
    int file = log.fd;
    log.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cJSON *record = cJSON_CreateObject();
    cJSON_AddStringToObject(record, "event", "note");
    char run[] = "r1";
    assert_int_equal(audit_log_append(&log, record, true, stamp, run), -1);
    assert_int_equal(log.error, ENOSPC);
    close(log.fd);
    log.fd = file;
    assert_int_equal(audit_log_append(&log, record, true, stamp, run), 0);
    cJSON_Delete(record);
    close_log(&log);
    judge(scene, NULL);
    assert_int_equal(scene->verdict.bad_line, 0);
    assert_int_equal(scene->verdict.lines, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_has_one_form),
        cmocka_unit_test(bytes_that_are_no_utf8_are_named),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test_setup_teardown(runs_chain_onto_each_other, make_scene, end_scene),
        cmocka_unit_test_setup_teardown(changes_are_found_with_their_line, make_scene, end_scene),
        cmocka_unit_test_setup_teardown(a_torn_line_is_kept_and_recorded, make_scene, end_scene),
        cmocka_unit_test_setup_teardown(torn_twice_and_torn_alone, make_scene, end_scene),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_log_is_refused, make_scene, end_scene),
        cmocka_unit_test_setup_teardown(links_and_devices_are_refused, make_scene, end_scene),
        cmocka_unit_test_setup_teardown(one_run_at_a_time, make_scene, end_scene),
        cmocka_unit_test_setup_teardown(a_line_that_cannot_be_written, make_scene, end_scene),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
