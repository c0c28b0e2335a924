/*
 * The chain of an audit log: one record a line, JSON in canonical form (canonical.h), each with
 *
 *   seq    the number of its line in the file, from 1
 *   prev   SHA-256 of the line before, without its line feed; 64 zeros in the first line
 *
 * A line that was cut off while it was written (power, a full disk) stays as it is. The next record is then `torn`:
 * torn_from is the number of the first such line, torn_bytes and torn_sha256 are of everything from there to the
 * record, and torn_prev is the SHA-256 of the last whole line before.
 *
 * The file is opened once, for appending; after that only write and fdatasync are called on it.
 */
#ifndef AUDIT_LOG_H
#define AUDIT_LOG_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

#define AUDIT_PREV_OF_FIRST "0000000000000000000000000000000000000000000000000000000000000000"

struct audit_log {
    int fd;
    uint64_t seq;               /* of the last record */
    char head[SHA256_HEX_SIZE]; /* SHA-256 of the last record's line */
    char *torn;                 /* what stands behind the last record and is none, or NULL */
    size_t torn_size;
    int error; /* errno of the last write that failed, or 0 */
};

/* Opens (or creates), locks, and finds the end of the chain. Returns 0; -1: `error` says why; 1: another run has it. */
int audit_log_open(struct audit_log *log, const char *path, char *error, size_t error_size);

/* Adds seq and prev to the object and appends it; `sync`: it is on disk when this returns. Returns 0, or -1:
 * log->error. `stamp`: run and time, which a record of a torn line gets as well. */
int audit_log_append(struct audit_log *log, cJSON *record, bool sync, void (*stamp)(cJSON *record, void *context),
                     void *context);

/* Whether the object has what every record has, and the number of its line. */
bool audit_is_record(const cJSON *record, uint64_t *seq);

/* Text of a member, or "". */
const char *audit_text(const cJSON *record, const char *member);

#endif
