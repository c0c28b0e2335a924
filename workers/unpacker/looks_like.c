/* Magic numbers of what people and proxies store in place of a zstd archive. */
#include "looks_like.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct magic {
    size_t offset;
    const char *bytes;
    size_t size;
    const char *meaning;
};

#define MAGIC(offset, bytes, meaning)                                                                                  \
    {                                                                                                                  \
        offset, bytes, sizeof(bytes) - 1, meaning                                                                      \
    }

static const struct magic magics[] = {
    MAGIC(0, "\x1f\x8b", "it looks like gzip; make it again with `zstd`, or recompress it"),
    MAGIC(0,
          "\xfd"
          "7zXZ",
          "it looks like xz; recompress it with `xz -dc | zstd`"),
    MAGIC(0, "BZh", "it looks like bzip2; recompress it with `bzip2 -dc | zstd`"),
    MAGIC(0, "\x04\x22\x4d\x18", "it looks like lz4; recompress it with `lz4 -dc | zstd`"),
    MAGIC(0, "PK\x03\x04", "it looks like a zip file; it is no backup of this kind"),
    MAGIC(0, "age-encryption.org/", "it is encrypted with age; decrypt it first"),
    MAGIC(0, "-----BEGIN AGE ENCRYPTED FILE", "it is encrypted with age; decrypt it first"),
    MAGIC(0, "-----BEGIN PGP MESSAGE", "it is encrypted with gpg; decrypt it first"),
    MAGIC(0, "\x84", "it looks encrypted with gpg; decrypt it first"),
    MAGIC(0, "\x85", "it looks encrypted with gpg; decrypt it first"),
    MAGIC(0, "\x8c\x0d", "it looks encrypted with gpg; decrypt it first"),
    MAGIC(0, "Salted__", "it is encrypted with openssl; decrypt it first"),
    MAGIC(257, "ustar", "it is a plain tar; compress it with `zstd`"),
};

/* aws-chunked: hex digits, perhaps `;chunk-signature=...`, CRLF, then what was meant to be stored. */
static bool is_aws_chunked(const uint8_t *bytes, size_t size)
{
    size_t digits = 0;
    while (digits < size && isxdigit(bytes[digits]) != 0) {
        digits++;
    }
    const uint8_t *line_end = digits == 0 ? NULL : memmem(bytes, size, "\r\n", 2);
    if (line_end == NULL || (bytes[digits] != ';' && bytes + digits != line_end)) {
        return false;
    }
    size_t rest = size - (size_t)(line_end + 2 - bytes);
    return rest >= 4 && memcmp(line_end + 2, "\x28\xb5\x2f\xfd", 4) == 0;
}

static bool is_markup(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at < size && isspace(bytes[at]) != 0) {
        at++;
    }
    const char *starts[] = {"<?xml", "<!doctype", "<html", "<Error"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        size_t length = strlen(starts[i]);
        if (size - at >= length && strncasecmp((const char *)bytes + at, starts[i], length) == 0) {
            return true;
        }
    }
    return false;
}

const char *looks_like(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return "it is empty";
    }
    if (is_aws_chunked(bytes, size)) {
        return "it was stored with its aws-chunked transfer framing around it; upload it again with a client that the "
               "storage understands";
    }
    if (is_markup(bytes, size)) {
        return "it looks like an HTML or XML page, perhaps an error message that was saved; upload the backup again";
    }
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        const struct magic *magic = &magics[i];
        if (size >= magic->offset + magic->size && memcmp(bytes + magic->offset, magic->bytes, magic->size) == 0) {
            return magic->meaning;
        }
    }
    return "it looks like nothing known; check that it is the right object and was uploaded whole";
}
