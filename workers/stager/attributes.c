/* Owner, mode, time and POSIX ACLs of open files. */
#include "attributes.h"

#include <archive_entry.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int read_acl(int fd, const char *name, struct acl_value *value)
{
    ssize_t size = fgetxattr(fd, name, value->bytes, sizeof value->bytes);
    value->size = size < 0 ? 0 : (size_t)size;
    return size >= 0 || errno == ENODATA || errno == EOPNOTSUPP ? 0 : -1;
}

int attributes_read(int fd, struct attributes *attributes)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return -1;
    }
    attributes->mode = status.st_mode & 07777;
    attributes->uid = status.st_uid;
    attributes->gid = status.st_gid;
    attributes->modified = status.st_mtim;
    attributes->inherited.size = 0;
    if (read_acl(fd, ACL_ACCESS_NAME, &attributes->access) != 0) {
        return -1;
    }
    return S_ISDIR(status.st_mode) ? read_acl(fd, ACL_DEFAULT_NAME, &attributes->inherited) : 0;
}

static int apply_acl(int fd, const char *name, const struct acl_value *value)
{
    if (value->size != 0) {
        return fsetxattr(fd, name, value->bytes, value->size, 0);
    }
    /* EACCES: a default ACL of a file, which has none anyway */
    bool gone = fremovexattr(fd, name) == 0 || errno == ENODATA || errno == EOPNOTSUPP || errno == EACCES;
    return gone ? 0 : -1;
}

int attributes_apply(int fd, const struct attributes *attributes)
{
    if (fchown(fd, attributes->uid, attributes->gid) != 0 || apply_acl(fd, ACL_ACCESS_NAME, &attributes->access) != 0 ||
        apply_acl(fd, ACL_DEFAULT_NAME, &attributes->inherited) != 0 || fchmod(fd, attributes->mode) != 0) {
        return -1;
    }
    struct timespec times[2] = {{0, UTIME_OMIT}, attributes->modified};
    return futimens(fd, times);
}

void attributes_strip_acls(int fd)
{
    fremovexattr(fd, ACL_ACCESS_NAME);
    fremovexattr(fd, ACL_DEFAULT_NAME);
}

static uint16_t acl_tag(int tag)
{
    switch (tag) {
    case ARCHIVE_ENTRY_ACL_USER_OBJ:
        return 0x01;
    case ARCHIVE_ENTRY_ACL_USER:
        return 0x02;
    case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
        return 0x04;
    case ARCHIVE_ENTRY_ACL_GROUP:
        return 0x08;
    case ARCHIVE_ENTRY_ACL_MASK:
        return 0x10;
    case ARCHIVE_ENTRY_ACL_OTHER:
        return 0x20;
    default:
        return 0;
    }
}

static void put_entry(struct acl_value *value, uint16_t tag, uint16_t permissions, uint32_t id)
{
    uint16_t words[2] = {htole16(tag), htole16(permissions)};
    uint32_t owner = htole32(id);
    memcpy(value->bytes + value->size, words, sizeof words);
    memcpy(value->bytes + value->size + sizeof words, &owner, sizeof owner);
    value->size += 8;
}

static void collect(struct archive_entry *entry, int type, uint16_t wanted, struct acl_value *value, int *nameless)
{
    int entry_type, permissions, tag, id;
    const char *name;
    archive_entry_acl_reset(entry, type);
    while (archive_entry_acl_next(entry, type, &entry_type, &permissions, &tag, &id, &name) == 0) {
        if (acl_tag(tag) != wanted || value->size + 8 > sizeof value->bytes) {
            continue;
        }
        bool named = wanted == 0x02 || wanted == 0x08;
        if (named && id < 0) {
            *nameless = 1;
            continue;
        }
        put_entry(value, wanted, (uint16_t)(permissions & 7), named ? (uint32_t)id : UINT32_MAX);
    }
}

int attributes_acls_of(struct archive_entry *entry, struct acl_value *access, struct acl_value *inherited)
{
    static const uint16_t order[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20}; /* the kernel insists on it */
    const int types[2] = {ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT};
    struct acl_value *values[2] = {access, inherited};
    int nameless = 0;
    for (size_t i = 0; i < 2; i++) {
        values[i]->size = 0;
        /* libarchive gives the three basic entries of the mode for access; alone they are no ACL */
        if ((archive_entry_acl_types(entry) & types[i]) == 0) {
            continue;
        }
        const uint32_t version = htole32(2);
        memcpy(values[i]->bytes, &version, sizeof version);
        values[i]->size = sizeof version;
        for (size_t tag = 0; tag < sizeof order / sizeof order[0]; tag++) {
            collect(entry, types[i], order[tag], values[i], &nameless);
        }
    }
    return nameless;
}
