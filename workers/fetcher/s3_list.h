/*
 * One page of ListObjectsV2 or ListObjectVersions as S3 answers it. Pure. Source of behaviour: AWS's API reference.
 */
#ifndef S3_LIST_H
#define S3_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "s3_url.h"

/*
 * Strings live until the callback returns. modified: seconds since 1970. etag: with its quotes. deleted: no object but
 * a mark that it was deleted, in a list of versions; those of one key come newest first.
 */
struct s3_listed {
    const char *key;
    const char *etag;
    const char *version_id;
    bool deleted;
    uint64_t size;
    uint64_t modified;
};

typedef int (*s3_listed_handler)(void *context, const struct s3_listed *object);

struct s3_page {
    bool truncated;                 /* more pages follow */
    char token[S3_TOKEN_MAX + 1];   /* of a list of versions: the key after which the next page begins, */
    char version[S3_TOKEN_MAX + 1]; /* and the version */
};

/*
 * Calls `handler` for each object (0: go on). Keys that are no UTF-8 text of 1 to 1024 bytes are left out: no backup
 * has such a name. Returns NULL, or why this is no list of S3; "stopped" if the handler said so.
 */
const char *s3_list_page(const char *document, size_t size, s3_listed_handler handler, void *context,
                         struct s3_page *page);

#endif
