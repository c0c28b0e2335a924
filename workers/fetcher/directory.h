/*
 * The store in a directory (S3_BUCKET_URL=file:///dir), for hosts without a network: the directory is opened before
 * the lock-down, and Landlock confines what is opened later to it. Keys are paths below it.
 */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include "exchange.h"
#include "ranges.h"
#include "s3_list.h"

/* Puts the directory at FD_FIRST_FREE, where the policy expects it. */
enum outcome directory_open(const char *path, struct problem *problem);

/* As s3_list(), for regular files. */
enum outcome directory_list(const char *folder, const char *name, s3_listed_handler handler, void *context,
                            struct problem *problem);

/* As s3_head(); the ETag is made of what changes when a file is replaced. */
enum outcome directory_head(const char *key, struct answer *answer, struct problem *problem);

/* As ranges_get(), to a blocking pipe. */
enum outcome directory_get(const struct ranges_object *object, int out, ranges_progress progress, void *context,
                           struct problem *problem);

/* A whole object of at most `room` bytes; *size: of it. */
enum outcome directory_read(const char *key, uint8_t *bytes, size_t room, size_t *size, struct problem *problem);

#endif
