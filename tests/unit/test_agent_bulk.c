/* The queue to the stager: whole frames only, in order, and nothing but what the unpacker may send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "workers/docker_agent/bulk.h"

struct ends {
    int pipe_in[2];  /* what the unpacker writes */
    int pipe_out[2]; /* what the stager reads */
    struct bulk *bulk;
};

static int set_up(void **state)
{
    struct ends *ends = calloc(1, sizeof *ends);
    ends->bulk = calloc(1, sizeof *ends->bulk);
    if (pipe2(ends->pipe_in, O_NONBLOCK) != 0 || pipe2(ends->pipe_out, O_NONBLOCK) != 0) {
        return -1;
    }
    fcntl(ends->pipe_in[1], F_SETPIPE_SZ, 1024 * 1024);
    *state = ends;
    return 0;
}

static int tear_down(void **state)
{
    struct ends *ends = *state;
    for (int i = 0; i < 2; i++) {
        close(ends->pipe_in[i]);
        close(ends->pipe_out[i]);
    }
    free(ends->bulk);
    free(ends);
    return 0;
}

static size_t data_frame(uint8_t *out, unsigned stream, size_t size)
{
    static char bytes[DATA_BYTES_MAX];
    memset(bytes, 'a' + (int)(size % 26), sizeof bytes);
    const struct msg_stream_data message = {.stream = stream, .bytes = {bytes, size}};
    return message_encode(MESSAGE_stream_data, &message, out, DATA_FRAME_MAX);
}

static void give(struct ends *ends, const uint8_t *data, size_t size)
{
    assert_int_equal(write(ends->pipe_in[1], data, size), (ssize_t)size);
}

static void a_partial_frame_is_not_released(void **state)
{
    struct ends *ends = *state;
    uint8_t frame[DATA_FRAME_MAX];
    size_t size = data_frame(frame, 3, 100);
    for (size_t i = 0; i < size; i++) {
        give(ends, frame + i, 1);
        assert_int_equal(bulk_read(ends->bulk, ends->pipe_in[0]), 1);
        assert_int_equal(bulk_has(ends->bulk), i + 1 == size);
    }
    uint8_t got[DATA_FRAME_MAX];
    assert_int_equal(bulk_write(ends->bulk, ends->pipe_out[1]), 0);
    assert_int_equal(read(ends->pipe_out[0], got, sizeof got), (ssize_t)size);
    assert_memory_equal(got, frame, size);
    assert_false(bulk_has(ends->bulk));
}

static void nothing_is_read_behind_the_end(void **state)
{
    struct ends *ends = *state;
    uint8_t frames[3 * DATA_FRAME_MAX];
    size_t size = data_frame(frames, 1, 10);
    size += message_encode(MESSAGE_streams_end, &(struct msg_streams_end){}, frames + size, DATA_FRAME_MAX);
    size_t pass = size;
    size += data_frame(frames + size, 2, 10);
    give(ends, frames, size);
    assert_int_equal(bulk_read(ends->bulk, ends->pipe_in[0]), 1);
    assert_int_equal(ends->bulk->released, pass);
    assert_false(bulk_wants(ends->bulk));
    assert_int_equal(bulk_begin(ends->bulk), 0);
    assert_int_equal(ends->bulk->released, size);
    assert_true(bulk_wants(ends->bulk));
}

static void bulk_waits_for_the_frame_that_begins_its_pass(void **state)
{
    struct ends *ends = *state;
    uint8_t got[64];
    assert_true(bulk_wants(ends->bulk));
    assert_int_equal(bulk_control(ends->bulk, MESSAGE_stage, (const uint8_t *)"12345678", 8), 0);
    assert_false(bulk_wants(ends->bulk));
    assert_int_equal(bulk_write(ends->bulk, ends->pipe_out[1]), 0);
    assert_int_equal(read(ends->pipe_out[0], got, sizeof got), FRAME_HEADER_SIZE + 8);
    assert_true(bulk_wants(ends->bulk));
}

