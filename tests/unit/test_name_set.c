/* The set of names: it keeps what it was told through every growth, and says when it is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "workers/unpacker/name_set.h"

static size_t name_of(char name[32], unsigned number)
{
    return (size_t)snprintf(name, 32, "app/volumes/data/%u", number);
}

static void keeps_names_and_kinds_while_it_grows(void **state)
{
    (void)state;
    enum { COUNT = 300000 };
    struct name_set *set = name_set_new(COUNT);
    assert_non_null(set);
    char name[32];
    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = name_of(name, i);
        assert_int_equal(name_set_get(set, name, size), NAME_ABSENT);
        assert_int_equal(name_set_put(set, name, size, (enum name_kind)(i % NAME_ABSENT)), 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(name_set_get(set, name, name_of(name, i)), i % NAME_ABSENT);
    }
    for (unsigned i = COUNT; i < 2 * COUNT; i++) {
        assert_int_equal(name_set_get(set, name, name_of(name, i)), NAME_ABSENT);
    }
    name_set_free(set);
}

static void forgets_all_when_cleared(void **state)
{
    (void)state;
    struct name_set *set = name_set_new(100000);
    char name[32];
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 20000; i++) {
            assert_int_equal(name_set_get(set, name, name_of(name, i)), NAME_ABSENT);
            assert_int_equal(name_set_put(set, name, name_of(name, i), NAME_LEAF), 0);
        }
        name_set_clear(set);
    }
    name_set_free(set);
}

static void says_when_it_is_full(void **state)
{
    (void)state;
    struct name_set *set = name_set_new(1000);
    char name[32];
    unsigned count = 0;
    while (name_set_put(set, name, name_of(name, count), NAME_LEAF) == 0) {
        count++;
        assert_true(count < 100000);
    }
    assert_true(count >= 1000);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(name_set_get(set, name, name_of(name, i)), NAME_LEAF);
    }
    name_set_free(set);
}

static void takes_names_of_any_bytes(void **state)
{
    (void)state;
    struct name_set *set = name_set_new(10);
    assert_int_equal(name_set_put(set, "", 0, NAME_DIRECTORY), 0);
    assert_int_equal(name_set_put(set, "a\0b", 3, NAME_SKIPPED), 0);
    assert_int_equal(name_set_get(set, "", 0), NAME_DIRECTORY);
    assert_int_equal(name_set_get(set, "a\0b", 3), NAME_SKIPPED);
    assert_int_equal(name_set_get(set, "a\0c", 3), NAME_ABSENT);
    assert_int_equal(name_set_get(set, "a", 1), NAME_ABSENT);
    name_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_names_and_kinds_while_it_grows),
        cmocka_unit_test(forgets_all_when_cleared),
        cmocka_unit_test(says_when_it_is_full),
        cmocka_unit_test(takes_names_of_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
