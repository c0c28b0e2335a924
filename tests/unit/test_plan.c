/* Names of backups, and the order that dependencies give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/backup_name.h"
#include "supervisor/plan.h"

#define ID "0b1c3a1e-1111-2222-3333-444455556666"

static void names_are_parsed_from_the_right(void **state)
{
    (void)state;
    struct backup_name name;
    assert_true(backup_name_is_of("backup_app_20231105-120000_" ID ".tar.zst", "app", &name));
    assert_string_equal(name.stamp, "20231105-120000");
    assert_true(backup_name_is_of("backup_app_two_20231105-120000_abc123.tar.zst", "app_two", &name));
    assert_false(backup_name_is_of("backup_app_two_20231105-120000_abc123.tar.zst", "app", &name));
    assert_true(
        backup_name_is_of("backup_a_20230101-000000_x_20231105-120000_abc.tar.zst", "a_20230101-000000_x", &name));
}

static void endings_say_how_it_is_packed(void **state)
{
    (void)state;
    static const struct {
        const char *ending;
        enum archive_format format;
        enum encryption encryption;
    } endings[] = {
        {".tar.zst", FORMAT_ZSTD, ENCRYPTION_NONE},    {".tar.gz", FORMAT_GZIP, ENCRYPTION_NONE},
        {".tar.xz", FORMAT_XZ, ENCRYPTION_NONE},       {".tar", FORMAT_TAR, ENCRYPTION_NONE},
        {".tar.zst.age", FORMAT_ZSTD, ENCRYPTION_AGE}, {".tar.gz.age", FORMAT_GZIP, ENCRYPTION_AGE},
        {".tar.xz.age", FORMAT_XZ, ENCRYPTION_AGE},    {".tar.age", FORMAT_TAR, ENCRYPTION_AGE},
        {".tar.zst.gpg", FORMAT_ZSTD, ENCRYPTION_GPG}, {".tar.gpg", FORMAT_TAR, ENCRYPTION_GPG},
    };
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char text[200];
        struct backup_name name;
        snprintf(text, sizeof text, "backup_app_20231105-120000_" ID "%s", endings[i].ending);
        assert_true(backup_name_is_of(text, "app", &name));
        assert_int_equal(name.format, endings[i].format);
        assert_int_equal(name.encryption, endings[i].encryption);
        assert_string_equal(name.stamp, "20231105-120000");
    }
}

static void what_does_not_parse_is_no_backup(void **state)
{
    (void)state;
    static const char *const others[] = {
        "backup_app_20231105-120000_abc.tar.bz2",
        "backup_app_20231105-120000_abc.gz",
        "backup_app_20231105-120000_abc.tar.zst.minisig",
        "backup_app_20231105-120000_abc.tar.zst.age.age",
        "backup_app_20231105-120000_abc.tar.age.zst",
        "backup_app_20231105-120000_.tar",
        "backup_app_20231105-120000_.tar.zst",
        "backup_app_20231105_abc.tar.zst",
        "backup_app_20231305-120000_abc.tar.zst",
        "backup_app_20231105-250000_abc.tar.zst",
        "backup__20231105-120000_abc.tar.zst",
        "backup_20231105-120000_abc.tar.zst",
        "app_20231105-120000_abc.tar.zst",
        "backup_app_20231105-120000_a/b.tar.zst",
        "backup_app_20231105-120000_a b.tar.zst",
        ".tar.zst",
        "backup_.tar.zst",
        "backup_app_2023110x-120000_abc.tar.zst",
        "backup_app_30231105-120000_abc.tar.zst",
        "backup_app_00231105-120000_abc.tar.zst",
        "",
    };
    struct backup_name name;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(backup_name_parse(others[i], &name));
    }
}

static void conditions_are_read_from_the_label(void **state)
{
    (void)state;
    const char *label =
        "db:service_healthy:false,migrate:service_completed_successfully:true,cache:service_started:true";
    assert_int_equal(dependency_condition(label, "db"), CONDITION_HEALTHY);
    assert_int_equal(dependency_condition(label, "migrate"), CONDITION_COMPLETED);
    assert_int_equal(dependency_condition(label, "cache"), CONDITION_STARTED);
    assert_int_equal(dependency_condition(label, "d"), CONDITION_NONE);
    assert_int_equal(dependency_condition("db,cache", "cache"), CONDITION_STARTED);
    assert_int_equal(dependency_condition("", "db"), CONDITION_NONE);
}

static void add(struct plan *plan, uint64_t index, const char *service, const char *depends_on)
{
    struct msg_container message = {
        .index = index,
        .id = text_of(""),
        .name = text_of(service),
        .service = text_of(service),
        .state = text_of("running"),
        .health = text_of(""),
        .image = text_of(""),
        .image_id = text_of(""),
        .user = text_of(""),
        .restart_policy = text_of(""),
        .depends_on = text_of(depends_on),
    };
    assert_non_null(plan_add_container(plan, &message));
}

static void waves_follow_dependencies(void **state)
{
    (void)state;
    struct plan plan = {0};
    add(&plan, 0, "web", "app:service_started:true");
    add(&plan, 1, "app", "db:service_healthy:false,cache:service_started:false");
    add(&plan, 2, "db", "");
    add(&plan, 3, "cache", "gone:service_started:false");
    unsigned waves[4];
    assert_int_equal(plan_waves(&plan, waves), 3);
    assert_int_equal(waves[0], 2);
    assert_int_equal(waves[1], 1);
    assert_int_equal(waves[2], 0);
    assert_int_equal(waves[3], 0);
}

static void cycles_end(void **state)
{
    (void)state;
    struct plan plan = {0};
    add(&plan, 0, "a", "b:service_started:false");
    add(&plan, 1, "b", "a:service_started:false");
    unsigned waves[2];
    assert_true(plan_waves(&plan, waves) <= 2);
}

static void streams_and_roots_are_found_again(void **state)
{
    (void)state;
    struct plan plan = {0};
    struct stream *stream = plan_stream(&plan, SECTION_VOLUME, "app", "uploads", 0);
    assert_ptr_equal(plan_stream(&plan, SECTION_VOLUME, "app", "uploads", 1), stream);
    assert_null(plan_find_stream(&plan, SECTION_VOLUME, "app", "upload"));
    struct root *root = plan_root(&plan, 0, "", "volume");
    assert_ptr_equal(plan_root(&plan, 0, "", "volume"), root);
    assert_int_equal(plan_root(&plan, 0, "sub", "volume")->id, 1);
    assert_int_equal(plan_add_destination(stream, 0, "", false), 0);
    assert_int_equal(plan_add_destination(stream, 0, "", false), 0);
    assert_int_equal(stream->destination_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_parsed_from_the_right),   cmocka_unit_test(endings_say_how_it_is_packed),
        cmocka_unit_test(what_does_not_parse_is_no_backup),  cmocka_unit_test(conditions_are_read_from_the_label),
        cmocka_unit_test(waves_follow_dependencies),         cmocka_unit_test(cycles_end),
        cmocka_unit_test(streams_and_roots_are_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
