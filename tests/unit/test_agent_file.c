/* The one regular file in an answer of the archive API: read in pieces of any size, bounded, everything else refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "workers/docker_agent/single_file.h"

#define BLOCK SINGLE_FILE_BLOCK

static void add_header(uint8_t *at, char type, const char *size)
{
    memset(at, 0, BLOCK);
    memcpy(at, "name", 4);
    memcpy(at + 124, size, strlen(size));
    at[156] = (uint8_t)type;
}

/* A pax header, a file of five bytes and the end. */
static size_t build(uint8_t *tar, char type, const char *size)
{
    memset(tar, 0, 8 * BLOCK);
    add_header(tar, 'x', "00000000026");
    memset(tar + BLOCK, 'p', 022);
    add_header(tar + 2 * BLOCK, type, size);
    memcpy(tar + 3 * BLOCK, "hello", 5);
    return 6 * BLOCK;
}

static void a_file_is_read_in_any_pieces(void **state)
{
    (void)state;
    uint8_t tar[8 * BLOCK];
    size_t size = build(tar, '0', "00000000005");
    for (size_t piece = 1; piece <= size; piece += piece < 40 ? 1 : 131) {
        cleanup_single_file struct single_file file = {.limit = 10};
        for (size_t at = 0; at < size; at += piece) {
            assert_int_equal(single_file_feed(&file, tar + at, piece < size - at ? piece : size - at), 0);
        }
        char *data = NULL;
        size_t got = 0;
        assert_int_equal(single_file_take(&file, &data, &got), 0);
        assert_int_equal(got, 5);
        assert_string_equal(data, "hello");
        free(data);
    }
}

static void a_cut_file_is_not_taken(void **state)
{
    (void)state;
    uint8_t tar[8 * BLOCK];
    build(tar, '0', "00000000005");
    for (size_t size = 0; size < 3 * BLOCK + 5; size++) {
        cleanup_single_file struct single_file file = {.limit = 10};
        char *data = NULL;
        size_t got = 0;
        assert_int_equal(single_file_feed(&file, tar, size), 0);
        assert_int_equal(single_file_take(&file, &data, &got), -1);
    }
}

static void an_empty_file_is_a_file(void **state)
{
    (void)state;
    uint8_t tar[8 * BLOCK];
    size_t size = build(tar, '0', "00000000000");
    memset(tar + 3 * BLOCK, 0, BLOCK);
    cleanup_single_file struct single_file file = {.limit = 10};
    char *data = NULL;
    size_t got = 1;
    assert_int_equal(single_file_feed(&file, tar, size), 0);
    assert_int_equal(single_file_take(&file, &data, &got), 0);
    assert_int_equal(got, 0);
    free(data);
}

static void others_are_refused(void **state)
{
    (void)state;
    static const struct {
        char type;
        const char *size;
    } cases[] = {{'5', "00000000000"}, {'2', "00000000000"}, {'1', "00000000000"}, {'0', "00000000013"},
                 {'0', "77777777777"}, {'0', "0000000000x"}, {'0', "\x80"},        {'L', "00000000005"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t tar[8 * BLOCK];
        size_t size = build(tar, cases[i].type, cases[i].size);
        cleanup_single_file struct single_file file = {.limit = 10};
        assert_int_equal(single_file_feed(&file, tar, size), -1);
        assert_non_null(file.refusal);
    }
}

static void two_files_are_refused(void **state)
{
    (void)state;
    uint8_t tar[8 * BLOCK];
    build(tar, '0', "00000000005");
    add_header(tar + 4 * BLOCK, '0', "00000000005");
    cleanup_single_file struct single_file file = {.limit = 10};
    assert_int_equal(single_file_feed(&file, tar, 5 * BLOCK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_in_any_pieces), cmocka_unit_test(a_cut_file_is_not_taken),
        cmocka_unit_test(an_empty_file_is_a_file),      cmocka_unit_test(others_are_refused),
        cmocka_unit_test(two_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
