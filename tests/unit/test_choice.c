/* The lists of RESTORE_SERVICES, RESTORE_VOLUMES and RESTORE_DATABASES, and times of BACKUP_BEFORE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/backup_name.h"
#include "supervisor/choice.h"

static void a_list_picks_by_any_of_its_patterns(void **state)
{
    (void)state;
    assert_true(patterns_pick("web,db", "db", NULL));
    assert_true(patterns_pick("web  db\t", "web", NULL));
    assert_true(patterns_pick("w*", "web", NULL));
    assert_false(patterns_pick("web,db", "cache", NULL));
    assert_false(patterns_pick("we", "web", NULL));
    assert_false(patterns_pick("a.b", "a-b", NULL));
}

static void an_exclusion_wins_wherever_it_stands(void **state)
{
    (void)state;
    assert_false(patterns_pick("!db,*", "db", NULL));
    assert_false(patterns_pick("*,!db", "db", NULL));
    assert_true(patterns_pick("*,!db", "web", NULL));
}

static void exclusions_alone_begin_with_everything(void **state)
{
    (void)state;
    assert_true(patterns_pick("!db", "web", NULL));
    assert_false(patterns_pick("!db", "db", NULL));
    assert_true(patterns_pick(" , ", "web", NULL));
}

static void a_volume_has_two_names(void **state)
{
    (void)state;
    struct options options = {.restore_volumes = "app/up*, config"};
    assert_true(is_chosen(&options, SECTION_VOLUME, "app", "uploads"));
    assert_false(is_chosen(&options, SECTION_VOLUME, "web", "uploads"));
    assert_true(is_chosen(&options, SECTION_VOLUME, "web", "config"));
}

static void a_list_of_one_kind_leaves_the_other_out(void **state)
{
    (void)state;
    struct options volumes = {.restore_volumes = "*"};
    assert_false(is_chosen(&volumes, SECTION_POSTGRES, "db", ""));
    struct options databases = {.restore_databases = "db"};
    assert_true(is_chosen(&databases, SECTION_MARIADB, "db", ""));
    assert_false(is_chosen(&databases, SECTION_VOLUME, "app", "uploads"));
    struct options both = {.restore_volumes = "*", .restore_databases = "db"};
    assert_true(is_chosen(&both, SECTION_VOLUME, "app", "uploads") && is_chosen(&both, SECTION_POSTGRES, "db", ""));
    struct options none = {0};
    assert_true(is_chosen(&none, SECTION_VOLUME, "app", "u") && is_chosen(&none, SECTION_POSTGRES, "db", ""));
}

static void services_bound_both_kinds(void **state)
{
    (void)state;
    struct options options = {.restore_services = "app", .restore_volumes = "*"};
    assert_true(is_chosen(&options, SECTION_VOLUME, "app", "uploads"));
    assert_false(is_chosen(&options, SECTION_VOLUME, "web", "uploads"));
}

static void patterns_that_exclude_are_passed_over(void **state)
{
    (void)state;
    const char *at = "!a, b !c d";
    char pattern[16];
    assert_true(patterns_next(&at, pattern, sizeof pattern));
    assert_string_equal(pattern, "b");
    assert_true(patterns_next(&at, pattern, sizeof pattern));
    assert_string_equal(pattern, "d");
    assert_false(patterns_next(&at, pattern, sizeof pattern));
}

static void times_become_stamps(void **state)
{
    (void)state;
    static const struct {
        const char *text, *stamp;
    } good[] = {{"2023-11-05", "20231105-000000"},
                {"2023-11-05T12:00", "20231105-120000"},
                {"2023-11-05 12:00:30", "20231105-120030"},
                {"20231105-120030", "20231105-120030"}};
    char stamp[16];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(backup_stamp_parse(good[i].text, stamp));
        assert_string_equal(stamp, good[i].stamp);
    }
    static const char *const bad[] = {
        "",           "yesterday",         "2023-13-05", "2023-11-05T25:00", "2023-11-05T12",
        "05.11.2023", "2023-11-05T12:00Z", "2023-11-5",  "20231105"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(backup_stamp_parse(bad[i], stamp));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_picks_by_any_of_its_patterns),
        cmocka_unit_test(an_exclusion_wins_wherever_it_stands),
        cmocka_unit_test(exclusions_alone_begin_with_everything),
        cmocka_unit_test(a_volume_has_two_names),
        cmocka_unit_test(a_list_of_one_kind_leaves_the_other_out),
        cmocka_unit_test(services_bound_both_kinds),
        cmocka_unit_test(patterns_that_exclude_are_passed_over),
        cmocka_unit_test(times_become_stamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
