/* Reads the header line by line. */
#include "age_header.h"

#include <stdbool.h>
#include <string.h>

#define VERSION_LINE "age-encryption.org/v1\n"
#define LINE_LENGTH 64 /* of a body, all but the last */
#define ARGUMENTS_MAX 8

struct line {
    const uint8_t *at;
    size_t length; /* without its newline */
};

struct cursor {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

struct stanza {
    struct line arguments[ARGUMENTS_MAX]; /* more than these are counted alone */
    size_t argument_count;
    uint8_t body[AGE_WRAPPED_SIZE + 1]; /* longer ones are measured alone */
    size_t body_size;
};

static int digit_of(uint8_t character)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = character == 0 ? NULL : strchr(digits, character);
    return found == NULL ? -1 : (int)(found - digits);
}

long age_base64(const uint8_t *text, size_t length, uint8_t *out, size_t room)
{
    size_t size = 0;
    unsigned bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < length; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0) {
            return -1;
        }
        held = (held << 6 | (unsigned)digit) & 0xfff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (size == room) {
                return -1;
            }
            out[size++] = (uint8_t)(held >> bits);
        }
    }
    bool whole = length % 4 != 1 && (held & ((1U << bits) - 1)) == 0;
    return whole ? (long)size : -1;
}

/* The next line, which has to end in a newline. False where it does not. */
static bool next_line(struct cursor *cursor, struct line *line)
{
    const uint8_t *start = cursor->bytes + cursor->at;
    const uint8_t *end = memchr(start, '\n', cursor->size - cursor->at);
    if (end == NULL) {
        return false;
    }
    *line = (struct line){start, (size_t)(end - start)};
    cursor->at += line->length + 1;
    return true;
}

static bool is_word(const struct line *line, const char *word)
{
    return line->length == strlen(word) && memcmp(line->at, word, line->length) == 0;
}

/* "-> TYPE ARGUMENT ...": visible characters, parted by one blank each. */
static const char *split_arguments(const struct line *line, struct stanza *stanza)
{
    stanza->argument_count = 0;
    size_t start = 3;
    for (size_t i = 3; i <= line->length; i++) {
        if (i < line->length && line->at[i] != ' ') {
            if (line->at[i] < 33 || line->at[i] > 126) {
                return "a recipient's line holds a character that none can have";
            }
            continue;
        }
        if (i == start) {
            return "a recipient's line has an empty argument";
        }
        if (stanza->argument_count < ARGUMENTS_MAX) {
            stanza->arguments[stanza->argument_count] = (struct line){line->at + start, i - start};
        }
        stanza->argument_count++;
        start = i + 1;
    }
    return NULL;
}

static const char *read_body(struct cursor *cursor, struct stanza *stanza)
{
    stanza->body_size = 0;
    struct line line = {NULL, LINE_LENGTH};
    while (line.length == LINE_LENGTH) {
        uint8_t bytes[LINE_LENGTH];
        if (!next_line(cursor, &line)) {
            return "it is cut within a recipient's key";
        }
        long size = line.length > LINE_LENGTH ? -1 : age_base64(line.at, line.length, bytes, sizeof bytes);
        if (size < 0) {
            return "a recipient's key is not the base64 that it has to be";
        }
        size_t room = sizeof stanza->body - stanza->body_size;
        size_t part = (size_t)size < room ? (size_t)size : room;
        memcpy(stanza->body + stanza->body_size, bytes, part);
        stanza->body_size += part;
    }
    return NULL;
}

static bool decodes_to(const struct line *argument, uint8_t *out, size_t size)
{
    return age_base64(argument->at, argument->length, out, size) == (long)size;
}

static const char *take_x25519(const struct stanza *stanza, struct age_header *header)
{
    if (header->recipient_count == AGE_RECIPIENTS_MAX) {
        return "it has more recipients than are read here";
    }
    struct age_recipient *recipient = &header->recipients[header->recipient_count];
    if (stanza->argument_count != 2 || !decodes_to(&stanza->arguments[1], recipient->share, AGE_KEY_SIZE) ||
        stanza->body_size != AGE_WRAPPED_SIZE) {
        return "the key of an X25519 recipient is malformed";
    }
    memcpy(recipient->body, stanza->body, AGE_WRAPPED_SIZE);
    header->recipient_count++;
    return NULL;
}

static const char *take_scrypt(const struct stanza *stanza, struct age_header *header)
{
    if (stanza->argument_count != 3 || !decodes_to(&stanza->arguments[1], header->salt, AGE_SALT_SIZE) ||
        stanza->body_size != AGE_WRAPPED_SIZE) {
        return "the key of its passphrase is malformed";
    }
    const struct line *factor = &stanza->arguments[2];
    unsigned value = 0;
    for (size_t i = 0; i < factor->length; i++) {
        if (factor->at[i] < '0' || factor->at[i] > '9' || factor->at[0] == '0') {
            return "the work factor of its passphrase is no number";
        }
        value = value > AGE_WORK_FACTOR_MAX ? value : value * 10 + (unsigned)(factor->at[i] - '0');
    }
    if (value > AGE_WORK_FACTOR_MAX) {
        return "the work factor of its passphrase is above 22: stretching it would take more than 4 GiB of memory";
    }
    header->work_factor = value;
    memcpy(header->passphrase_body, stanza->body, AGE_WRAPPED_SIZE);
    return NULL;
}

static const char *take_stanza(const struct stanza *stanza, struct age_header *header)
{
    bool scrypt = is_word(&stanza->arguments[0], "scrypt");
    size_t before = header->recipient_count + header->others;
    if (header->work_factor != 0 || (scrypt && before != 0)) {
        return "it has a passphrase and other recipients too, which nothing may have";
    }
    if (scrypt) {
        return take_scrypt(stanza, header);
    }
    if (is_word(&stanza->arguments[0], "X25519")) {
        return take_x25519(stanza, header);
    }
    header->others++;
    return NULL;
}

/* "--- MAC" */
static const char *take_mac(const struct line *line, struct cursor *cursor, struct age_header *header)
{
    const struct line mac = {line->at + 4, line->length - 4};
    if (!decodes_to(&mac, header->mac, AGE_MAC_SIZE)) {
        return "its MAC is malformed";
    }
    header->mac_covers = (size_t)(line->at - cursor->bytes) + 3;
    header->size = cursor->at;
    return header->recipient_count + header->others == 0 && header->work_factor == 0 ? "it has no recipients" : NULL;
}

const char *age_header_parse(const uint8_t *bytes, size_t size, struct age_header *header)
{
    struct cursor cursor = {bytes, size < AGE_HEADER_MAX ? size : AGE_HEADER_MAX, strlen(VERSION_LINE)};
    memset(header, 0, sizeof *header);
    if (cursor.size < cursor.at || memcmp(bytes, VERSION_LINE, cursor.at) != 0) {
        return "it is not of version 1 of age's format";
    }
    for (;;) {
        struct line line;
        struct stanza stanza;
        if (!next_line(&cursor, &line)) {
            return "it is cut, or longer than 64 KiB";
        }
        if (line.length > 4 && memcmp(line.at, "--- ", 4) == 0) {
            return take_mac(&line, &cursor, header);
        }
        if (line.length < 4 || memcmp(line.at, "-> ", 3) != 0) {
            return "a line of it is neither a recipient nor its end";
        }
        const char *refusal = split_arguments(&line, &stanza);
        refusal = refusal == NULL ? read_body(&cursor, &stanza) : refusal;
        refusal = refusal == NULL ? take_stanza(&stanza, header) : refusal;
        if (refusal != NULL) {
            return refusal;
        }
    }
}
