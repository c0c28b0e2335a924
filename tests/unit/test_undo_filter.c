/* The lines that are taken out of pg_dumpall's output, whatever pieces it comes in, and what only looks like them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/docker_agent/undo_filter.h"

struct output {
    char text[8192];
    size_t size;
};

static int keep(void *context, const uint8_t *data, size_t size)
{
    struct output *output = context;
    assert_true(size < sizeof output->text - output->size);
    memcpy(output->text + output->size, data, size);
    output->size += size;
    output->text[output->size] = '\0';
    return 0;
}

static int filter_in_pieces(const char *role, const char *dump, size_t piece, struct output *output)
{
    *output = (struct output){0};
    struct undo_filter filter = {.sink = keep, .context = output};
    assert_int_equal(undo_filter_add(&filter, role), 0);
    for (size_t at = 0, size = strlen(dump); at < size; at += piece) {
        size_t part = size - at < piece ? size - at : piece;
        assert_int_equal(undo_filter_feed(&filter, (const uint8_t *)dump + at, part), 0);
    }
    return undo_filter_end(&filter);
}

static void assert_filtered(const char *role, const char *dump, const char *wanted)
{
    struct output output;
    for (size_t piece = 1; piece <= strlen(dump); piece++) {
        assert_int_equal(filter_in_pieces(role, dump, piece, &output), 0);
        assert_string_equal(output.text, wanted);
    }
}

static void the_role_is_neither_dropped_nor_created(void **state)
{
    (void)state;
    assert_filtered("admin",
                    "SET a = 1;\nDROP ROLE IF EXISTS \"admin\";\nDROP ROLE IF EXISTS \"b\";\nCREATE ROLE \"admin\";\n"
                    "ALTER ROLE \"admin\" SUPERUSER;\nCREATE ROLE \"b\";\nend",
                    "SET a = 1;\nDROP ROLE IF EXISTS \"b\";\nALTER ROLE \"admin\" SUPERUSER;\nCREATE ROLE \"b\";\nend");
    assert_filtered("o\"dd", "DROP ROLE IF EXISTS \"o\"\"dd\";\nCREATE ROLE \"o\"\"dd\";\n", "");
}

static void what_is_quoted_stays(void **state)
{
    (void)state;
    static const char head[] = "DROP ROLE IF EXISTS \"a\";\n";
    static const char quoted[] = "COMMENT ON ROLE \"0\" IS 'it''s\nCREATE ROLE \"a\";\n';\n"
                                 "CREATE ROLE \"x'\ny\";\n-- it's a \"comment\n";
    char dump[512], wanted[512];
    stpcpy(stpcpy(stpcpy(dump, head), quoted), "CREATE ROLE \"a\";\nrest\n");
    stpcpy(stpcpy(wanted, quoted), "rest\n");
    assert_filtered("a", dump, wanted);
}

static void data_behind_the_roles_stays(void **state)
{
    (void)state;
    assert_filtered("a",
                    "DROP ROLE IF EXISTS \"a\";\nCREATE ROLE \"a\";\nCOPY t FROM stdin;\nCREATE ROLE \"a\";\n\\.\n",
                    "COPY t FROM stdin;\nCREATE ROLE \"a\";\n\\.\n");
}

static void long_lines_pass(void **state)
{
    (void)state;
    char dump[4096] = "", wanted[4096];
    memset(dump, 'x', 3000);
    strcpy(wanted, dump);
    strcat(wanted, "\n");
    strcat(dump, "\nDROP ROLE IF EXISTS \"a\";\nCREATE ROLE \"a\";\n");
    struct output output;
    for (size_t piece = 1; piece < 3100; piece += 511) {
        assert_int_equal(filter_in_pieces("a", dump, piece, &output), 0);
        assert_string_equal(output.text, wanted);
    }
}

static void a_dump_without_the_role_is_none(void **state)
{
    (void)state;
    struct output output;
    assert_int_equal(filter_in_pieces("a", "DROP ROLE IF EXISTS \"a\";\n", 7, &output), -1);
    assert_int_equal(filter_in_pieces("a", "CREATE ROLE \"a\";\n", 7, &output), -1);
    char name[2 * UNDO_FILTER_LINE];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct undo_filter filter = {0};
    assert_int_equal(undo_filter_add(&filter, name), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_role_is_neither_dropped_nor_created),
        cmocka_unit_test(what_is_quoted_stays),
        cmocka_unit_test(data_behind_the_roles_stays),
        cmocka_unit_test(long_lines_pass),
        cmocka_unit_test(a_dump_without_the_role_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