static void control_waits_for_what_was_released(void **state)
{
    struct ends *ends = *state;
    uint8_t frame[DATA_FRAME_MAX];
    uint8_t got[DATA_FRAME_MAX];
    size_t size = data_frame(frame, 1, 200 * 1024);
    give(ends, frame, size);
    assert_int_equal(bulk_read(ends->bulk, ends->pipe_in[0]), 1);
    assert_int_equal(bulk_control(ends->bulk, MESSAGE_commit, (const uint8_t *)"", 0), 0);
    size_t have = 0;
    while (bulk_has(ends->bulk)) { /* a pipe of 64 KiB: several writes, the last of them control */
        assert_int_equal(bulk_write(ends->bulk, ends->pipe_out[1]), 0);
        ssize_t part = read(ends->pipe_out[0], got + have, sizeof got - have);
        assert_true(part > 0);
        have += (size_t)part;
    }
    assert_int_equal(have, size + FRAME_HEADER_SIZE);
    assert_memory_equal(got, frame, size);
    assert_int_equal(got[size + 1], MESSAGE_commit);
}

static void frames_of_others_are_refused(void **state)
{
    struct ends *ends = *state;
    for (unsigned type = 0; type < 256; type++) {
        if (type == MESSAGE_stream_data || type == MESSAGE_stream_end || type == MESSAGE_streams_end) {
            continue;
        }
        uint8_t header[FRAME_HEADER_SIZE];
        frame_header_encode(header, type, 0);
        *ends->bulk = (struct bulk){0};
        give(ends, header, sizeof header);
        assert_int_equal(bulk_read(ends->bulk, ends->pipe_in[0]), -1);
        assert_non_null(ends->bulk->refusal);
        assert_false(bulk_has(ends->bulk));
    }
}

static void long_frames_are_refused(void **state)
{
    struct ends *ends = *state;
    uint8_t header[FRAME_HEADER_SIZE];
    frame_header_encode(header, MESSAGE_stream_data, DATA_FRAME_MAX);
    give(ends, header, sizeof header);
    assert_int_equal(bulk_read(ends->bulk, ends->pipe_in[0]), -1);
}

static void memory_is_bounded_and_all_arrives(void **state)
{
    struct ends *ends = *state;
    uint8_t frame[DATA_FRAME_MAX];
    uint8_t got[DATA_FRAME_MAX];
    size_t size = data_frame(frame, 1, DATA_BYTES_MAX);
    size_t given = 0;
    size_t taken = 0;
    for (unsigned i = 0; i < 400; i++) {
        ssize_t part = write(ends->pipe_in[1], frame + given % size, size - given % size);
        given += part > 0 ? (size_t)part : 0;
        if (bulk_wants(ends->bulk)) {
            assert_int_equal(bulk_read(ends->bulk, ends->pipe_in[0]), 1);
        }
        if (i % 3 == 0 && bulk_has(ends->bulk)) {
            assert_int_equal(bulk_write(ends->bulk, ends->pipe_out[1]), 0);
            ssize_t out = read(ends->pipe_out[0], got, sizeof got);
            assert_memory_equal(got, frame + taken % size,
                                out < (ssize_t)(size - taken % size) ? (size_t)out : size - taken % size);
            taken += (size_t)out;
        }
        assert_true(ends->bulk->size <= BULK_CAPACITY);
    }
    assert_true(taken > 2 * size);
}

static void control_is_bounded(void **state)
{
    struct ends *ends = *state;
    static uint8_t payload[CONTROL_FRAME_MAX];
    unsigned queued = 0;
    while (bulk_control(ends->bulk, MESSAGE_note, payload, 12000) == 0) {
        queued++;
    }
    assert_int_equal(queued, BULK_CONTROL_CAPACITY / (12000 + FRAME_HEADER_SIZE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_partial_frame_is_not_released, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_read_behind_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bulk_waits_for_the_frame_that_begins_its_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(control_waits_for_what_was_released, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_of_others_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_frames_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_bounded_and_all_arrives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(control_is_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
