/*
 * The locale is "C" on purpose. In a UTF-8 locale libarchive brings the names of pax headers into Unicode's composed
 * form, which changes bytes; in "C" a name beyond ASCII cannot be converted, and libarchive then keeps it as it is and
 * warns. That warning, and no other, is passed over.
 */
#include "untar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "archive_open.h"
#include "exit_codes.h"

#define BLOCK 512
#define SPARSE_BLOCKS_MAX 65536 /* in one file's map; each takes memory several times over */

struct untar {
    struct archive *archive;
    struct archive_entry *entry;
    struct reader *reader;
    struct untar_watch watch;
    struct failure *failure;
    const uint8_t *block; /* decompressed bytes that libarchive has, and where they begin in the tar */
    size_t block_size;
    uint64_t block_offset;
    int64_t position; /* end of the last block of the entry's contents */
    int64_t stored;   /* bytes of contents so far */
};

static la_ssize_t supply(struct archive *archive, void *context, const void **data)
{
    struct untar *untar = context;
    untar->block_offset += untar->block_size;
    untar->block_size = 0;
    int result = reader_next(untar->reader, data, &untar->block_size, untar->failure);
    if (result < 0 || untar->watch.block(untar->watch.context, untar->failure) != 0) {
        archive_set_error(archive, EIO, "%s", untar->failure->text);
        return -1;
    }
    untar->block = *data;
    return (la_ssize_t)untar->block_size;
}

static struct archive *open_tar(void)
{
    struct archive *archive = archive_read_new();
    if (archive == NULL || archive_read_support_format_tar(archive) != ARCHIVE_OK) {
        archive_read_free(archive);
        return NULL;
    }
    return archive;
}

static const char *error_of(struct archive *archive)
{
    const char *text = archive_error_string(archive);
    return text == NULL ? "what should be a header is none" : text;
}

static int fail_here(struct untar *untar)
{
    return fail_integrity(untar->failure, "tar, near byte %lld of it: %s",
                          (long long)archive_filter_bytes(untar->archive, 0), error_of(untar->archive));
}

struct untar *untar_new(struct reader *reader, struct untar_watch watch, struct failure *failure)
{
    struct untar *untar = calloc(1, sizeof *untar);
    if (untar == NULL) {
        fail_with(failure, EXIT_INTERNAL, "no memory for reading the tar");
        return NULL;
    }
    untar->reader = reader;
    untar->watch = watch;
    untar->failure = failure;
    untar->archive = open_tar();
    untar->entry = archive_entry_new();
    if (untar->archive == NULL || untar->entry == NULL) {
        fail_with(failure, EXIT_INTERNAL, "no memory for reading the tar");
        untar_free(untar);
        return NULL;
    }
    if (archive_read_open_checked(untar->archive, untar, supply, NULL) != ARCHIVE_OK) {
        fail_integrity(failure, "what is in it is no tar: %s", error_of(untar->archive));
        untar_free(untar);
        return NULL;
    }
    return untar;
}

void untar_free(struct untar *untar)
{
    if (untar == NULL) {
        return;
    }
    archive_entry_free(untar->entry);
    archive_read_free(untar->archive);
    free(untar);
}

/* See the top of this file. */
static bool is_name_kept_as_bytes(struct archive *archive)
{
    return strstr(error_of(archive), "can't be converted from UTF-8 to current locale") != NULL;
}

int untar_next(struct untar *untar, struct archive_entry **entry)
{
    int result = archive_read_next_header2(untar->archive, untar->entry);
    untar->position = 0;
    untar->stored = 0;
    *entry = untar->entry;
    if (result == ARCHIVE_EOF) {
        return 0;
    }
    if (result != ARCHIVE_OK && (result != ARCHIVE_WARN || !is_name_kept_as_bytes(untar->archive))) {
        return fail_here(untar);
    }
    if (archive_entry_sparse_count(untar->entry) > SPARSE_BLOCKS_MAX) {
        return fail_integrity(untar->failure, "a sparse file's map has more than %d blocks", SPARSE_BLOCKS_MAX);
    }
    return 1;
}

/* Bytes that the entry's contents have: all of it, or what the sparse map lists. */
static int64_t stored_size(struct archive_entry *entry)
{
    if (archive_entry_sparse_reset(entry) == 0) {
        return archive_entry_size(entry);
    }
    int64_t offset = 0;
    int64_t length = 0;
    int64_t sum = 0;
    while (archive_entry_sparse_next(entry, &offset, &length) == ARCHIVE_OK) {
        sum += length;
    }
    return sum;
}

