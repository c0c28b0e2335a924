/* Encodes and decodes every message by the table that messages.def generates. Pure: no descriptor, no allocation. */
#include "messages.h"

/* A party, a state or a field list is a bare word in messages.def; these give it its enum. */
#define U64(name, largest) {#name, FIELD_U64, largest},
#define TEXT(name, most) {#name, FIELD_TEXT, most},
#define BYTES(name, most) {#name, FIELD_BYTES, most},
#define MESSAGE(name, sender, receiver, states, next, fields)                                                          \
    static const struct field_rule fields_##name[] = {fields{NULL, FIELD_U64, 0}};
#include "messages.def"
#undef MESSAGE
#undef BYTES
#undef TEXT
#undef U64

#define LENGTH_SIZE 4
#define U64(name, largest) +sizeof(uint64_t)
#define TEXT(name, most) +(LENGTH_SIZE + (most) + 1)
#define BYTES(name, most) +(LENGTH_SIZE + (most))
enum {
#define MESSAGE(name, sender, receiver, states, next, fields) payload_max_##name = 0 fields,
#include "messages.def"
#undef MESSAGE
};

#define MESSAGE(name, sender, receiver, states, next, fields)                                                          \
    _Static_assert((size_t)payload_max_##name <= DATA_FRAME_MAX - FRAME_HEADER_SIZE, #name " exceeds the data frame");
#include "messages.def"
#undef MESSAGE

enum {
    SUPERVISOR = PARTY_SUPERVISOR,
    FETCHER = PARTY_FETCHER,
    UNPACKER = PARTY_UNPACKER,
    AGENT = PARTY_AGENT,
    STAGER = PARTY_STAGER,
    STRETCHER = PARTY_STRETCHER,
    WORKER = PARTY_WORKER,
};

enum {
    KEEP = STATE_KEEP,
    STARTING = STATE_STARTING,
    CONFIGURED = STATE_CONFIGURED,
    IDLE = STATE_IDLE,
    LISTING = STATE_LISTING,
    LOOKING = STATE_LOOKING,
    FETCHING = STATE_FETCHING,
    UNPACKING = STATE_UNPACKING,
    PINGING = STATE_PINGING,
    LOCKING = STATE_LOCKING,
    TARGETING = STATE_TARGETING,
    PREPARING = STATE_PREPARING,
    OPENING = STATE_OPENING,
    CLOSING = STATE_CLOSING,
    ACTING = STATE_ACTING,
    REMOVING = STATE_REMOVING,
    LAYERING = STATE_LAYERING,
    QUERYING = STATE_QUERYING,
    LOADING = STATE_LOADING,
    PROBING = STATE_PROBING,
    STAGING = STATE_STAGING,
    NOTING = STATE_NOTING,
    SWAPPING = STATE_SWAPPING,
    SPOOLING = STATE_SPOOLING,
    STRETCHING = STATE_STRETCHING,
    ANY_STATE = STATE_ANY_STATE,
};

static const struct message_rule rules[MESSAGE_COUNT] = {
#define MESSAGE(name, sender, receiver, states, next, fields)                                                          \
    [MESSAGE_##name] = {#name,                                                                                         \
                        (enum party)(sender),                                                                          \
                        (enum party)(receiver),                                                                        \
                        (unsigned)(states),                                                                            \
                        (enum state)(next),                                                                            \
                        fields_##name,                                                                                 \
                        sizeof fields_##name / sizeof fields_##name[0] - 1,                                            \
                        sizeof(struct msg_##name),                                                                     \
                        (size_t)payload_max_##name},
#include "messages.def"
#undef MESSAGE
};
#undef BYTES
#undef TEXT
#undef U64

const struct message_rule *message_rule(unsigned type)
{
    if (type == MESSAGE_NONE || type >= MESSAGE_COUNT) {
        return NULL;
    }
    return &rules[type];
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static void put_u64(uint8_t *out, uint64_t value)
{
    put_u32(out, (uint32_t)value);
    put_u32(out + 4, (uint32_t)(value >> 32));
}

static uint64_t get_u64(const uint8_t *in)
{
    return (uint64_t)get_u32(in) | (uint64_t)get_u32(in + 4) << 32;
}

void frame_header_encode(uint8_t out[FRAME_HEADER_SIZE], unsigned type, size_t length)
{
    out[0] = FRAME_VERSION;
    out[1] = (uint8_t)type;
    out[2] = 0;
    out[3] = 0;
    put_u32(out + 4, (uint32_t)length);
}

const char *frame_header_decode(const uint8_t in[FRAME_HEADER_SIZE], struct frame_header *header)
{
    if (in[0] != FRAME_VERSION || in[2] != 0 || in[3] != 0) {
        return "frame of another version";
    }
    const struct message_rule *rule = message_rule(in[1]);
    if (rule == NULL) {
        return "frame of an unknown type";
    }
    header->type = in[1];
    header->length = get_u32(in + 4);
    if (header->length > rule->payload_max) {
        return "frame longer than its type allows";
    }
    return NULL;
}

/* Every member of a struct msg_* is a uint64_t or a struct text, so members lie end to end. */
_Static_assert(sizeof(struct text) == 2 * sizeof(uint64_t), "struct text must leave no padding");

static size_t member_size(enum field_kind kind)
{
    return kind == FIELD_U64 ? sizeof(uint64_t) : sizeof(struct text);
}

/* Returns the bytes written, 0 on refusal. */
static size_t encode_field(const struct field_rule *rule, const void *member, uint8_t *out, size_t room)
{
    if (rule->kind == FIELD_U64) {
        uint64_t value = *(const uint64_t *)member;
        if (value > rule->limit || room < sizeof value) {
            return 0;
        }
        put_u64(out, value);
        return sizeof value;
    }
    const struct text *text = member;
    size_t terminator = rule->kind == FIELD_TEXT ? 1 : 0;
    if (text->size > rule->limit || room < LENGTH_SIZE + terminator || text->size > room - LENGTH_SIZE - terminator) {
        return 0;
    }
    if (terminator != 0 && text->size != 0 && memchr(text->data, 0, text->size) != NULL) {
        return 0;
    }
    put_u32(out, (uint32_t)text->size);
    if (text->size != 0) {
        memcpy(out + LENGTH_SIZE, text->data, text->size);
    }
    if (terminator != 0) {
        out[LENGTH_SIZE + text->size] = 0;
    }
    return LENGTH_SIZE + text->size + terminator;
}

size_t message_encode(unsigned type, const void *message, uint8_t *out, size_t capacity)
{
    const struct message_rule *rule = message_rule(type);
    if (rule == NULL || capacity < FRAME_HEADER_SIZE) {
        return 0;
    }
    size_t at = FRAME_HEADER_SIZE;
    const uint8_t *member = message;
    for (size_t i = 0; i < rule->field_count; i++) {
        size_t written = encode_field(&rule->fields[i], member, out + at, capacity - at);
        if (written == 0) {
            return 0;
        }
        at += written;
        member += member_size(rule->fields[i].kind);
    }
    frame_header_encode(out, type, at - FRAME_HEADER_SIZE);
    return at;
}

/* Reads one field at *at; returns NULL or the reason for refusal. */
static const char *decode_field(const struct field_rule *rule, const uint8_t *payload, size_t length, size_t *at,
                                void *member)
{
    if (rule->kind == FIELD_U64) {
        if (sizeof(uint64_t) > length - *at) {
            return "payload shorter than its fields";
        }
        uint64_t value = get_u64(payload + *at);
        if (value > rule->limit) {
            return "number beyond its bound";
        }
        *(uint64_t *)member = value;
        *at += sizeof value;
        return NULL;
    }
    if (LENGTH_SIZE > length - *at) {
        return "payload shorter than its fields";
    }
    size_t size = get_u32(payload + *at);
    *at += LENGTH_SIZE;
    size_t terminator = rule->kind == FIELD_TEXT ? 1 : 0;
    if (size > rule->limit) {
        return "text beyond its bound";
    }
    if (size > length - *at || terminator > length - *at - size) {
        return "payload shorter than its fields";
    }
    const uint8_t *data = payload + *at;
    if (terminator != 0 && (data[size] != 0 || memchr(data, 0, size) != NULL)) {
        return "NUL inside a text";
    }
    *(struct text *)member = (struct text){(const char *)data, size};
    *at += size + terminator;
    return NULL;
}

const char *message_decode(unsigned type, const uint8_t *payload, size_t length, void *message)
{
    const struct message_rule *rule = message_rule(type);
    if (rule == NULL) {
        return "message of an unknown type";
    }
    size_t at = 0;
    uint8_t *member = message;
    for (size_t i = 0; i < rule->field_count; i++) {
        const char *refusal = decode_field(&rule->fields[i], payload, length, &at, member);
        if (refusal != NULL) {
            return refusal;
        }
        member += member_size(rule->fields[i].kind);
    }
    return at == length ? NULL : "bytes left over";
}
