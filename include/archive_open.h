/* Opening a tar for reading, with the check that libarchive 3.6's own archive_read_open() leaves out. */
#ifndef ARCHIVE_OPEN_H
#define ARCHIVE_OPEN_H

#include <archive.h>

/* As archive_read_open(): without memory for its callbacks that goes on with a null pointer. */
static inline int archive_read_open_checked(struct archive *archive, void *context, archive_read_callback *read,
                                            archive_close_callback *close)
{
    int result = archive_read_set_callback_data(archive, context);
    if (result != ARCHIVE_OK) {
        return result;
    }
    archive_read_set_read_callback(archive, read);
    archive_read_set_close_callback(archive, close);
    return archive_read_open1(archive);
}

#endif
