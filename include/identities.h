/*
 * The user and group of each worker, of the same number, where the supervisor was started with the capabilities to
 * change them: numbers that neither Debian nor systemd gives to anyone, below 65536 so that user namespaces have them.
 */
#ifndef IDENTITIES_H
#define IDENTITIES_H

enum {
    FETCHER_USER = 65521,
    UNPACKER_USER = 65522,
    AGENT_USER = 65523,
    STRETCHER_USER = 65524,
};

#endif
