/*
 * Frames in both directions: any bytes are either refused or decode to fields within their bounds that encode to the
 * same bytes again.
 */
#include <stdlib.h>
#include <string.h>

#include "include/messages.h"

#define MESSAGE_SIZE 512

static void check_fields(unsigned type, const void *message)
{
    const struct message_rule *rule = message_rule(type);
    const uint8_t *member = message;
    for (size_t i = 0; i < rule->field_count; i++) {
        const struct field_rule *field = &rule->fields[i];
        if (field->kind == FIELD_U64) {
            if (*(const uint64_t *)member > field->limit) {
                abort();
            }
            member += sizeof(uint64_t);
            continue;
        }
        const struct text *text = (const struct text *)member;
        if (text->size > field->limit || (field->kind == FIELD_TEXT && strlen(text->data) != text->size)) {
            abort();
        }
        member += sizeof(struct text);
    }
}

static void try_frame(const uint8_t *data, size_t size)
{
    struct frame_header header;
    if (size < FRAME_HEADER_SIZE || frame_header_decode(data, &header) != NULL ||
        header.length > size - FRAME_HEADER_SIZE) {
        return;
    }
    uint64_t message[MESSAGE_SIZE / sizeof(uint64_t)];
    if (message_rule(header.type)->struct_size > sizeof message) {
        abort();
    }
    if (message_decode(header.type, data + FRAME_HEADER_SIZE, header.length, message) != NULL) {
        return;
    }
    check_fields(header.type, message);
    static uint8_t again[DATA_FRAME_MAX];
    size_t encoded = message_encode(header.type, message, again, sizeof again);
    if (encoded != FRAME_HEADER_SIZE + header.length || memcmp(again, data, encoded) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_frame(data, size);
    /* the same payload as every type: most inputs would otherwise die at the header */
    for (unsigned type = 1; type < MESSAGE_COUNT && size <= CONTROL_FRAME_MAX; type++) {
        uint64_t message[MESSAGE_SIZE / sizeof(uint64_t)];
        if (message_decode(type, data, size, message) == NULL) {
            check_fields(type, message);
        }
    }
    return 0;
}
