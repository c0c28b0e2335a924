/*
 * One request to S3 with all its attempts: signed afresh each time, its answer checked before a byte of it is passed
 * on, tried again after a pause where that can help, continued by range where bytes have come already.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network.h"
#include "outcome.h"

enum { EXCHANGE_SLICE_MS = 1000 }; /* how long a turn may wait where nothing else limits it */

/* The connection to one bucket. Credentials are wiped by s3_close(). */
struct s3 {
    struct s3_location location;
    struct network network;
    char region[65];
    unsigned attempts;      /* of a request, without progress between them */
    int interrupt_fd;       /* readable: the supervisor wants something */
    bool clock_corrected;   /* the server's time was taken over, once */
    unsigned clock_setting; /* counts corrections, to see whether a request was signed before one */
    char access_key_id[257];
    char secret_access_key[257];
    char session_token[8193];
    uint8_t *arena; /* S3_ARENA bytes: the page of a list, or the parts of a download */
};

/* Takes body bytes at an offset from where the request began; offset 0 comes again when all of it is tried again. */
typedef int (*exchange_sink)(void *context, uint64_t offset, const uint8_t *bytes, size_t size);

/* Strings and sink live as long as the exchange. */
struct request {
    const char *subject; /* for messages: "object 'p/name'" */
    const char *url;
    const char *etag; /* If-Match, and what the answer must show; empty: any */
    bool head;
    /*
     * A connection of its own: some servers (Ceph RGW) write the end of an answer apart, and on a connection that was
     * used before it waits 40 ms for our delayed acknowledgement.
     */
    bool alone;
    bool ranged; /* bytes first to first + size - 1 of an object of object_size; the answer must be just that */
    uint64_t first;
    uint64_t object_size;
    uint64_t size; /* ranged: exactly; else the longest body that is taken */
    exchange_sink sink;
    void *context;
};

/* Headers of a good answer to a HEAD; empty where absent. */
struct answer {
    uint64_t size;
    uint64_t modified;
    char etag[257];
    char version_id[257];
    char storage_class[65];
    char restore[257];
};

enum exchange_state { EXCHANGE_IDLE, EXCHANGE_WAITING, EXCHANGE_RUNNING, EXCHANGE_ENDED };

struct exchange {
    struct s3 *s3;
    CURL *handle;
    enum exchange_state state;
    struct request request;
    enum outcome outcome; /* once ended */
    struct problem problem;
    struct answer answer;
    long status;
    uint64_t received; /* body bytes passed on */
    unsigned resumed;  /* times that a broken body was continued */
    bool throttled;    /* the server asked for less; the reader clears it */

    /* of the attempt that runs */
    struct curl_slist *headers;
    bool judged;
    uint64_t attempt_received;
    unsigned clock_setting;
    int64_t not_before; /* clock_ms() of the next attempt */
    unsigned failures;  /* in a row, without progress */
    char error_body[4096];
    size_t error_size;
    char curl_error[CURL_ERROR_SIZE];
};

/* Sets up a request on a handle of the network; exchange_turn() carries it out. */
void exchange_begin(struct exchange *exchange, struct s3 *s3, CURL *handle, const struct request *request);

/* Ends it, whatever its state. */
void exchange_abort(struct exchange *exchange);

/*
 * Starts what is due, moves what runs, and waits for at most `timeout_ms`; returns early when an exchange ended or
 * failed, or `writable_fd` (-1: none) can be written. Returns OUTCOME_OK, or OUTCOME_INTERRUPTED.
 */
enum outcome exchange_turn(struct s3 *s3, struct exchange **exchanges, size_t count, int writable_fd, int timeout_ms);

/* Carries out what was begun. Returns OUTCOME_OK once it has ended, however it did, or OUTCOME_INTERRUPTED. */
enum outcome exchange_complete(struct exchange *exchange, struct s3 *s3);

/* Carries out a single request. Fills in the problem unless the outcome is OUTCOME_OK. */
enum outcome exchange_perform(struct exchange *exchange, struct s3 *s3, const struct request *request,
                              struct problem *problem);

#endif
