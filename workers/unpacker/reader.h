/*
 * The archive as the tar reader wants it: read, hashed, decrypted and decompressed by what the object's name promises,
 * which its first bytes have to bear out. Whatever the format, the end is told only where all of the archive was read
 * and is complete.
 */
#ifndef READER_H
#define READER_H

#include "messages.h"
#include "source.h"

struct age;
struct age_stretcher;
struct reader;

/* All memory, before the lock-down. NULL on failure. */
struct reader *reader_new(unsigned window_log_max);
void reader_free(struct reader *reader);

/* What decrypts, for its identities; it stays the reader's. */
struct age *reader_age(struct reader *reader);

/*
 * Begin with the archive that `unpack` announces, at `fd`. stretcher: for a passphrase, where there is one. 0, or -1
 * with the failure.
 */
int reader_start(struct reader *reader, int fd, const struct msg_unpack *unpack, const struct age_stretcher *stretcher,
                 struct failure *failure);

/*
 * The next bytes of the tar. Returns 1 with *data and *size (valid until the next call), 0 at the end of a sound
 * archive whose every byte was read, or -1 with the failure.
 */
int reader_next(struct reader *reader, const void **data, size_t *size, struct failure *failure);

/* Of the archive so far: bytes read, bytes of the tar, frames (or what a format has in their place) begun. */
uint64_t reader_bytes_in(const struct reader *reader);
uint64_t reader_bytes_out(const struct reader *reader);
uint64_t reader_frames(const struct reader *reader);

/* SHA-256 of the object in lower-case hex, once the end was told. Returns 0, or -1 where the library fails. */
int reader_digest(struct reader *reader, char hex[SHA256_HEX_SIZE]);

/* Its BLAKE2b-512, where reader_want_blake2b() asked for it before the start. */
void reader_want_blake2b(struct reader *reader);
int reader_blake2b(struct reader *reader, uint8_t digest[BLAKE2B_SIZE]);

#endif
