/*
 * One pass over an archive: decompressed, untarred, judged, and what is wanted of it written out as clean tar and SQL.
 * Nothing wanted appears whole on the bulk pipe (streams_end) before all of the archive has been proven sound.
 */
#ifndef UNPACK_H
#define UNPACK_H

#include "entry_policy.h"
#include "ipc.h"

struct unpacker;

struct unpack_limits {
    unsigned window_log_max;
    uint64_t max_entries;
    uint64_t max_bytes; /* of the tar, and of all files' contents */
    bool restore_devices;
};

/* All memory that a pass needs; before the lock-down. NULL on failure. The channel is not owned. */
struct unpacker *unpacker_new(struct channel *channel, const struct unpack_limits *limits, int data_in, int data_out);
void unpacker_free(struct unpacker *unpacker);

/* The identities in the text of a file, which is wiped. 0, or -1 with the failure. */
int unpacker_take_identities(struct unpacker *unpacker, char *text, size_t size, struct failure *failure);

/* The signature that the next archive has to have. 0, or -1 with the failure. */
int unpacker_expect_signature(struct unpacker *unpacker, const struct msg_signature *message, struct failure *failure);

/* Note what is wanted, for the next pass alone. 0 or -1. */
int unpacker_want(struct unpacker *unpacker, const struct msg_want *want);

/*
 * One pass. Returns 0 after `unpacked` was sent, or -1 with the failure, which the caller sends: the rest of the
 * archive then lies unread in the pipe, so that no other pass can follow.
 */
int unpacker_run(struct unpacker *unpacker, const struct msg_unpack *unpack, struct failure *failure);

#endif
