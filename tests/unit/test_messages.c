/* The message table: what is encoded is decoded, and nothing beyond its bounds, types and states passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc.h"

static void decodes_what_it_encoded(void **state)
{
    (void)state;
    uint8_t frame[CONTROL_FRAME_MAX];
    struct msg_object object = {text_of("p/backup_app_x"), 1ULL << 40, 7, text_of("\"e\""), text_of("")};
    size_t size = message_encode(MESSAGE_object, &object, frame, sizeof frame);
    assert_true(size > FRAME_HEADER_SIZE);
    struct frame_header header;
    assert_null(frame_header_decode(frame, &header));
    assert_int_equal(header.type, MESSAGE_object);
    struct msg_object decoded;
    assert_null(message_decode(MESSAGE_object, frame + FRAME_HEADER_SIZE, header.length, &decoded));
    assert_string_equal(decoded.key.data, "p/backup_app_x");
    assert_int_equal(decoded.size, 1ULL << 40);
}

static void refuses_every_cut_and_every_surplus(void **state)
{
    (void)state;
    uint8_t frame[CONTROL_FRAME_MAX] = {0};
    struct msg_object object = {text_of("key"), 1, 2, text_of("etag"), text_of("v")};
    size_t length = message_encode(MESSAGE_object, &object, frame, sizeof frame) - FRAME_HEADER_SIZE;
    struct msg_object decoded;
    for (size_t cut = 0; cut < length; cut++) {
        assert_non_null(message_decode(MESSAGE_object, frame + FRAME_HEADER_SIZE, cut, &decoded));
    }
    assert_non_null(message_decode(MESSAGE_object, frame + FRAME_HEADER_SIZE, length + 1, &decoded));
}

static void refuses_text_with_nul_and_beyond_bounds(void **state)
{
    (void)state;
    uint8_t frame[CONTROL_FRAME_MAX];
    char text[200] = {0};
    struct msg_list list = {{text, 3}, 0};
    assert_int_equal(message_encode(MESSAGE_list, &list, frame, sizeof frame), 0);
    memset(text, 'a', sizeof text);
    list.project.size = 129;
    assert_int_equal(message_encode(MESSAGE_list, &list, frame, sizeof frame), 0);
    list.project.size = 3;
    size_t size = message_encode(MESSAGE_list, &list, frame, sizeof frame);
    frame[FRAME_HEADER_SIZE + 5] = 0;
    assert_non_null(message_decode(MESSAGE_list, frame + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE, &list));
}

/* A sender that does not keep to the bounds which our own encoder keeps. */
static void refuses_decoded_fields_beyond_their_bounds(void **state)
{
    (void)state;
    uint8_t text[4 + 129 + 1 + 8] = {129}; /* length, text, NUL; a number */
    memset(text + 4, 'a', 129);
    struct msg_list list;
    assert_non_null(message_decode(MESSAGE_list, text, sizeof text, &list));
    text[0] = 128;
    text[4 + 128] = 0;
    assert_null(message_decode(MESSAGE_list, text, sizeof text - 1, &list));
    uint8_t number[8] = {0};
    struct msg_act_run act_run;
    assert_null(message_decode(MESSAGE_act_run, number, sizeof number, &act_run));
    memset(number, 0xff, sizeof number);
    assert_non_null(message_decode(MESSAGE_act_run, number, sizeof number, &act_run));
}

/* The payload ends where a page ends that nothing may be read behind. */
static void reads_nothing_behind_a_cut_payload(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
    uint8_t frame[CONTROL_FRAME_MAX];
    struct msg_object object = {text_of("key"), 1, 2, text_of("etag"), text_of("v")};
    size_t length = message_encode(MESSAGE_object, &object, frame, sizeof frame) - FRAME_HEADER_SIZE;
    struct msg_object decoded;
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *payload = memory + page - cut;
        memcpy(payload, frame + FRAME_HEADER_SIZE, cut);
        assert_non_null(message_decode(MESSAGE_object, payload, cut, &decoded));
    }
    munmap(memory, 2 * page);
}

static void refuses_headers_of_other_versions_types_and_lengths(void **state)
{
    (void)state;
    struct frame_header header;
    uint8_t frame[FRAME_HEADER_SIZE];
    frame_header_encode(frame, MESSAGE_list, 10);
    assert_null(frame_header_decode(frame, &header));
    frame[0] = FRAME_VERSION + 1;
    assert_non_null(frame_header_decode(frame, &header));
    frame_header_encode(frame, MESSAGE_COUNT, 0);
    assert_non_null(frame_header_decode(frame, &header));
    frame_header_encode(frame, MESSAGE_NONE, 0);
    assert_non_null(frame_header_decode(frame, &header));
    frame_header_encode(frame, MESSAGE_list, message_rule(MESSAGE_list)->payload_max + 1);
    assert_non_null(frame_header_decode(frame, &header));
}