int untar_data(struct untar *untar, const void **data, size_t *size, int64_t *offset)
{
    int result = archive_read_data_block(untar->archive, data, size, offset);
    if (result == ARCHIVE_EOF) {
        return untar->stored == stored_size(untar->entry)
                   ? 0
                   : fail_integrity(untar->failure, "a file in the tar holds fewer bytes than its header says");
    }
    if (result != ARCHIVE_OK) {
        return fail_here(untar);
    }
    int64_t limit = archive_entry_size(untar->entry);
    if (*offset < untar->position || *offset > limit || (int64_t)*size > limit - *offset) {
        return fail_integrity(untar->failure, "a sparse file's map is out of order");
    }
    untar->position = *offset + (int64_t)*size;
    untar->stored += (int64_t)*size;
    return 1;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static int surplus(struct untar *untar)
{
    return fail_integrity(untar->failure, "something follows the end of the tar; the archive is damaged, or was put "
                                          "together from several");
}

int untar_finish(struct untar *untar)
{
    uint64_t end = (uint64_t)archive_read_header_position(untar->archive);
    uint64_t consumed = (uint64_t)archive_filter_bytes(untar->archive, 0);
    if (consumed - end < 2 * BLOCK) {
        return consumed == reader_bytes_out(untar->reader)
                   ? fail_integrity(untar->failure, "the tar does not end in two zero blocks; it is truncated")
                   : surplus(untar);
    }
    if (consumed - end > 2 * BLOCK) {
        return fail_integrity(untar->failure, "the tar ends in the midst of an entry's headers");
    }
    size_t used = (size_t)(consumed - untar->block_offset);
    const uint8_t *rest = untar->block + used;
    size_t size = untar->block_size - used;
    for (int more = 1; more != 0;) {
        if (!all_zero(rest, size)) {
            return surplus(untar);
        }
        const void *next = NULL;
        more = reader_next(untar->reader, &next, &size, untar->failure);
        if (more < 0 || untar->watch.block(untar->watch.context, untar->failure) != 0) {
            return -1;
        }
        rest = next;
    }
    return reader_bytes_out(untar->reader) % BLOCK == 0
               ? 0
               : fail_integrity(untar->failure, "the tar's length is no multiple of 512 bytes");
}

/* A file with an ACL, an attribute and a name too long for its header, as a pax header holds them. */
static size_t write_sample(char *tar, size_t size)
{
    char name[200];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    size_t used = 0;
    struct archive *archive = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    if (archive != NULL && entry != NULL) {
        archive_entry_copy_pathname(entry, name);
        archive_entry_set_mode(entry, AE_IFREG | 0644);
        archive_entry_set_size(entry, 0);
        archive_entry_set_mtime(entry, 1, 1);
        archive_entry_xattr_add_entry(entry, "user.try", "1", 1);
        archive_entry_acl_add_entry(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ARCHIVE_ENTRY_ACL_READ,
                                    ARCHIVE_ENTRY_ACL_USER, 1, NULL);
        archive_write_set_format_pax(archive);
        archive_write_open_memory(archive, tar, size, &used);
        archive_write_header(archive, entry);
        archive_write_close(archive);
    }
    archive_entry_free(entry);
    archive_write_free(archive);
    return used;
}

static int read_sample(const char *tar, size_t size)
{
    struct archive *archive = open_tar();
    struct archive_entry *entry = NULL;
    if (archive == NULL) {
        return -1;
    }
    bool kept = archive_read_open_memory(archive, tar, size) == ARCHIVE_OK &&
                archive_read_next_header(archive, &entry) == ARCHIVE_WARN && is_name_kept_as_bytes(archive) &&
                strchr(archive_entry_pathname(entry), '\xff') != NULL;
    archive_read_free(archive);
    return kept ? 0 : -1;
}

int untar_warm_up(void)
{
    static char tar[64 * 1024];
    size_t size = write_sample(tar, sizeof tar);
    char *name = memmem(tar, size, " path=", strlen(" path="));
    if (name == NULL) {
        return -1;
    }
    name[strlen(" path=")] = '\xff'; /* no UTF-8; in the header's body, which no checksum covers */
    return read_sample(tar, size);
}
