/* What the fetcher asks of S3: open, list, look, close. Downloads are in ranges.h. */
#ifndef S3_H
#define S3_H

#include "exchange.h"
#include "s3_list.h"

enum { S3_ARENA = 16 << 20, S3_PAGE_MAX = 4 << 20 };

struct s3_settings {
    const char *endpoint;
    const char *bucket;
    const char *region; /* empty: us-east-1 */
    enum s3_addressing addressing;
    struct network_settings network;
    unsigned attempts;
    int interrupt_fd;
};

/* Everything that the lock-down forbids: name resolution, CA bundle, memory. Returns OUTCOME_OK or fills in problem. */
enum outcome s3_open(struct s3 *s3, const struct s3_settings *settings, struct problem *problem);

/* Copies the credentials. Returns OUTCOME_OK, or a problem where one cannot stand in a header. */
enum outcome s3_set_credentials(struct s3 *s3, const char *access_key_id, const char *secret_access_key,
                                const char *session_token, struct problem *problem);

/*
 * Calls `handler` for each object directly below folder (no slash after it) whose name begins with `name` and the 1 or
 * 2 of a stamp, in no order.
 * folder: without slashes at its ends, may be empty. as_of: 0, or seconds since 1970: what a versioned bucket had then.
 */
enum outcome s3_list(struct s3 *s3, const char *folder, const char *name, uint64_t as_of, s3_listed_handler handler,
                     void *context, struct problem *problem);

/*
 * Size, ETag, version and storage class of an object, or of a version of it (empty: the newest). OUTCOME_MISSING: there
 * is none, and S3 itself says so.
 */
enum outcome s3_head(struct s3 *s3, const char *key, const char *version_id, struct answer *answer,
                     struct problem *problem);

/* A whole object of at most `room` bytes; *size: of it. */
enum outcome s3_read(struct s3 *s3, const char *key, uint8_t *bytes, size_t room, size_t *size,
                     struct problem *problem);

/* Wipes the credentials; the process ends after it. */
void s3_close(struct s3 *s3);

#endif
