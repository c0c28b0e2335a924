/*
 * Where a bucket is and what its URLs are: endpoint, addressing style, percent-encoding as S3 signs it. Pure.
 * Source of behaviour: "Create a signed AWS API request" (UriEncode) and "Virtual hosting of buckets" of AWS.
 */
#ifndef S3_URL_H
#define S3_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "messages.h"

enum {
    S3_KEY_MAX = 1024,
    S3_TOKEN_MAX = 4096,
    S3_URL_MAX = 20 * 1024, /* origin, a key or a token with every byte encoded, and the other parameters */
};

struct s3_location {
    char host[512]; /* that is connected to, without brackets; with the bucket in front in virtual-host style */
    char port[6];
    bool https;
    char base[2048];  /* scheme://host[:port][/path][/bucket], encoded: a key follows after a slash */
    char shown[1536]; /* "bucket 'b' at http://host:port", for messages */
};

/*
 * endpoint: http[s]://host[:port][/path], or empty for AWS in `region`.
 * Returns NULL, or what is wrong with the configuration, for a message.
 */
const char *s3_locate(struct s3_location *location, const char *endpoint, const char *bucket, const char *region,
                      enum s3_addressing addressing);

/* URL of an object; version_id may be empty. Returns 0, or -1 if it does not fit into `size`. */
int s3_object_url(const struct s3_location *location, const char *key, const char *version_id, char *url, size_t size);

/* URL of a page of ListObjectsV2; token is empty for the first. Parameters are sorted by name, as signing needs. */
int s3_list_url(const struct s3_location *location, const char *prefix, const char *token, char *url, size_t size);

/* The same of ListObjectVersions; key and version: the markers of the page before, or empty. */
int s3_versions_url(const struct s3_location *location, const char *prefix, const char *key, const char *version,
                    char *url, size_t size);

/* Decodes %XX, and + to a space, in place. Returns the new length, or -1 for a bad escape or a NUL. */
long s3_decode(char *text);

/* Whether a region is a plain name: it comes back from servers and goes into a signature. */
bool s3_region_valid(const char *region);

#endif
