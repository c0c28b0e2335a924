/* The reader of zstd archives: exactly the bytes announced, every frame to its end, and the truth about how it ended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <zstd.h>

#include "exit_codes.h"
#include "workers/unpacker/reader.h"

#define TEXT_SIZE 300000

static struct reader *reader;
static struct failure failure;
static uint8_t text[TEXT_SIZE];
static uint8_t archive[2 * TEXT_SIZE];

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEXT_SIZE; i++) {
        text[i] = (uint8_t)(i * i >> 7);
    }
    reader = reader_new(27);
    return reader == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    reader_free(reader);
    return 0;
}

/* The texts's bytes from `from` to `to` as one frame at `at`; returns where the next can stand. */
static size_t add_frame(size_t at, size_t from, size_t to, int checksum)
{
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, checksum);
    size_t size = ZSTD_compress2(zstd, archive + at, sizeof archive - at, text + from, to - from);
    ZSTD_freeCCtx(zstd);
    assert_false(ZSTD_isError(size));
    return at + size;
}

static size_t add_skippable(size_t at, uint8_t size)
{
    const uint8_t header[8] = {0x5a, 0x2a, 0x4d, 0x18, size};
    memcpy(archive + at, header, sizeof header);
    memset(archive + at + sizeof header, 0xaa, size);
    return at + sizeof header + size;
}

/* Reads `announced` bytes of a file that has `have`. Returns the bytes that came out, or -1. */
static ssize_t read_archive(size_t have, size_t announced)
{
    int fd = memfd_create("archive", 0);
    assert_int_equal(write(fd, archive, have), have);
    lseek(fd, 0, SEEK_SET);
    failure = (struct failure){0};
    const struct msg_unpack unpack = {.size = announced, .format = FORMAT_ZSTD};
    assert_int_equal(reader_start(reader, fd, &unpack, NULL, &failure), 0);
    const void *data = NULL;
    size_t size = 0;
    size_t sum = 0;
    int result = 0;
    while ((result = reader_next(reader, &data, &size, &failure)) > 0) {
        assert_memory_equal(data, text + sum, size);
        sum += size;
    }
    close(fd);
    return result == 0 ? (ssize_t)sum : -1;
}

static void reads_one_frame(void **state)
{
    (void)state;
    size_t size = add_frame(0, 0, TEXT_SIZE, 1);
    assert_int_equal(read_archive(size, size), TEXT_SIZE);
    assert_int_equal(reader_frames(reader), 1);
    assert_int_equal(reader_bytes_in(reader), size);
    assert_int_equal(reader_bytes_out(reader), TEXT_SIZE);
}

static void reads_several_and_skippable_frames(void **state)
{
    (void)state;
    size_t size = add_skippable(0, 0);
    size = add_frame(size, 0, 1, 1);
    size = add_frame(size, 1, 1, 0);
    size = add_skippable(size, 200);
    size = add_frame(size, 1, TEXT_SIZE, 1);
    size = add_skippable(size, 3);
    assert_int_equal(read_archive(size, size), TEXT_SIZE);
    assert_int_equal(reader_frames(reader), 3);
}

static void reads_no_more_than_announced(void **state)
{
    (void)state;
    size_t size = add_frame(0, 0, TEXT_SIZE, 1);
    memset(archive + size, 'x', 1000);
    assert_int_equal(read_archive(size + 1000, size), TEXT_SIZE);
}

static void refuses_every_cut(void **state)
{
    (void)state;
    size_t size = add_frame(0, 0, 2000, 1);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(read_archive(cut, cut), -1);
        assert_int_equal(failure.code, EXIT_INTEGRITY);
        assert_int_equal(read_archive(cut, size), -1);
        assert_int_equal(failure.code, EXIT_INTEGRITY);
    }
}

static void refuses_a_cut_second_frame(void **state)
{
    (void)state;
    size_t first = add_frame(0, 0, 1000, 0);
    size_t size = add_frame(first, 1000, 2000, 0);
    assert_int_equal(read_archive(size, size), 2000);
    for (size_t cut = first + 1; cut < size; cut++) {
        assert_int_equal(read_archive(cut, cut), -1);
        assert_int_equal(failure.code, EXIT_INTEGRITY);
    }
}

static void names_what_is_no_zstd(void **state)
{
    (void)state;
    memcpy(archive, "\x1f\x8b\x08", 3);
    assert_int_equal(read_archive(1000, 1000), -1);
    assert_non_null(strstr(failure.text, "gzip"));
    assert_int_equal(read_archive(0, 0), -1);
    assert_non_null(strstr(failure.text, "empty"));
    size_t size = add_frame(0, 0, 1000, 1);
    memset(archive + size, 0, 10);
    assert_int_equal(read_archive(size + 10, size + 10), -1);
    assert_non_null(strstr(failure.text, "no zstd frame"));
}

static void refuses_larger_windows_than_allowed(void **state)
{
    (void)state;
    const uint8_t header[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (28 - 10) << 3, 0x01, 0x00, 0x00};
    memcpy(archive, header, sizeof header);
    assert_int_equal(read_archive(sizeof header, sizeof header), -1);
    assert_non_null(strstr(failure.text, "window of 268435456 bytes"));
    archive[5] = (27 - 10) << 3;
    assert_int_equal(read_archive(sizeof header, sizeof header), 0);
}

static void computes_the_archives_sha256(void **state)
{
    (void)state;
    /* an empty frame with its checksum, as `zstd </dev/null` makes it */
    memcpy(archive, "\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51", 13);
    char hex[SHA256_HEX_SIZE];
    assert_int_equal(read_archive(13, 13), 0);
    assert_int_equal(reader_digest(reader, hex), 0);
    assert_string_equal(hex, "f96deff1816083fdff8bc3e46c3fe6ca46a6bb49f4d5a00627616c13237a512c");
}

static void starts_anew_after_a_failure(void **state)
{
    (void)state;
    size_t size = add_frame(0, 0, TEXT_SIZE, 1);
    assert_int_equal(read_archive(size / 2, size / 2), -1);
    assert_int_equal(read_archive(size, size), TEXT_SIZE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(reads_one_frame),
        TEST(reads_several_and_skippable_frames),
        TEST(reads_no_more_than_announced),
        TEST(refuses_every_cut),
        TEST(refuses_a_cut_second_frame),
        TEST(names_what_is_no_zstd),
        TEST(refuses_larger_windows_than_allowed),
        TEST(computes_the_archives_sha256),
        TEST(starts_anew_after_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