static void control_messages_fit_into_a_control_frame(void **state)
{
    (void)state;
    for (unsigned type = 1; type < MESSAGE_COUNT; type++) {
        const struct message_rule *rule = message_rule(type);
        bool bulk = false;
        for (size_t i = 0; i < rule->field_count; i++) {
            bulk = bulk || rule->fields[i].kind == FIELD_BYTES;
        }
        assert_true(bulk || rule->payload_max + FRAME_HEADER_SIZE <= CONTROL_FRAME_MAX);
    }
}

static void a_message_out_of_its_state_is_refused(void **state)
{
    (void)state;
    struct conversation talk = {PARTY_SUPERVISOR, PARTY_FETCHER, STATE_STARTING};
    assert_non_null(conversation_advance(&talk, PARTY_FETCHER, PARTY_SUPERVISOR, MESSAGE_ready));
    assert_null(conversation_advance(&talk, PARTY_SUPERVISOR, PARTY_FETCHER, MESSAGE_fetcher_config));
    assert_null(conversation_advance(&talk, PARTY_FETCHER, PARTY_SUPERVISOR, MESSAGE_ready));
    assert_int_equal(talk.state, STATE_IDLE);
    assert_non_null(conversation_advance(&talk, PARTY_FETCHER, PARTY_SUPERVISOR, MESSAGE_object));
    assert_null(conversation_advance(&talk, PARTY_SUPERVISOR, PARTY_FETCHER, MESSAGE_list));
    assert_null(conversation_advance(&talk, PARTY_FETCHER, PARTY_SUPERVISOR, MESSAGE_object));
}

static void a_message_of_another_sender_is_refused(void **state)
{
    (void)state;
    struct conversation talk = {PARTY_SUPERVISOR, PARTY_UNPACKER, STATE_LISTING};
    assert_non_null(conversation_advance(&talk, PARTY_UNPACKER, PARTY_SUPERVISOR, MESSAGE_object));
    assert_non_null(conversation_advance(&talk, PARTY_UNPACKER, PARTY_SUPERVISOR, MESSAGE_credentials));
}

static void a_stager_may_not_speak_for_the_agent(void **state)
{
    (void)state;
    struct conversation talk = {PARTY_SUPERVISOR, PARTY_STAGER, STATE_IDLE};
    assert_non_null(conversation_advance(&talk, PARTY_STAGER, PARTY_SUPERVISOR, MESSAGE_failed));
    assert_null(conversation_advance(&talk, PARTY_STAGER, PARTY_SUPERVISOR, MESSAGE_stager_failed));
}

static void channels_carry_two_conversations(void **state)
{
    (void)state;
    int down[2], up[2];
    assert_int_equal(pipe(down) | pipe(up), 0);
    struct channel *supervisor = calloc(1, sizeof *supervisor), *agent = calloc(1, sizeof *agent);
    channel_init(supervisor, up[0], down[1], PARTY_SUPERVISOR, PARTY_AGENT);
    channel_init(agent, down[0], up[1], PARTY_AGENT, PARTY_SUPERVISOR);
    channel_relay(supervisor, PARTY_SUPERVISOR, PARTY_STAGER);
    channel_relay(agent, PARTY_STAGER, PARTY_SUPERVISOR);
    assert_int_equal(SEND(supervisor, stager_config, .run = text_of("r")), IPC_OK);
    struct frame frame;
    assert_int_equal(channel_receive(agent, &frame), IPC_OK);
    assert_int_equal(frame.receiver, PARTY_STAGER);
    uint8_t ready[64];
    size_t size = message_encode(MESSAGE_stager_ready, &(struct msg_stager_ready){1, text_of(""), text_of("")}, ready,
                                 sizeof ready);
    assert_int_equal(channel_forward(agent, ready, size), IPC_OK);
    assert_int_equal(channel_receive(supervisor, &frame), IPC_OK);
    assert_int_equal(frame.sender, PARTY_STAGER);
    assert_int_equal(supervisor->relayed.state, STATE_IDLE);
    assert_int_equal(supervisor->direct.state, STATE_STARTING);
    close(down[1]);
    assert_int_equal(channel_receive(agent, &frame), IPC_EOF);
    free(supervisor);
    free(agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_what_it_encoded),
        cmocka_unit_test(refuses_every_cut_and_every_surplus),
        cmocka_unit_test(refuses_text_with_nul_and_beyond_bounds),
        cmocka_unit_test(refuses_decoded_fields_beyond_their_bounds),
        cmocka_unit_test(reads_nothing_behind_a_cut_payload),
        cmocka_unit_test(refuses_headers_of_other_versions_types_and_lengths),
        cmocka_unit_test(control_messages_fit_into_a_control_frame),
        cmocka_unit_test(a_message_out_of_its_state_is_refused),
        cmocka_unit_test(a_message_of_another_sender_is_refused),
        cmocka_unit_test(a_stager_may_not_speak_for_the_agent),
        cmocka_unit_test(channels_carry_two_conversations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
