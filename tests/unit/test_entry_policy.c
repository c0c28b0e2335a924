/* The entry policy, rule by rule: what is sound passes and lands where it should, everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "exit_codes.h"
#include "workers/unpacker/entry_policy.h"

static struct entry_policy *policy;
static struct entry_ruling ruling;
static struct failure failure;

static int set_up(void **state)
{
    (void)state;
    policy = calloc(1, sizeof *policy);
    assert_non_null(policy);
    policy->names = name_set_new(100000);
    assert_non_null(policy->names);
    policy->max_entries = 1000;
    policy->max_bytes = 1000;
    entry_policy_start(policy);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    name_set_free(policy->names);
    free(policy);
    return 0;
}

static int judge(const struct entry_facts *facts)
{
    failure = (struct failure){0};
    return entry_policy_judge(policy, facts, &ruling, &failure);
}

static int judge_name(const char *path, mode_t type)
{
    return judge(&(struct entry_facts){.path = path, .type = type, .symlink = type == S_IFLNK ? "t" : NULL});
}

static int judge_hard(const char *path, const char *target)
{
    return judge(&(struct entry_facts){.path = path, .hardlink = target});
}

static void assert_refused(int result, const char *words)
{
    assert_int_equal(result, -1);
    assert_int_equal(failure.code, EXIT_INTEGRITY);
    assert_non_null(strstr(failure.text, "Archive integrity check failed: entry '"));
    if (strstr(failure.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", failure.text, words);
    }
}

static void places_are_recognised(void **state)
{
    (void)state;
    assert_int_equal(judge_name("app/", S_IFDIR), 0);
    assert_int_equal(ruling.place, PLACE_ABOVE);
    assert_int_equal(judge_name("./", S_IFDIR), 0);
    assert_int_equal(ruling.place, PLACE_ABOVE);
    assert_int_equal(judge_name("app/volumes", S_IFDIR), 0);
    assert_int_equal(ruling.place, PLACE_ABOVE);
    assert_int_equal(judge_name("app/volumes/data/", S_IFDIR), 0);
    assert_int_equal(ruling.place, PLACE_VOLUME);
    assert_string_equal(ruling.inside, "");
    assert_int_equal(judge_name("./app/volumes/data/a/b", S_IFREG), 0);
    assert_int_equal(ruling.kind, SECTION_VOLUME);
    assert_string_equal(ruling.service, "app");
    assert_string_equal(ruling.name, "data");
    assert_string_equal(ruling.inside, "a/b");
    assert_int_equal(judge_name("app/database/pg_dumpall.sql", S_IFREG), 0);
    assert_int_equal(ruling.place, PLACE_DUMP);
    assert_int_equal(ruling.kind, SECTION_POSTGRES);
    assert_int_equal(judge_name("app/database/pg_dumpall.errors", S_IFREG), 0);
    assert_int_equal(ruling.place, PLACE_DUMP_ERRORS);
    assert_int_equal(judge_name("db/mariadb_dump/all_databases.sql", S_IFREG), 0);
    assert_int_equal(ruling.kind, SECTION_MARIADB);
    assert_string_equal(ruling.service, "db");
    assert_int_equal(judge_name("db/mariadb_dump/mariadb_dump.errors", S_IFREG), 0);
    assert_int_equal(ruling.place, PLACE_DUMP_ERRORS);
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    const char *names[][2] = {
        {"", "no name"},
        {"/app", "absolute"},
        {"//", "absolute"},
        {"..", "'..'"},
        {"../app", "'..'"},
        {"./../app", "'..'"},
        {"app/volumes/data/../x", "'..'"},
        {"app/volumes/data/..", "'..'"},
        {"app/volumes/../x", "'..'"},
        {"app/volumes/data/./x", "'.'"},
        {"app/volumes/data/x/.", "'.'"},
        {"app//volumes", "empty"},
        {"app/volumes/data/x//", "empty"},
        {".//", "empty"},
        {"app/volumes/data/.restore-1", ".restore-"},
        {"app/volumes/data/.restore-1/new", ".restore-"},
        {"app/other", "nothing"},
        {"app/volumes2/data", "nothing"},
        {"app/database/other.sql", "nothing"},
        {"app/database/pg_dumpall.sql/x", "nothing"},
        {"app/mariadb_dump/pg_dumpall.sql", "nothing"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_refused(judge_name(names[i][0], S_IFDIR), names[i][1]);
    }
}

static void names_that_only_look_bad_pass(void **state)
{
    (void)state;
    const char *names[] = {"...", "..x", ".x", "x..",  ".restore",    "restore-1",
                           "-rf", "a b", "\n", "\xff", "x/.restore-1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64] = "app/volumes/data/";
        strcat(path, names[i]);
        assert_int_equal(judge_name(path, S_IFREG), 0);
        assert_string_equal(ruling.inside, names[i]);
    }
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    char path[8192] = "app/volumes/data/";
    size_t start = strlen(path);
    memset(path + start, 'x', 255);
    assert_int_equal(judge_name(path, S_IFREG), 0);
    path[start + 255] = 'x';
    assert_refused(judge_name(path, S_IFREG), "255");
    for (size_t at = start; at < 4095; at++) {
        path[at] = at % 100 == 0 ? '/' : 'x';
    }
    path[4095] = '\0';
    assert_int_equal(judge_name(path, S_IFREG), 0);
    path[4095] = 'x';
    assert_refused(judge_name(path, S_IFREG), "4095");
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char path[2048] = "app/volumes/data";
    for (int depth = 3; depth < ENTRY_DEPTH_MAX; depth++) {
        strcat(path, "/d");
    }
    assert_int_equal(judge_name(path, S_IFREG), 0);
    path[0] = 'b';
    strcat(path, "/d");
    assert_refused(judge_name(path, S_IFREG), "512");
}

static void fixed_places_have_one_type(void **state)
{
    (void)state;
    assert_refused(judge_name("app", S_IFREG), "directory");
    assert_refused(judge_name("app/volumes", S_IFLNK), "directory");
    assert_refused(judge_name("app/database", S_IFREG), "directory");
    assert_refused(judge_name("app/volumes/data", S_IFLNK), "root");
    assert_refused(judge_name("app/volumes/data", S_IFREG), "root");
    assert_refused(judge_hard("app/volumes/data", "app/volumes/data/x"), "root");
    assert_refused(judge_name("app/database/pg_dumpall.sql", S_IFLNK), "regular");
    assert_refused(judge_name("app/database/pg_dumpall.sql", S_IFDIR), "regular");
    assert_refused(judge_name("app/database/pg_dumpall.errors", S_IFIFO), "regular");
    assert_refused(judge_hard("app/database/pg_dumpall.sql", "app/volumes/data/x"), "regular");
}

static void types_inside_a_volume(void **state)
{
    (void)state;
    assert_int_equal(judge_name("app/volumes/data/fifo", S_IFIFO), 0);
    assert_false(ruling.skip);
    assert_int_equal(judge_name("app/volumes/data/socket", S_IFSOCK), 0);
    assert_true(ruling.skip);
    assert_int_equal(judge_name("app/volumes/data/char", S_IFCHR), 0);
    assert_true(ruling.skip);
    assert_int_equal(judge_hard("app/volumes/data/to-char", "app/volumes/data/char"), 0);
    assert_true(ruling.skip);
    policy->restore_devices = true;
    assert_int_equal(judge_name("app/volumes/data/block", S_IFBLK), 0);
    assert_false(ruling.skip);
    assert_refused(judge_name("app/volumes/data/unknown", 0), "unknown type");
    assert_refused(judge(&(struct entry_facts){.path = "app/volumes/data/s", .type = S_IFLNK, .symlink = ""}),
                   "target");
}

static void names_come_once(void **state)
{
    (void)state;
    const mode_t types[] = {S_IFREG, S_IFLNK, S_IFIFO, S_IFCHR, S_IFDIR};
    for (size_t first = 0; first < 5; first++) {
        for (size_t second = 0; second < 5; second++) {
            entry_policy_start(policy);
            assert_int_equal(judge_name("app/volumes/data/x", types[first]), 0);
            int result = judge_name("./app/volumes/data/x", types[second]);
            if (types[first] == S_IFDIR && types[second] == S_IFDIR) {
                assert_int_equal(result, 0);
            } else {
                assert_refused(result, "second time");
            }
        }
    }
}

static void nothing_lies_below_what_is_no_directory(void **state)
{
    (void)state;
    const mode_t types[] = {S_IFREG, S_IFLNK, S_IFIFO, S_IFCHR};
    for (size_t i = 0; i < 4; i++) {
        entry_policy_start(policy);
        assert_int_equal(judge_name("app/volumes/data/x", types[i]), 0);
        assert_refused(judge_name("app/volumes/data/x/y", S_IFREG), "below");
        assert_refused(judge_name("app/volumes/data/x/y/z/w", S_IFREG), "below");
    }
}

static void parents_without_an_entry_stay_directories(void **state)
{
    (void)state;
    assert_int_equal(judge_name("app/volumes/data/a/b/c", S_IFREG), 0);
    assert_refused(judge_name("app/volumes/data/a/b", S_IFLNK), "second time");
    assert_refused(judge_name("app/volumes/data/a", S_IFREG), "second time");
    assert_int_equal(judge_name("app/volumes/data/a", S_IFDIR), 0);
    assert_int_equal(judge_name("app/volumes/data/a/b/d", S_IFREG), 0);
}

static void hard_links_stay_in_their_volume(void **state)
{
    (void)state;
    assert_int_equal(judge_name("app/volumes/data/f", S_IFREG), 0);
    assert_int_equal(judge_name("app/volumes/data/s", S_IFLNK), 0);
    assert_int_equal(judge_name("app/volumes/data/d", S_IFDIR), 0);
    assert_int_equal(judge_name("app/volumes/two/f", S_IFREG), 0);
    assert_int_equal(judge_name("web/volumes/data/f", S_IFREG), 0);
    assert_int_equal(judge_hard("app/volumes/data/h", "./app/volumes/data/f"), 0);
    assert_string_equal(ruling.link_inside, "f");
    assert_int_equal(judge_hard("app/volumes/data/h2", "app/volumes/data/h"), 0);
    assert_int_equal(judge_hard("app/volumes/data/h3", "app/volumes/data/s"), 0);
    assert_refused(judge_hard("app/volumes/data/x", "app/volumes/data/d"), "no earlier file");
    assert_refused(judge_hard("app/volumes/data/x", "app/volumes/data/x"), "no earlier file");
    assert_refused(judge_hard("app/volumes/data/x", "app/volumes/data/none"), "no earlier file");
    assert_refused(judge_hard("app/volumes/data/x", "app/volumes/two/f"), "out of its volume");
    assert_refused(judge_hard("app/volumes/data/x", "web/volumes/data/f"), "out of its volume");
    assert_refused(judge_hard("app/volumes/data/x", "app/volumes/data"), "out of its volume");
    assert_refused(judge_hard("app/volumes/data/x", "f"), "out of its volume");
    assert_refused(judge_hard("app/volumes/data/x", "/etc/passwd"), "hard link");
    assert_refused(judge_hard("app/volumes/data/x", "app/volumes/data/../../f"), "hard link");
    assert_refused(judge_hard("app/volumes/data/x", ""), "hard link");
}

static void entries_and_bytes_have_caps(void **state)
{
    (void)state;
    struct entry_facts facts = {.path = "app/volumes/data/a", .type = S_IFREG, .size = 600};
    assert_int_equal(judge(&facts), 0);
    facts.path = "app/volumes/data/b";
    assert_refused(judge(&facts), "limit on bytes");
    facts.size = UINT64_MAX;
    assert_refused(judge(&facts), "limit on bytes");
    facts.size = 400;
    assert_int_equal(judge(&facts), 0);
    policy->max_entries = policy->entries;
    assert_refused(judge_name("app/volumes/data/c", S_IFREG), "limit on entries");
}

static void owners_are_ids(void **state)
{
    (void)state;
    const int64_t bad[] = {-1, INT64_MIN, UINT32_MAX, INT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct entry_facts facts = {.path = "app/volumes/data/a", .type = S_IFREG, .uid = bad[i]};
        assert_refused(judge(&facts), "owner");
        facts.uid = 0;
        facts.gid = bad[i];
        assert_refused(judge(&facts), "owner");
    }
}

static void attributes_that_are_kept(void **state)
{
    (void)state;
    assert_true(entry_policy_keeps_xattr("user.x"));
    assert_true(entry_policy_keeps_xattr("system.posix_acl_access"));
    assert_true(entry_policy_keeps_xattr("system.posix_acl_default"));
    const char *dropped[] = {"security.capability",
                             "security.selinux",
                             "trusted.overlay.opaque",
                             "system.nfs4_acl",
                             "user",
                             "xuser.x",
                             "",
                             "system.posix_acl_access2"};
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++) {
        assert_false(entry_policy_keeps_xattr(dropped[i]));
    }
}

static void refusals_are_one_line_of_bounded_length(void **state)
{
    (void)state;
    char path[5000];
    memset(path, '\n', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_refused(judge_name(path, S_IFREG), "\\x0a");
    assert_null(strchr(failure.text, '\n'));
    assert_true(strlen(failure.text) < 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(places_are_recognised),
        TEST(bad_names_are_refused),
        TEST(names_that_only_look_bad_pass),
        TEST(lengths_are_bounded),
        TEST(depth_is_bounded),
        TEST(fixed_places_have_one_type),
        TEST(types_inside_a_volume),
        TEST(names_come_once),
        TEST(nothing_lies_below_what_is_no_directory),
        TEST(parents_without_an_entry_stay_directories),
        TEST(hard_links_stay_in_their_volume),
        TEST(entries_and_bytes_have_caps),
        TEST(owners_are_ids),
        TEST(attributes_that_are_kept),
        TEST(refusals_are_one_line_of_bounded_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
