/* What a directory or file has beside its contents: owner, mode, modification time and POSIX ACLs. */
#ifndef ATTRIBUTES_H
#define ATTRIBUTES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct archive_entry;

/* As the kernel keeps it in system.posix_acl_*: 4 bytes and 8 an entry. */
#define ACL_SIZE_MAX 2052

struct acl_value {
    size_t size; /* 0: none */
    uint8_t bytes[ACL_SIZE_MAX];
};

struct attributes {
    mode_t mode; /* 07777 */
    uid_t uid;
    gid_t gid;
    struct timespec modified;
    struct acl_value access;
    struct acl_value inherited; /* the default ACL of a directory */
};

#define ACL_ACCESS_NAME "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"

/* Of an open file or directory. A file system without ACLs has none. Returns 0, or -1 with errno. */
int attributes_read(int fd, struct attributes *attributes);

/*
 * Give them to an open file or directory; ACLs that `attributes` lacks are removed. In this order: owner (which clears
 * setuid), ACLs (which change the group's bits), mode, time. Returns 0, or -1 with errno.
 */
int attributes_apply(int fd, const struct attributes *attributes);

/* Remove both ACLs, so that nothing made below inherits one. */
void attributes_strip_acls(int fd);

/* The ACLs of a tar entry (SCHILY.acl.*) in the kernel's form. Entries with a name but no id are left out: returns 1.
 */
int attributes_acls_of(struct archive_entry *entry, struct acl_value *access, struct acl_value *inherited);

#endif
