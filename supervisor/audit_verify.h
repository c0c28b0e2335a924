/* `restore audit verify FILE [--head HASH]`: whether the chain of an audit log is whole, and where it is not. */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include <stddef.h>
#include <stdint.h>

#include "hash.h"

struct audit_verdict {
    uint64_t lines;
    uint64_t runs;
    uint64_t torn;              /* lines that were cut off, each recorded by a later one */
    uint64_t torn_line;         /* the first of them */
    uint64_t head_line;         /* whose hash is the head that was asked for; 0: none */
    char head[SHA256_HEX_SIZE]; /* of the last line */
    uint64_t bad_line;          /* 0: the chain is whole */
    char reason[200];
};

/* Judges the text of a log; `head` may be NULL. */
void audit_judge(const char *text, size_t size, const char *head, struct audit_verdict *verdict);

/* The whole file in memory, NUL-terminated and owned by the caller; NULL with errno. */
char *audit_read_file(const char *path, size_t *size);

/* The subcommand; returns the exit code. */
int audit_verify_command(const char *path, const char *head);

#endif
