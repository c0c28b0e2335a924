/*
 * What S3 answers when it does not do what it was asked, and what that means. Pure.
 * Source of behaviour: AWS's API reference, "Error responses"; spec/peers.md.
 */
#ifndef S3_ERROR_H
#define S3_ERROR_H

#include <stddef.h>

/* code and region are plain names; message is printable and may be empty, as it always is with Ceph's RGW. */
struct s3_error {
    char code[65];
    char message[401];
    char region[65];
};

enum s3_verdict {
    S3_RETRY,    /* the server's trouble: try again later */
    S3_SKEWED,   /* our clock is wrong */
    S3_REGION,   /* the bucket lives elsewhere, if the answer says where */
    S3_MISSING,  /* no such object */
    S3_REPLACED, /* another object has this key now */
    S3_FINAL,    /* trying again changes nothing */
};

/* Reads the body of an answer; all empty where it is not S3's XML. */
void s3_error_read(const char *body, size_t size, struct s3_error *error);

enum s3_verdict s3_error_verdict(long status, const char *code);

/* Whether the server asks for fewer requests. */
int s3_error_throttles(long status, const char *code);

/* What the user can do about it, as the end of a message. */
const char *s3_error_advice(long status, const char *code);

/*
 * Milliseconds to wait before the next attempt: exponential from a quarter of a second to 20 s, half of it random;
 * at least what Retry-After says, up to a minute. failures: 1 after the first. chance: a random number.
 */
long s3_backoff(unsigned failures, long retry_after_seconds, unsigned chance);

#endif
