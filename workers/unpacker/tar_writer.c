/*
 * libarchive's pax writer, twice: one for names in ASCII, whose entries need no extended header where nothing else asks
 * for one, and one that marks its headers as binary for all others and for attributes whose names need quoting (only
 * the LIBARCHIVE.xattr form of a header quotes, and unquotes, them).
 */
#include "tar_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "entry_policy.h"

#define ZEROS_SIZE (64 * 1024)
#define TRAILER_SIZE 1024

struct tar_writer {
    struct tar_sink sink;
    struct archive *plain;
    struct archive *binary;
    struct archive *current;
    struct archive_entry *entry;
    int64_t at; /* in the contents of the current entry */
    uint8_t zeros[ZEROS_SIZE];
};

static la_ssize_t hand_over(struct archive *archive, void *context, const void *data, size_t size)
{
    struct tar_writer *writer = context;
    if (writer->sink.put(writer->sink.context, data, size) != 0) {
        archive_set_error(archive, EIO, "the reader of the bulk pipe is gone");
        return -1;
    }
    return (la_ssize_t)size;
}

static struct archive *open_pax(struct tar_writer *writer, const char *options)
{
    struct archive *archive = archive_write_new();
    if (archive == NULL || archive_write_set_format_pax(archive) != ARCHIVE_OK ||
        archive_write_set_options(archive, options) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(archive, 0) != ARCHIVE_OK ||
        archive_write_open(archive, writer, NULL, hand_over, NULL) != ARCHIVE_OK) {
        archive_write_free(archive);
        return NULL;
    }
    return archive;
}

static int drop(void *context, const void *data, size_t size)
{
    (void)context;
    (void)data;
    (void)size;
    return 0;
}

/* One entry with all that an entry can have; libarchive sets up its conversions at the first. */
static bool try_out(struct tar_writer *writer, const char *name)
{
    struct entry_ruling ruling = {.inside = name};
    archive_entry_clear(writer->entry);
    struct archive_entry *source = archive_entry_new();
    if (source == NULL) {
        return false;
    }
    archive_entry_set_mode(source, S_IFREG | 0644);
    archive_entry_set_size(source, 1);
    archive_entry_set_mtime(source, 1, 1);
    archive_entry_xattr_add_entry(source, "user.try", "1", 1);
    archive_entry_acl_add_entry(source, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ARCHIVE_ENTRY_ACL_READ, ARCHIVE_ENTRY_ACL_USER,
                                1, NULL);
    unsigned dropped = 0;
    int result = tar_writer_begin(writer, source, &ruling, &dropped);
    result = result == 0 ? tar_writer_data(writer, "1", 1, 0) : result;
    result = result == 0 ? tar_writer_end(writer) : result;
    archive_entry_free(source);
    return result == 0;
}

struct tar_writer *tar_writer_new(struct tar_sink sink)
{
    struct tar_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        return NULL;
    }
    writer->sink = (struct tar_sink){drop, NULL};
    writer->plain = open_pax(writer, "hdrcharset=UTF-8,xattrheader=SCHILY");
    writer->binary = open_pax(writer, "hdrcharset=BINARY,xattrheader=LIBARCHIVE");
    writer->entry = archive_entry_new();
    if (writer->plain == NULL || writer->binary == NULL || writer->entry == NULL || !try_out(writer, "try") ||
        !try_out(writer, "tr\xc3\xbf")) {
        tar_writer_free(writer);
        return NULL;
    }
    writer->sink = sink;
    return writer;
}

void tar_writer_free(struct tar_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    writer->sink = (struct tar_sink){drop, NULL}; /* closing makes a trailer that belongs to no stream */
    archive_entry_free(writer->entry);
    archive_write_free(writer->plain);
    archive_write_free(writer->binary);
    free(writer);
}

const char *tar_writer_error(const struct tar_writer *writer)
{
    const char *text = archive_error_string(writer->current);
    return text == NULL ? "no memory" : text;
}

static bool is_ascii(const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        if ((unsigned char)*text >= 0x80) {
            return false;
        }
    }
    return true;
}

/* As libarchive's url_encode() has it: what it would quote. */
static bool needs_quoting(const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name < 33 || *name > 126 || *name == '%' || *name == '=') {
            return true;
        }
    }
    return false;
}

/* Returns whether a name among them needs quoting. */
static bool copy_xattrs(struct archive_entry *to, struct archive_entry *from, unsigned *dropped)
{
    const char *name = NULL;
    const void *value = NULL;
    size_t size = 0;
    bool quoting = false;
    archive_entry_xattr_reset(from);
    while (archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK) {
        if (!entry_policy_keeps_xattr(name)) {
            ++*dropped;
            continue;
        }
        archive_entry_xattr_add_entry(to, name, value, size);
        quoting = quoting || needs_quoting(name);
    }
    return quoting;
}

