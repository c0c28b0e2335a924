/*
 * The Docker Engine's API over its unix socket, by libcurl; answers are JSON by cJSON, bounded in size.
 * Source of the behaviour: Engine API reference, versions 1.41 and later.
 *
 * A connection is made for each request (no socket is held between them) and every request has a deadline. Errors are
 * one clear line in engine.error, with the exit code they stand for in engine.error_code.
 */
#ifndef ENGINE_API_H
#define ENGINE_API_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ENGINE_ANSWER_MAX (8 * 1024 * 1024) /* of one answer, as it comes */
#define ENGINE_JSON_MAX (64 * 1024 * 1024)  /* of all JSON that is held, parsed */
#define ENGINE_API_MINIMUM_MINOR 41

struct engine {
    void *multi;           /* CURLM, made before the lock-down: it would need a socketpair later */
    void *following;       /* the same, for an answer that goes on while requests come and end */
    char socket_path[108]; /* of the unix socket */
    char api[16];          /* prefix of request paths, "/v1.41"; set by engine_negotiate() */
    unsigned minor;        /* negotiated API version 1.MINOR */
    unsigned timeout;      /* seconds for one request, unless a request says otherwise */
    char error[1024];      /* of the last call that returned -1 */
    unsigned error_code;   /* enum exit_code */
    long status;           /* HTTP status of the last answer; 0 where there was none */
};

/* Initialises libcurl and the handle. 0, or -1 with engine->error. Before the lock-down. */
int engine_init(struct engine *engine, const char *socket_path, unsigned timeout);

/* Sets error and error_code, and returns -1. */
int engine_error(struct engine *engine, unsigned code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Bytes in or out of a request: a source returns the bytes put into `data` (0: end, -1: abort), a sink 0 (-1: abort;
 * the callback has set engine->error). */
typedef ssize_t engine_source(void *context, uint8_t *data, size_t capacity);
typedef int engine_sink(void *context, const uint8_t *data, size_t size);

/* One request. Paths begin with a slash, without the version; values in them are escaped by engine_path(). */
struct engine_request {
    const char *method;
    const char *path;
    const char *json;    /* body; or: */
    const uint8_t *body; /* a body of body_size bytes, a tar; or: */
    size_t body_size;
    engine_source *source; /* a body of unknown length, a tar, and its context */
    void *source_context;
    engine_sink *sink; /* where the answer goes, piece by piece, where the status is 200; NULL: collected */
    void *sink_context;
    unsigned timeout; /* seconds for the whole, or with source or sink without progress; 0: the engine's own */
    bool unversioned;
    bool upgrade;     /* the connection is to be handed over; all others close theirs with the answer */
    const char *what; /* what is done to what, for errors: "stop container app-1" */
};

/*
 * Sends a request and waits for the answer. 0 for a status below 400 (engine->status tells which) with *answer, where
 * it is not NULL, the parsed JSON (NULL where the body is empty; cJSON_Delete() it). -1 with engine->error: the
 * Engine's own message for a status of 400 and more.
 */
int engine_call(struct engine *engine, const struct engine_request *request, cJSON **answer);

/* Several requests at once, without bodies in answers kept. */
struct engine_parallel {
    struct engine_request request;
    bool ok;
    long status;
    char error[1024]; /* where not ok */
};
/* Called as each of them ends. */
typedef void engine_finished(void *context, size_t index);
/* Runs all until `deadline` seconds have passed; those that have no answer by then fail. */
void engine_call_all(struct engine *engine, struct engine_parallel *calls, size_t count, unsigned deadline,
                     engine_finished *finished, void *context);

/*
 * Sends a POST that hands the connection over (attach, exec start): *fd is non-blocking and the caller's to close, and
 * the bytes of the stream that came with the answer's head are in early (on the heap, the caller's to free; may be
 * NULL).
 */
struct engine_stream {
    int fd;
    uint8_t *early;
    size_t early_size;
};
int engine_upgrade(struct engine *engine, const char *path, const char *json, const char *what,
                   struct engine_stream *stream);

/*
 * A GET whose answer goes on, on a connection of its own: its head has come when this returns 0. The sink gets what
 * comes, here and in engine_follow_turn(), which reads what is there (false: the answer has ended). `what` must live as
 * long as it does. fd: for poll() alone.
 */
struct engine_follow;
int engine_follow_open(struct engine *engine, const char *path, const char *what, engine_sink *sink, void *context,
                       struct engine_follow **out);
bool engine_follow_turn(struct engine_follow *follow);
int engine_follow_fd(const struct engine_follow *follow);
void engine_follow_close(struct engine_follow *follow);

/* printf into *path (on the heap, the caller's to free), each %s argument percent-encoded. 0, or -1 (no memory). */
int engine_path(struct engine *engine, char **path, const char *format, ...);

/* GET /version: negotiates. *version is the answer (cJSON_Delete() it). 0, or -1 with engine->error. */
int engine_negotiate(struct engine *engine, cJSON **version);

/* Members of JSON: "" , NULL, 0 or false where it is missing or of another type. `path` is names joined by dots. */
const cJSON *json_member(const cJSON *object, const char *path);
const char *json_text(const cJSON *object, const char *path);
uint64_t json_number(const cJSON *object, const char *path);
bool json_true(const cJSON *object, const char *path);
/* A label, whose name has dots itself. */
const char *json_label(const cJSON *labels, const char *name);

static inline void cleanup_json_value(cJSON **json)
{
    cJSON_Delete(*json);
}
#define cleanup_json __attribute__((cleanup(cleanup_json_value)))

#endif
