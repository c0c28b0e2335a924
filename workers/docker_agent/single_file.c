/* The one regular file in an answer of the archive API; see single_file.h. Pure. */
#include "single_file.h"

#include <stdlib.h>
#include <string.h>

#include "secret.h"

#define SIZE_OFFSET 124
#define SIZE_DIGITS 11
#define TYPE_OFFSET 156

static int refuse(struct single_file *file, const char *reason)
{
    file->refusal = reason;
    return -1;
}

static int octal_size(const uint8_t *header, uint64_t *size)
{
    *size = 0;
    for (size_t i = 0; i < SIZE_DIGITS; i++) {
        uint8_t digit = header[SIZE_OFFSET + i];
        if (digit < '0' || digit > '7') {
            return -1;
        }
        *size = *size * 8 + (uint64_t)(digit - '0');
    }
    return 0;
}

static int take_header(struct single_file *file)
{
    file->have = 0;
    if (file->header[0] == 0) { /* the end */
        return 0;
    }
    uint64_t size = 0;
    if (octal_size(file->header, &size) != 0) {
        return refuse(file, "the archive is malformed");
    }
    uint64_t padded = (size + SINGLE_FILE_BLOCK - 1) / SINGLE_FILE_BLOCK * SINGLE_FILE_BLOCK;
    uint8_t type = file->header[TYPE_OFFSET];
    if (type == 'x' || type == 'g') {
        file->skip = padded;
        return 0;
    }
    if (file->found || (type != '0' && type != 0)) {
        return refuse(file, "it is no regular file");
    }
    if (size > file->limit) {
        return refuse(file, "it is too long");
    }
    file->data = calloc(1, (size_t)size + 1);
    if (file->data == NULL) {
        return refuse(file, "no memory");
    }
    file->found = true;
    file->size = (size_t)size;
    file->skip = padded - size; /* counts once the file is filled */
    return 0;
}

/* How many of the next bytes belong together; `into` is where they go, NULL for those that are skipped. */
static size_t next_part(struct single_file *file, uint8_t **into)
{
    if (file->filled < file->size) {
        *into = (uint8_t *)file->data + file->filled;
        return file->size - file->filled;
    }
    if (file->skip > 0) {
        *into = NULL;
        return file->skip < SIZE_MAX ? (size_t)file->skip : SIZE_MAX;
    }
    *into = file->header + file->have;
    return SINGLE_FILE_BLOCK - file->have;
}

int single_file_feed(struct single_file *file, const uint8_t *data, size_t size)
{
    while (size > 0) {
        uint8_t *into = NULL;
        size_t part = next_part(file, &into);
        part = size < part ? size : part;
        if (into != NULL) {
            memcpy(into, data, part);
        }
        if (file->filled < file->size) {
            file->filled += part;
        } else if (file->skip > 0) {
            file->skip -= part;
        } else {
            file->have += part;
        }
        data += part;
        size -= part;
        if (file->have == SINGLE_FILE_BLOCK && take_header(file) != 0) {
            return -1;
        }
    }
    return 0;
}

int single_file_take(struct single_file *file, char **data, size_t *size)
{
    if (!file->found || file->filled != file->size) {
        return -1;
    }
    *data = file->data;
    *size = file->size;
    file->data = NULL;
    return 0;
}

void single_file_free(struct single_file *file)
{
    if (file->data != NULL) {
        secret_wipe(file->data, file->size);
        free(file->data);
        file->data = NULL;
    }
}