/* POSIX ACLs by number alone; the names in them are the backup host's. */
static void copy_acl(struct archive_entry *to, struct archive_entry *from, unsigned *dropped)
{
    int types = archive_entry_acl_types(from);
    *dropped += (types & ARCHIVE_ENTRY_ACL_TYPE_NFS4) != 0 ? 1 : 0;
    int posix = types & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E;
    if (posix == 0) {
        return;
    }
    int type, permissions, tag, id;
    const char *name = NULL;
    archive_entry_acl_reset(from, posix);
    while (archive_entry_acl_next(from, posix, &type, &permissions, &tag, &id, &name) == ARCHIVE_OK) {
        archive_entry_acl_add_entry(to, type, permissions, tag, id, NULL);
    }
}

/* Where libarchive finds that a map has no hole it frees it on reset, and the cursor is stale: hence the count. */
static void copy_sparse(struct archive_entry *to, struct archive_entry *from)
{
    int64_t offset = 0;
    int64_t length = 0;
    for (int blocks = archive_entry_sparse_reset(from); blocks > 0; blocks--) {
        archive_entry_sparse_next(from, &offset, &length);
        archive_entry_sparse_add_entry(to, offset, length);
    }
}

/*
 * GNU tar writes 1.5 s before 1970 as -1.5, which libarchive reads as -1 s plus 0.5 s; its own writer and reader agree
 * with each other, so the second is set right here.
 */
static void copy_mtime(struct archive_entry *to, struct archive_entry *from)
{
    time_t seconds = archive_entry_mtime(from);
    long nanoseconds = archive_entry_mtime_nsec(from);
    if (seconds < 0 && nanoseconds > 0) {
        seconds -= 1;
        nanoseconds = 1000000000L - nanoseconds;
    }
    archive_entry_set_mtime(to, seconds, nanoseconds);
}

static void copy_kind(struct archive_entry *to, struct archive_entry *from, const struct entry_ruling *ruling)
{
    archive_entry_set_mode(to, archive_entry_filetype(from) | (archive_entry_perm(from) & 07777));
    if (ruling->link_inside != NULL) {
        archive_entry_set_filetype(to, AE_IFREG);
        archive_entry_copy_hardlink(to, ruling->link_inside);
        archive_entry_set_size(to, 0);
        return;
    }
    switch (archive_entry_filetype(from)) {
    case AE_IFREG:
        archive_entry_set_size(to, archive_entry_size(from));
        copy_sparse(to, from);
        return;
    case AE_IFLNK:
        archive_entry_copy_symlink(to, archive_entry_symlink(from));
        break;
    case AE_IFCHR:
    case AE_IFBLK:
        archive_entry_set_rdevmajor(to, archive_entry_rdevmajor(from));
        archive_entry_set_rdevminor(to, archive_entry_rdevminor(from));
        break;
    default:
        break;
    }
    archive_entry_set_size(to, 0);
}

int tar_writer_begin(struct tar_writer *writer, struct archive_entry *source, const struct entry_ruling *ruling,
                     unsigned *dropped)
{
    struct archive_entry *entry = writer->entry;
    archive_entry_clear(entry);
    archive_entry_copy_pathname(entry, ruling->inside[0] == '\0' ? "./" : ruling->inside);
    copy_kind(entry, source, ruling);
    archive_entry_set_uid(entry, archive_entry_uid(source));
    archive_entry_set_gid(entry, archive_entry_gid(source));
    copy_mtime(entry, source);
    copy_acl(entry, source, dropped);
    bool quoting = copy_xattrs(entry, source, dropped);
    bool plain = is_ascii(ruling->inside) && is_ascii(ruling->link_inside) && is_ascii(archive_entry_symlink(entry));
    writer->current = plain && !quoting ? writer->plain : writer->binary;
    writer->at = 0;
    return archive_write_header(writer->current, entry) == ARCHIVE_OK ? 0 : -1;
}

static int put(struct tar_writer *writer, const void *data, size_t size)
{
    while (size > 0) {
        la_ssize_t done = archive_write_data(writer->current, data, size);
        if (done <= 0) {
            return -1;
        }
        data = (const uint8_t *)data + done;
        size -= (size_t)done;
        writer->at += done;
    }
    return 0;
}

int tar_writer_data(struct tar_writer *writer, const void *data, size_t size, int64_t offset)
{
    while (writer->at < offset) { /* a hole: the map has it, libarchive takes zeros and writes none of them */
        int64_t hole = offset - writer->at;
        if (put(writer, writer->zeros, hole < ZEROS_SIZE ? (size_t)hole : ZEROS_SIZE) != 0) {
            return -1;
        }
    }
    return put(writer, data, size);
}

int tar_writer_end(struct tar_writer *writer)
{
    /* A hole at the end is passed like the others: only with contents libarchive writes the map that it announced. */
    if (archive_entry_sparse_count(writer->entry) > 0 &&
        tar_writer_data(writer, writer->zeros, 0, archive_entry_size(writer->entry)) != 0) {
        return -1;
    }
    return archive_write_finish_entry(writer->current) == ARCHIVE_OK ? 0 : -1;
}

int tar_writer_trailer(struct tar_writer *writer)
{
    return writer->sink.put(writer->sink.context, writer->zeros, TRAILER_SIZE);
}
