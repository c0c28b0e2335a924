/*
 * A volume's clean tar: pax entries of our own making, with names relative to the volume's root (the root itself is
 * "./"), numeric owners, mtimes to the nanosecond, POSIX ACLs, user.* attributes and sparse maps. Names are bytes: what
 * is no ASCII is written with hdrcharset=BINARY, so that no reader converts it.
 *
 * The writer only makes bytes and hands them to a sink; which stream they belong to is the sink's business. One entry
 * after another: begin, data in rising offsets, end. tar_writer_trailer() makes the two zero blocks of a stream's end.
 */
#ifndef TAR_WRITER_H
#define TAR_WRITER_H

#include <stdint.h>
#include <sys/types.h>

struct archive_entry;
struct entry_ruling;
struct tar_writer;

struct tar_sink {
    int (*put)(void *context, const void *data, size_t size); /* 0 or -1 */
    void *context;
};

/* NULL on failure. Before the lock-down; both kinds of header are tried out on a sink of its own. */
struct tar_writer *tar_writer_new(struct tar_sink sink);
void tar_writer_free(struct tar_writer *writer);

/* *dropped counts attributes that the policy does not keep. Return 0 or -1; tar_writer_error() says why. */
int tar_writer_begin(struct tar_writer *writer, struct archive_entry *source, const struct entry_ruling *ruling,
                     unsigned *dropped);
int tar_writer_data(struct tar_writer *writer, const void *data, size_t size, int64_t offset);
int tar_writer_end(struct tar_writer *writer);
int tar_writer_trailer(struct tar_writer *writer);
const char *tar_writer_error(const struct tar_writer *writer);

#endif
