/* The Engine's multiplexed stream: pieces of every size give the same output, and nothing malformed passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workers/docker_agent/demux.h"

struct collected {
    char text[2][64]; /* stdout, stderr */
    size_t size[2];
    int stop_at; /* the sink refuses from this call on; 0: never */
    int calls;
};

static int collect(void *context, enum demux_stream stream, const uint8_t *data, size_t size)
{
    struct collected *collected = context;
    if (++collected->calls == collected->stop_at) {
        return 7;
    }
    size_t which = stream == DEMUX_STDERR ? 1 : 0;
    memcpy(collected->text[which] + collected->size[which], data, size);
    collected->size[which] += size;
    return 0;
}

static const uint8_t stream[] = {1, 0, 0, 0, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', /* */
                                 2, 0, 0, 0, 0, 0, 0, 2, 'n', 'o',                /* */
                                 1, 0, 0, 0, 0, 0, 0, 0,                          /* an empty frame */
                                 1, 0, 0, 0, 0, 0, 0, 1, '!'};

static void every_cut_gives_the_same(void **state)
{
    (void)state;
    for (size_t first = 0; first <= sizeof stream; first++) {
        for (size_t second = first; second <= sizeof stream; second++) {
            struct demux demux = {0};
            struct collected collected = {0};
            assert_int_equal(demux_feed(&demux, stream, first, collect, &collected), 0);
            assert_int_equal(demux_feed(&demux, stream + first, second - first, collect, &collected), 0);
            assert_int_equal(demux_feed(&demux, stream + second, sizeof stream - second, collect, &collected), 0);
            assert_string_equal(collected.text[0], "hello!");
            assert_string_equal(collected.text[1], "no");
            assert_true(demux_at_boundary(&demux));
        }
    }
}

static void an_end_within_a_frame_is_seen(void **state)
{
    (void)state;
    static const size_t boundaries[] = {0, 13, 23, 31, 40};
    for (size_t size = 0, next = 0; size <= sizeof stream; size++) {
        struct demux demux = {0};
        struct collected collected = {0};
        assert_int_equal(demux_feed(&demux, stream, size, collect, &collected), 0);
        int boundary = size == boundaries[next];
        next += boundary ? 1 : 0;
        assert_int_equal(demux_at_boundary(&demux), boundary);
    }
}

static void malformed_headers_are_refused(void **state)
{
    (void)state;
    static const uint8_t headers[][DEMUX_HEADER_SIZE] = {
        {3, 0, 0, 0, 0, 0, 0, 1}, {255, 0, 0, 0, 0, 0, 0, 1}, {1, 1, 0, 0, 0, 0, 0, 1},
        {1, 0, 1, 0, 0, 0, 0, 1}, {1, 0, 0, 1, 0, 0, 0, 1},   {'H', 'T', 'T', 'P', '/', '1', '.', '1'},
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct demux demux = {0};
        struct collected collected = {0};
        assert_int_equal(demux_feed(&demux, headers[i], DEMUX_HEADER_SIZE, collect, &collected), -1);
    }
}

static void a_sink_ends_the_feeding(void **state)
{
    (void)state;
    struct demux demux = {0};
    struct collected collected = {.stop_at = 2};
    assert_int_equal(demux_feed(&demux, stream, sizeof stream, collect, &collected), 7);
    assert_string_equal(collected.text[0], "hello");
}

static void a_frame_may_be_of_four_gigabytes(void **state)
{
    (void)state;
    static const uint8_t header[] = {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'a', 'b'};
    struct demux demux = {0};
    struct collected collected = {0};
    assert_int_equal(demux_feed(&demux, header, sizeof header, collect, &collected), 0);
    assert_string_equal(collected.text[0], "ab");
    assert_int_equal(demux.remaining, UINT32_MAX - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same),         cmocka_unit_test(an_end_within_a_frame_is_seen),
        cmocka_unit_test(malformed_headers_are_refused),    cmocka_unit_test(a_sink_ends_the_feeding),
        cmocka_unit_test(a_frame_may_be_of_four_gigabytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
