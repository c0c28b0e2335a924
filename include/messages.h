/*
 * Messages and frames: what messages.def generates, and the shape of a frame.
 *
 * A frame is a header of 8 bytes (version, type, two zero bytes, payload length as little-endian u32) and the payload.
 * Fields follow each other: U64 as 8 bytes little-endian; TEXT and BYTES as a u32 length, the bytes, and for TEXT a
 * NUL that is not counted, so that a decoded TEXT is a C string that points into the frame.
 */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FRAME_VERSION 1
#define FRAME_HEADER_SIZE 8
#define CONTROL_FRAME_MAX (16 * 1024)
#define DATA_FRAME_MAX (256 * 1024)
#define DATA_BYTES_MAX (DATA_FRAME_MAX - 64)
#define MAX_U64 UINT64_MAX
#define MAX_U32 UINT32_MAX
#define MAX_STREAMS 1023
#define MAX_CONTAINERS 1023
#define MAX_MOUNTS 1023
#define MAX_ROOTS 1023

enum section_kind { SECTION_NONE, SECTION_VOLUME, SECTION_POSTGRES, SECTION_MARIADB };
enum archive_format { FORMAT_ZSTD, FORMAT_GZIP, FORMAT_XZ, FORMAT_TAR }; /* of what the object's name says */
enum s3_addressing { ADDRESSING_AUTO, ADDRESSING_PATH, ADDRESSING_VIRTUAL };
enum ownership { OWNERSHIP_AUTO, OWNERSHIP_ARCHIVE, OWNERSHIP_EXISTING };
enum container_action { ACTION_STOP, ACTION_START, ACTION_PAUSE, ACTION_UNPAUSE, ACTION_SET_RESTART };
/* FOLLOW: events are read and dropped, containers are still to be stopped. REPORT: what starts is told. */
enum watch_mode { WATCH_OFF, WATCH_FOLLOW, WATCH_REPORT };
/* Of a run's journal, in order. STAGED covers all before the first rename; CONCLUDED is the point of no return. */
enum journal_phase { JOURNAL_NONE, JOURNAL_STAGED, JOURNAL_SWAPPING, JOURNAL_SWAPPED, JOURNAL_CONCLUDED };

enum party {
    PARTY_SUPERVISOR,
    PARTY_FETCHER,
    PARTY_UNPACKER,
    PARTY_AGENT,
    PARTY_STAGER,
    PARTY_STRETCHER,
    PARTY_WORKER
};

/* States of a conversation, one bit each, so that a message can name several. */
enum state {
    STATE_KEEP = 0,
    STATE_STARTING = 1 << 0,
    STATE_CONFIGURED = 1 << 1,
    STATE_IDLE = 1 << 2,
    STATE_LISTING = 1 << 3,
    STATE_LOOKING = 1 << 4,
    STATE_FETCHING = 1 << 5,
    STATE_UNPACKING = 1 << 6,
    STATE_PINGING = 1 << 7,
    STATE_LOCKING = 1 << 8,
    STATE_TARGETING = 1 << 9,
    STATE_PREPARING = 1 << 10,
    STATE_OPENING = 1 << 11,
    STATE_CLOSING = 1 << 12,
    STATE_ACTING = 1 << 13,
    STATE_REMOVING = 1 << 14,
    STATE_LAYERING = 1 << 15,
    STATE_QUERYING = 1 << 16,
    STATE_LOADING = 1 << 17,
    STATE_PROBING = 1 << 18,
    STATE_STAGING = 1 << 19,
    STATE_NOTING = 1 << 20,
    STATE_SWAPPING = 1 << 21,
    STATE_SPOOLING = 1 << 22,
    STATE_STRETCHING = 1 << 23,
    STATE_ANY_STATE = (1 << 24) - 1,
};

/* TEXT: `data` is NUL-terminated and `size` does not count the NUL. BYTES: no NUL. Not owned. */
struct text {
    const char *data;
    size_t size;
};

static inline struct text text_of(const char *string)
{
    return (struct text){string, strlen(string)};
}

enum message_type {
    MESSAGE_NONE,
#define MESSAGE(name, sender, receiver, states, next, fields) MESSAGE_##name,
#include "messages.def"
#undef MESSAGE
    MESSAGE_COUNT
};

/* struct msg_NAME for each message, members in the order of its fields. */
#define U64(name, largest) uint64_t name;
#define TEXT(name, most) struct text name;
#define BYTES(name, most) struct text name;
#define MESSAGE(name, sender, receiver, states, next, fields)                                                          \
    struct msg_##name {                                                                                                \
        fields                                                                                                         \
    };
#include "messages.def"
#undef MESSAGE
#undef BYTES
#undef TEXT
#undef U64

enum field_kind { FIELD_U64 = 1, FIELD_TEXT, FIELD_BYTES };

struct field_rule {
    const char *name;
    enum field_kind kind;
    uint64_t limit; /* largest value, or most bytes */
};

struct message_rule {
    const char *name;
    enum party sender;
    enum party receiver;
    unsigned states; /* bits of enum state in which it may come */
    enum state next; /* STATE_KEEP: no change */
    const struct field_rule *fields;
    size_t field_count;
    size_t struct_size;
    size_t payload_max; /* from the fields' bounds; never above the frame caps */
};

/* NULL for a number that names no message. */
const struct message_rule *message_rule(unsigned type);

/* Header of a frame; decode returns NULL, or the reason why the frame is refused (version, type, length). */
struct frame_header {
    unsigned type;
    size_t length;
};
void frame_header_encode(uint8_t out[FRAME_HEADER_SIZE], unsigned type, size_t length);
const char *frame_header_decode(const uint8_t in[FRAME_HEADER_SIZE], struct frame_header *header);

/*
 * Encode the struct msg_NAME at `message` as a whole frame into `out`.
 * Returns its size, or 0 where a field exceeds its bound or the frame does not fit into `capacity`.
 */
size_t message_encode(unsigned type, const void *message, uint8_t *out, size_t capacity);

/*
 * Decode a payload into the struct msg_NAME at `message`; TEXT and BYTES point into `payload`.
 * Returns NULL, or the reason why the payload is refused (bounds, NUL in a TEXT, bytes left over).
 */
const char *message_decode(unsigned type, const uint8_t *payload, size_t length, void *message);

#endif
