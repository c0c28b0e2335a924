/* The stager's journal: every torn tail is taken as not written, damage before a later batch is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "../../workers/stager/journal.h"

struct fixture {
    char path[64];
    int directory;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->path, "/tmp/journal.XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    fixture->directory = open(fixture->path, O_RDONLY | O_DIRECTORY);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    unlinkat(fixture->directory, "journal", 0);
    close(fixture->directory);
    rmdir(fixture->path);
    free(fixture);
    return 0;
}

/* What was read: words joined by '|', records by newlines. */
struct record_list {
    char text[4096];
};

static int note(void *context, char **words, size_t count)
{
    struct record_list *list = context;
    for (size_t i = 0; i < count; i++) {
        strcat(list->text, words[i]);
        strcat(list->text, i + 1 == count ? "\n" : "|");
    }
    return 0;
}

static int read_back(const struct fixture *fixture, struct record_list *list)
{
    struct journal journal;
    *list = (struct record_list){0};
    int result = journal_open(&journal, fixture->directory, note, list);
    journal_close(&journal);
    return result;
}

static void write_two_batches(const struct fixture *fixture)
{
    struct journal journal;
    struct record_list list = {0};
    assert_int_equal(journal_open(&journal, fixture->directory, note, &list), 0);
    assert_int_equal(journal_add(&journal, "area", "0", "a b%\n\xff", NULL), 0);
    assert_int_equal(journal_add(&journal, "keep", "0", "", NULL), 0);
    assert_int_equal(journal_commit(&journal), 0);
    assert_int_equal(journal_add(&journal, "state", "out", NULL), 0);
    assert_int_equal(journal_commit(&journal), 0);
    journal_close(&journal);
}

static off_t size_of(const struct fixture *fixture)
{
    struct stat status;
    assert_int_equal(fstatat(fixture->directory, "journal", &status, 0), 0);
    return status.st_size;
}

static const char both[] = "area|0|a b%\n\xff\nkeep|0|\nstate|out\n";

static void reads_what_it_wrote(void **state)
{
    struct record_list list;
    write_two_batches(*state);
    assert_int_equal(read_back(*state, &list), 0);
    assert_string_equal(list.text, both);
}

static void an_absent_journal_is_empty(void **state)
{
    struct record_list list;
    assert_int_equal(read_back(*state, &list), 0);
    assert_string_equal(list.text, "");
}

static void an_empty_batch_is_not_written(void **state)
{
    const struct fixture *fixture = *state;
    struct journal journal;
    struct record_list list = {0};
    assert_int_equal(journal_open(&journal, fixture->directory, note, &list), 0);
    assert_int_equal(journal_commit(&journal), 0);
    assert_int_equal(faccessat(fixture->directory, "journal", F_OK, 0), -1);
    journal_close(&journal);
}

static void every_cut_leaves_whole_batches(void **state)
{
    const struct fixture *fixture = *state;
    struct record_list list;
    write_two_batches(fixture);
    off_t whole = size_of(fixture);
    char text[1024];
    int fd = openat(fixture->directory, "journal", O_RDWR);
    assert_int_equal(pread(fd, text, sizeof text, 0), whole);
    const char *second = strstr(text, " 2 state");
    off_t first_end = (off_t)(second - text) - 16;
    for (off_t cut = 0; cut < whole; cut++) {
        assert_int_equal(pwrite(fd, text, (size_t)whole, 0), whole);
        assert_int_equal(ftruncate(fd, cut), 0);
        assert_int_equal(read_back(fixture, &list), 0);
        assert_string_equal(list.text, cut < first_end ? "" : "area|0|a b%\n\xff\nkeep|0|\n");
        assert_int_equal(size_of(fixture), cut < first_end ? 0 : first_end);
    }
    close(fd);
}

static void a_torn_batch_is_overwritten(void **state)
{
    const struct fixture *fixture = *state;
    write_two_batches(fixture);
    off_t whole = size_of(fixture);
    int fd = openat(fixture->directory, "journal", O_RDWR);
    assert_int_equal(ftruncate(fd, whole - 1), 0);
    close(fd);
    struct journal journal;
    struct record_list list = {0};
    assert_int_equal(journal_open(&journal, fixture->directory, note, &list), 0);
    assert_int_equal(journal_add(&journal, "state", "back_out", NULL), 0);
    assert_int_equal(journal_commit(&journal), 0);
    journal_close(&journal);
    assert_int_equal(read_back(fixture, &list), 0);
    assert_string_equal(list.text, "area|0|a b%\n\xff\nkeep|0|\nstate|back_out\n");
}

static void a_flipped_bit_never_passes(void **state)
{
    const struct fixture *fixture = *state;
    struct record_list list;
    write_two_batches(fixture);
    off_t whole = size_of(fixture);
    char text[1024];
    int fd = openat(fixture->directory, "journal", O_RDWR);
    assert_int_equal(pread(fd, text, sizeof text, 0), whole);
    const char *second = strstr(text, " 2 state");
    off_t first_end = (off_t)(second - text) - 16;
    for (off_t at = 0; at < whole; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            char flipped = (char)(text[at] ^ (1 << bit));
            assert_int_equal(pwrite(fd, text, (size_t)whole, 0), whole);
            assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
            int result = read_back(fixture, &list);
            /* in the first batch: damage, since a second follows; in the second: a torn tail */
            assert_int_equal(result, at < first_end ? -2 : 0);
            assert_string_not_equal(list.text, both);
        }
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_it_wrote, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_absent_journal_is_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_batch_is_not_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_cut_leaves_whole_batches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_batch_is_overwritten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flipped_bit_never_passes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
