/*
 * Giving up users, groups and capabilities, for good and verified. A worker that the supervisor started as root with
 * the capabilities to change users becomes a user of its own (identities.h); any other keeps the user it has.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

/* Root with CAP_SETUID, CAP_SETGID and CAP_KILL (without which it could not end its workers), where `user` exists. */
bool identity_may_change(unsigned user);

/* May a process of that user and group, without capabilities, write to the file? Asked as that process. */
bool identity_could_write(unsigned user, unsigned group, const char *path);

/* May this process write to the file without its capabilities? */
bool identity_writes_bare(const char *path);

/* Those in force, as bits 1 << CAP_*. */
uint64_t identity_capabilities(void);

/* Keep these and no others, where they are held at all. Returns 0, or -1 with errno. */
int identity_keep_capabilities(uint64_t kept);

/* Become that user, with that group alone and those capabilities alone. Returns 0, or -1 with errno. */
int identity_become(unsigned user, unsigned group, uint64_t kept);

#endif
