/* Tars by libarchive. */
#include "tar.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "archive_open.h"
#include "io.h"

static la_ssize_t take(struct archive *archive, void *context, const void **bytes)
{
    ssize_t size = feed_take(context, bytes);
    if (size < 0) {
        archive_set_error(archive, ECANCELED, "the stage was given up");
    }
    return size;
}

struct file_reader {
    int fd;
    uint8_t buffer[64 * 1024];
};

static la_ssize_t read_file(struct archive *archive, void *context, const void **bytes)
{
    struct file_reader *reader = context;
    ssize_t size = read(reader->fd, reader->buffer, sizeof reader->buffer);
    if (size < 0) {
        archive_set_error(archive, errno, "cannot read a spool");
    }
    *bytes = reader->buffer;
    return size;
}

static int close_file(struct archive *archive, void *context)
{
    (void)archive;
    free(context);
    return ARCHIVE_OK;
}

static struct archive *fail(struct archive *archive, struct problem *problem)
{
    problem_set(problem, EXIT_INTEGRITY, "a volume's tar cannot be read: %s",
                archive == NULL ? "no memory" : archive_error_string(archive));
    if (archive != NULL) {
        archive_free(archive);
    }
    return NULL;
}

static struct archive *new_reader(void)
{
    struct archive *archive = archive_read_new();
    if (archive != NULL && archive_read_support_format_tar(archive) != ARCHIVE_OK) {
        archive_free(archive);
        return NULL;
    }
    return archive;
}

struct archive *tar_open_feed(struct feed *feed, struct problem *problem)
{
    struct archive *archive = new_reader();
    if (archive == NULL || archive_read_open_checked(archive, feed, take, NULL) != ARCHIVE_OK) {
        return fail(archive, problem);
    }
    return archive;
}

struct archive *tar_open_file(int *fd, struct problem *problem)
{
    struct archive *archive = new_reader();
    struct file_reader *reader = malloc(sizeof *reader);
    if (archive == NULL || reader == NULL) {
        free(reader);
        return fail(archive, problem);
    }
    reader->fd = *fd;
    if (archive_read_open_checked(archive, reader, read_file, close_file) != ARCHIVE_OK) {
        return fail(archive, problem);
    }
    return archive;
}

int tar_next(struct archive *archive, struct archive_entry **entry, struct problem *problem)
{
    *entry = *entry == NULL ? archive_entry_new() : *entry;
    if (*entry == NULL) {
        return problem_errno(problem, "cannot read", "a volume's tar");
    }
    int result = archive_read_next_header2(archive, *entry);
    if (result == ARCHIVE_EOF) {
        return 0;
    }
    /* a warning is about a name that this locale cannot show: names are bytes here, and are left as they are */
    if (result == ARCHIVE_OK || result == ARCHIVE_WARN) {
        return 1;
    }
    return problem_set(problem, EXIT_INTEGRITY, "a volume's tar cannot be read: %s", archive_error_string(archive));
}

static la_ssize_t write_file(struct archive *archive, void *context, const void *bytes, size_t size)
{
    if (write_full(*(int *)context, bytes, size) != 0) {
        archive_set_error(archive, errno, "cannot write a spool");
        return -1;
    }
    return (la_ssize_t)size;
}

struct archive *tar_create_file(int *fd, struct problem *problem)
{
    struct archive *archive = archive_write_new();
    if (archive == NULL || archive_write_set_format_pax_restricted(archive) != ARCHIVE_OK ||
        archive_write_open(archive, fd, NULL, write_file, NULL) != ARCHIVE_OK) {
        return fail(archive, problem);
    }
    return archive;
}
