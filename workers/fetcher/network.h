/*
 * libcurl as this worker uses it: everything that needs files, a resolver or the kernel's rarer calls is done in
 * network_init(), before the lock-down; afterwards connections to one host and nothing else.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <curl/curl.h>
#include <openssl/x509_vfy.h>

#include "outcome.h"
#include "s3_url.h"

enum { NETWORK_HANDLES = 8 };

struct network_settings {
    const char *ca_bundle; /* path; empty: the system's */
    const char *proxy;     /* http[s]://…; empty: none, whatever the environment says */
    unsigned connect_timeout;
    unsigned stall_timeout; /* seconds */
};

struct network {
    CURLM *multi;
    CURL *handles[NETWORK_HANDLES];
    struct curl_slist *addresses; /* for CURLOPT_RESOLVE */
    X509_STORE *authorities;      /* NULL: no TLS */
    char ca_bundle[4097];         /* that was read */
    char proxy[1025];
    unsigned connect_timeout;
    unsigned stall_timeout;
};

/* Before the lock-down. Returns OUTCOME_OK or fills in the problem. */
enum outcome network_init(struct network *network, const struct s3_location *location,
                          const struct network_settings *settings, struct problem *problem);

/* Sets a handle back to the options that every request has. -1: no memory; the handle is not to be used. */
int network_prepare(const struct network *network, CURL *handle);

/*
 * Frees, and by that wipes, what libcurl copied for its requests. Connections end with the process: closing them is
 * something that libcurl does not do without setting a signal's action, which the policy forbids.
 */
void network_wipe(struct network *network);

#endif
