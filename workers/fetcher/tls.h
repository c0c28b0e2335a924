/* What TLS needs before the lock-down, so that afterwards it opens no file and asks the kernel for nothing rare. */
#ifndef TLS_H
#define TLS_H

#include <openssl/x509_vfy.h>

#define TLS_SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/*
 * Reads the CA certificates of a PEM file into a store that all connections share (libcurl would parse its blob again
 * for each). Returns NULL and sets *wrong for a message. Owned by the caller.
 */
X509_STORE *tls_read_bundle(const char *path, const char **wrong);

/* Initialises OpenSSL by a handshake with nobody, up to its first message. Returns 0 or -1. */
int tls_warm_up(void);

/* Seeds the random generators for the life of the process: no reseeding, no getrandom. Returns 0 or -1. */
int tls_seed_once(void);

/* The first of all: from then on a libcrypto that gets no memory ends the process with a code of the table. */
int tls_check_memory(void);

#endif
