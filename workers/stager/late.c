/* The list of what is set when all is written. */
#include "late.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

/* A record without its ACLs and path, which follow it in their true lengths. */
struct packed {
    uint32_t mapping;
    uint8_t fixed;
    uint8_t directory;
    uint8_t has_live;
    struct owner mapped;
    struct owner live;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct timespec modified;
    uint32_t access_size;
    uint32_t inherited_size;
    uint32_t path_size;
};

FILE *late_open(int run_volume)
{
    int fd = tree_create(run_volume, "late", O_RDWR | O_TRUNC | O_NOFOLLOW, 0600);
    bool alone = fd >= 0 && unlinkat(run_volume, "late", 0) == 0;
    FILE *list = alone ? fdopen(fd, "w+") : NULL;
    if (list == NULL && fd >= 0) {
        close(fd);
    }
    return list;
}

static int put(FILE *list, const void *bytes, size_t size)
{
    return size == 0 || fwrite(bytes, size, 1, list) == 1 ? 0 : -1;
}

int late_add(FILE *list, const struct late_record *record)
{
    const struct attributes *attributes = &record->attributes;
    struct packed packed;
    memset(&packed, 0, sizeof packed);
    packed.mapping = record->mapping;
    packed.fixed = record->fixed;
    packed.directory = record->directory;
    packed.has_live = record->has_live;
    packed.mapped = record->mapped;
    packed.live = record->live;
    packed.mode = attributes->mode;
    packed.uid = attributes->uid;
    packed.gid = attributes->gid;
    packed.modified = attributes->modified;
    packed.access_size = (uint32_t)attributes->access.size;
    packed.inherited_size = (uint32_t)attributes->inherited.size;
    packed.path_size = (uint32_t)strlen(record->path);
    bool written = put(list, &packed, sizeof packed) == 0 &&
                   put(list, attributes->access.bytes, attributes->access.size) == 0 &&
                   put(list, attributes->inherited.bytes, attributes->inherited.size) == 0 &&
                   put(list, record->path, packed.path_size) == 0;
    return written ? 0 : -1;
}

static bool get(FILE *list, void *bytes, size_t size)
{
    return size == 0 || fread(bytes, size, 1, list) == 1;
}

static bool get_record(FILE *list, struct late_record *record)
{
    struct packed packed;
    if (!get(list, &packed, sizeof packed)) {
        return false;
    }
    *record = (struct late_record){.mapping = packed.mapping,
                                   .fixed = packed.fixed != 0,
                                   .directory = packed.directory != 0,
                                   .has_live = packed.has_live != 0,
                                   .mapped = packed.mapped,
                                   .live = packed.live};
    struct attributes *attributes = &record->attributes;
    attributes->mode = packed.mode;
    attributes->uid = packed.uid;
    attributes->gid = packed.gid;
    attributes->modified = packed.modified;
    attributes->access.size = packed.access_size;
    attributes->inherited.size = packed.inherited_size;
    return packed.access_size <= ACL_SIZE_MAX && packed.inherited_size <= ACL_SIZE_MAX &&
           packed.path_size < TREE_PATH_MAX && get(list, attributes->access.bytes, packed.access_size) &&
           get(list, attributes->inherited.bytes, packed.inherited_size) && get(list, record->path, packed.path_size);
}

int late_replay(FILE *list, int (*apply)(void *context, struct late_record *record), void *context)
{
    cleanup_free struct late_record *record = malloc(sizeof *record);
    if (record == NULL || fflush(list) != 0 || fseeko(list, 0, SEEK_SET) != 0) {
        return -1;
    }
    while (get_record(list, record)) {
        int result = apply(context, record);
        if (result != 0) {
            return result;
        }
    }
    if (ferror(list) != 0) {
        errno = EIO;
        return -1;
    }
    return 0;
}
