/* Parts of the stager: path rules, owners, and the coroutine that feeds a parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "../../workers/stager/feed.h"
#include "../../workers/stager/owners.h"
#include "../../workers/stager/tree.h"

static void sound_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "a/b", "..a", "a..", ".hid/x", "-rf", "a\nb"};
    static const char *const bad[] = {"/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "./a"};
    char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(tree_path_is_sound(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(tree_path_is_sound(bad[i]));
    }
    long_name[256] = '\0';
    assert_false(tree_path_is_sound(long_name));
    long_name[255] = '\0';
    assert_true(tree_path_is_sound(long_name));
}

static void paths_below(void **state)
{
    (void)state;
    const char *rest = NULL;
    assert_true(tree_below("a/b", "", &rest));
    assert_string_equal(rest, "a/b");
    assert_true(tree_below("a/b", "a", &rest));
    assert_string_equal(rest, "b");
    assert_true(tree_below("a", "a", &rest));
    assert_string_equal(rest, "");
    assert_false(tree_below("ab", "a", &rest));
    assert_false(tree_below("a", "a/b", &rest));
}

static void splitting_and_joining(void **state)
{
    (void)state;
    char parent[TREE_PATH_MAX], joined[TREE_PATH_MAX], huge[TREE_PATH_MAX];
    assert_string_equal(tree_split("a/b/c", parent), "c");
    assert_string_equal(parent, "a/b");
    assert_string_equal(tree_split("a", parent), "a");
    assert_string_equal(parent, "");
    assert_int_equal(tree_join(joined, "", "a"), 0);
    assert_string_equal(joined, "a");
    assert_int_equal(tree_join(joined, "a", "b"), 0);
    assert_string_equal(joined, "a/b");
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_int_equal(tree_join(joined, huge, "b"), -1);
}

static void removing_stays_within(void **state)
{
    (void)state;
    char path[] = "/tmp/tree.XXXXXX";
    assert_non_null(mkdtemp(path));
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(fd, "keep", 0700) | mkdirat(fd, "gone", 0) | mkdirat(fd, "gone/deep", 0700), 0);
    assert_int_equal(symlinkat("../keep", fd, "gone/link"), 0);
    assert_int_equal(tree_open(fd, "gone/link", O_RDONLY | O_DIRECTORY), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(tree_open(fd, "..", O_RDONLY | O_DIRECTORY), -1);
    assert_int_equal(tree_remove(fd, "gone"), 0);
    assert_int_equal(tree_remove(fd, "gone"), 0);
    assert_int_equal(unlinkat(fd, "keep", AT_REMOVEDIR), 0);
    close(fd);
    assert_int_equal(rmdir(path), 0);
}

static struct owner chosen(const struct owners *owners, const struct live_parent *parent, struct owner archived)
{
    struct owner owner;
    assert_int_equal(owners_choose(owners, parent, "x", archived, &owner), 0);
    return owner;
}

static void owners_follow_the_live_tree_until_the_archive_knows(void **state)
{
    (void)state;
    struct owners owners = {.ownership = OWNERSHIP_AUTO, .fallback = {7, 7}};
    struct live_parent parent = {-1, {70, 71}};
    struct owner root = {0, 0}, other = {5, 6};
    assert_int_equal(chosen(&owners, &parent, root).uid, 70);
    assert_false(owners_learn(&owners, root));
    assert_true(owners_learn(&owners, other));
    assert_false(owners_learn(&owners, other));
    assert_int_equal(chosen(&owners, &parent, root).uid, 0);
    assert_int_equal(chosen(&owners, &parent, other).gid, 6);
}

static void forced_ownership_learns_nothing(void **state)
{
    (void)state;
    struct live_parent parent = {-1, {70, 71}};
    struct owner other = {5, 6};
    struct owners existing = {.ownership = OWNERSHIP_EXISTING};
    struct owners archive = {.ownership = OWNERSHIP_ARCHIVE};
    assert_false(owners_learn(&existing, other) || owners_learn(&archive, other));
    assert_int_equal(chosen(&existing, &parent, other).uid, 70);
    assert_int_equal(chosen(&archive, &parent, other).uid, 5);
}

static void special_bits_stay_only_where_the_owner_was_not_changed_to_root(void **state)
{
    (void)state;
    struct owners owners = {.ownership = OWNERSHIP_ARCHIVE};
    struct owner root = {0, 0}, user = {5, 5};
    assert_false(owners_keep_special(&owners, 04755, root, NULL));
    assert_false(owners_keep_special(&owners, 04755, root, &user));
    assert_true(owners_keep_special(&owners, 04755, root, &root));
    assert_true(owners_keep_special(&owners, 04755, user, NULL));
    assert_false(owners_keep_special(&owners, 02755, root, NULL));
    assert_true(owners_keep_special(&owners, 0755, root, NULL));
    owners.archive_knows = true;
    assert_true(owners_keep_special(&owners, 04755, root, NULL));
}

struct reader {
    struct feed feed;
    char text[64];
    ssize_t last;
};

static void read_all(void *context)
{
    struct reader *reader = context;
    const void *bytes;
    while ((reader->last = feed_take(&reader->feed, &bytes)) > 0) {
        strncat(reader->text, bytes, (size_t)reader->last);
    }
}

static void coroutines_take_what_is_pushed(void **state)
{
    (void)state;
    struct reader one = {0}, two = {0};
    assert_int_equal(feed_start(&one.feed, read_all, &one) | feed_start(&two.feed, read_all, &two), 0);
    feed_push(&one.feed, "ab", 2);
    feed_push(&two.feed, "xy", 2);
    feed_push(&one.feed, "cd", 2);
    feed_finish(&two.feed, true);
    feed_finish(&one.feed, false);
    assert_string_equal(one.text, "abcd");
    assert_string_equal(two.text, "xy");
    assert_int_equal(one.last, 0);
    assert_int_equal(two.last, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_paths),
        cmocka_unit_test(paths_below),
        cmocka_unit_test(splitting_and_joining),
        cmocka_unit_test(removing_stays_within),
        cmocka_unit_test(owners_follow_the_live_tree_until_the_archive_knows),
        cmocka_unit_test(forced_ownership_learns_nothing),
        cmocka_unit_test(special_bits_stay_only_where_the_owner_was_not_changed_to_root),
        cmocka_unit_test(coroutines_take_what_is_pushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
