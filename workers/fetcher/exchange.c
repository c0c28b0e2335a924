/* One request to S3 with all its attempts. */
#include "exchange.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "exit_codes.h"
#include "log.h"
#include "s3_error.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
/* A range that brought this much before it broke was no failure of the link as such. */
#define PROGRESS_BYTES (64 * 1024)

static void end(struct exchange *exchange, enum outcome outcome)
{
    exchange->state = EXCHANGE_ENDED;
    exchange->outcome = outcome;
}

static void fail(struct exchange *exchange, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct exchange *exchange, const char *format, ...)
{
    char what[1536];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    problem_set(&exchange->problem, EXIT_STORAGE, "S3: %s in %s: %s", exchange->request.subject,
                exchange->s3->location.shown, what);
    end(exchange, OUTCOME_FAILED);
}

/* A header of the answer, or "". Valid until the handle is used again. */
static const char *header(const struct exchange *exchange, const char *name)
{
    struct curl_header *found;
    bool there = curl_easy_header(exchange->handle, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK;
    return there ? found->value : "";
}

static void copy_header(const struct exchange *exchange, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s", header(exchange, name));
}

static void read_answer(struct exchange *exchange)
{
    struct answer *answer = &exchange->answer;
    curl_off_t length = -1, modified = -1;
    curl_easy_getinfo(exchange->handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_getinfo(exchange->handle, CURLINFO_FILETIME_T, &modified);
    answer->size = length > 0 ? (uint64_t)length : 0;
    answer->modified = modified > 0 ? (uint64_t)modified : 0;
    copy_header(exchange, "etag", answer->etag, sizeof answer->etag);
    copy_header(exchange, "x-amz-version-id", answer->version_id, sizeof answer->version_id);
    copy_header(exchange, "x-amz-storage-class", answer->storage_class, sizeof answer->storage_class);
    copy_header(exchange, "x-amz-restore", answer->restore, sizeof answer->restore);
    if (length < 0) {
        fail(exchange, "the answer does not tell the object's size: is AWS_ENDPOINT_URL an S3 endpoint?");
    }
}

/* A ranged answer is the range that was asked, of the object that was asked, or it is refused. */
static void judge_range(struct exchange *exchange)
{
    const struct request *request = &exchange->request;
    uint64_t first = request->first + exchange->received;
    char due[96];
    snprintf(due, sizeof due, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, request->first + request->size - 1,
             request->object_size);
    const char *range = header(exchange, "content-range");
    const char *etag = header(exchange, "etag");
    if (exchange->status != 206) {
        fail(exchange,
             "the server answered %ld to a request for a range, which it must answer with 206: it, or a "
             "proxy before it, does not support ranges",
             exchange->status);
    } else if (request->etag[0] != '\0' && strcmp(etag, request->etag) != 0) {
        fail(exchange,
             "the object was replaced while it was being downloaded (ETag %.80s instead of %.80s): start "
             "again",
             etag[0] == '\0' ? "missing" : etag, request->etag);
    } else if (strcmp(range, due) != 0) {
        fail(exchange,
             "the server sent the range '%.80s' instead of '%s': the object was replaced, or the server or "
             "a proxy before it is faulty",
             range, due);
    }
}

/* Looks at status and headers once, before the first byte of the body is passed on. */
static void judge(struct exchange *exchange)
{
    exchange->judged = true;
    curl_easy_getinfo(exchange->handle, CURLINFO_RESPONSE_CODE, &exchange->status);
    if (exchange->status < 200 || exchange->status > 299) {
        return;
    }
    if (exchange->request.ranged) {
        judge_range(exchange);
    } else if (exchange->request.head) {
        read_answer(exchange);
    } else if (exchange->status != 200) {
        fail(exchange, "the server answered %ld instead of 200", exchange->status);
    }
}

static void keep_error(struct exchange *exchange, const char *bytes, size_t size)
{
    size_t room = sizeof exchange->error_body - exchange->error_size;
    size_t taken = size < room ? size : room;
    memcpy(exchange->error_body + exchange->error_size, bytes, taken);
    exchange->error_size += taken;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context)
{
    (void)one;
    struct exchange *exchange = context;
    const struct request *request = &exchange->request;
    if (!exchange->judged) {
        judge(exchange);
    }
    if (exchange->state == EXCHANGE_ENDED) {
        return CURL_WRITEFUNC_ERROR;
    }
    if (exchange->status > 299) {
        keep_error(exchange, bytes, size);
        return size;
    }
    if (size > request->size - exchange->received) {
        fail(exchange, "the server sent more than the %" PRIu64 " bytes that were due", request->size);
        return CURL_WRITEFUNC_ERROR;
    }
    if (request->sink(request->context, exchange->received, (const uint8_t *)bytes, size) != 0) {
        fail(exchange, "the bytes could not be passed on");
        return CURL_WRITEFUNC_ERROR;
    }
    exchange->received += size;
    exchange->attempt_received += size;
    return size;
}

static bool add_header(struct exchange *exchange, const char *name, const char *value)
{
    char line[8300];
    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(exchange->headers, line);
    exchange->headers = longer != NULL ? longer : exchange->headers;
    explicit_bzero(line, sizeof line);
    return longer != NULL;
}

/* libcurl signs, given the hash of the empty body; the token and If-Match are signed with it. */
static bool sign(struct exchange *exchange)
{
    struct s3 *s3 = exchange->s3;
    CURL *handle = exchange->handle;
    char scope[96];
    snprintf(scope, sizeof scope, "aws:amz:%s:s3", s3->region);
    bool token = s3->session_token[0] != '\0', etag = exchange->request.etag[0] != '\0';
    bool complete = add_header(exchange, "x-amz-content-sha256", EMPTY_SHA256) &&
                    (!token || add_header(exchange, "x-amz-security-token", s3->session_token)) &&
                    (!etag || add_header(exchange, "If-Match", exchange->request.etag)) &&
                    curl_easy_setopt(handle, CURLOPT_AWS_SIGV4, scope) == CURLE_OK &&
                    curl_easy_setopt(handle, CURLOPT_USERNAME, s3->access_key_id) == CURLE_OK &&
                    curl_easy_setopt(handle, CURLOPT_PASSWORD, s3->secret_access_key) == CURLE_OK;
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, exchange->headers);
    exchange->clock_setting = s3->clock_setting;
    return complete;
}

/* Takes the attempt down; what is free of it may be signed and started again. */
static void stop(struct exchange *exchange)
{
    curl_multi_remove_handle(exchange->s3->network.multi, exchange->handle);
    curl_easy_setopt(exchange->handle, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
}

static void start(struct exchange *exchange)
{
    const struct request *request = &exchange->request;
    CURL *handle = exchange->handle;
    bool complete = network_prepare(&exchange->s3->network, handle) == 0;
    exchange->judged = false;
    exchange->attempt_received = 0;
    exchange->received = request->ranged ? exchange->received : 0;
    exchange->status = 0;
    exchange->error_size = 0;
    exchange->curl_error[0] = '\0';
    exchange->state = EXCHANGE_RUNNING;
    complete = complete && curl_easy_setopt(handle, CURLOPT_URL, request->url) == CURLE_OK;
    curl_easy_setopt(handle, CURLOPT_NOBODY, request->head ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_FILETIME, request->head ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_FRESH_CONNECT, request->alone ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_FORBID_REUSE, request->alone ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(handle, CURLOPT_PRIVATE, exchange);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, exchange->curl_error);
    if (request->ranged) {
        char range[64];
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, request->first + exchange->received,
                 request->first + request->size - 1);
        complete = complete && curl_easy_setopt(handle, CURLOPT_RANGE, range) == CURLE_OK;
    }
    complete = complete && sign(exchange) && curl_multi_add_handle(exchange->s3->network.multi, handle) == CURLM_OK;
    if (!complete) { /* a request that lacks a header or an option is another one */
        fail(exchange, "no memory for the request");
        stop(exchange);
    }
}

/* Another attempt after a pause, or the end. `why` is the end of the message if it was the last. */
static void try_again(struct exchange *exchange, const char *why)
{
    if (exchange->request.ranged && exchange->attempt_received >= PROGRESS_BYTES) {
        exchange->failures = 0;
    }
    if (exchange->request.ranged && exchange->attempt_received > 0) {
        exchange->resumed++;
    }
    exchange->failures++;
    if (exchange->failures >= exchange->s3->attempts) {
        fail(exchange, "%s (given up after %u attempts)", why, exchange->failures);
        return;
    }
    curl_off_t asked = 0;
    unsigned chance = 0;
    curl_easy_getinfo(exchange->handle, CURLINFO_RETRY_AFTER, &asked);
    RAND_bytes((unsigned char *)&chance, sizeof chance);
    long pause = s3_backoff(exchange->failures, (long)asked, chance);
    log_info("S3: %s: %s; attempt %u of %u in %ld ms", exchange->request.subject, why, exchange->failures + 1,
             exchange->s3->attempts, pause);
    exchange->not_before = clock_ms() + pause;
    exchange->state = EXCHANGE_WAITING;
}

/* Once for all: the server's clock instead of ours. Requests signed before that are signed again without counting. */
static bool correct_clock(struct exchange *exchange)
{
    struct s3 *s3 = exchange->s3;
    if (exchange->clock_setting != s3->clock_setting) {
        return true;
    }
    time_t theirs = curl_getdate(header(exchange, "date"), NULL);
    if (s3->clock_corrected || theirs == (time_t)-1) {
        return false;
    }
    int64_t shift = (int64_t)theirs - (int64_t)time(NULL);
    clock_shift(shift);
    s3->clock_corrected = true;
    s3->clock_setting++;
    log_warning("S3: the clocks of this machine and the server differ by %" PRId64 " seconds: requests are signed with "
                "the server's time; set this machine's clock",
                shift);
    return true;
}

static bool find_region(struct exchange *exchange, const struct s3_error *error)
{
    const char *named = header(exchange, "x-amz-bucket-region");
    const char *region = s3_region_valid(named) ? named : error->region;
    if (region[0] == '\0' || strcmp(region, exchange->s3->region) == 0) {
        return false;
    }
    snprintf(exchange->problem.region, sizeof exchange->problem.region, "%s", region);
    return true;
}

/* "403 AccessDenied (text of the server): advice". A server that echoes the session token is not quoted. */
static void describe(const struct exchange *exchange, const struct s3_error *error, char *out, size_t size)
{
    const char *token = exchange->s3->session_token;
    bool quotable = error->message[0] != '\0' && (token[0] == '\0' || strstr(error->message, token) == NULL);
    char quoted[420] = "";
    if (quotable) {
        snprintf(quoted, sizeof quoted, " (%s)", error->message);
    }
    snprintf(out, size, "%ld %s%s: %s", exchange->status, error->code[0] == '\0' ? "without an S3 error" : error->code,
             quoted, s3_error_advice(exchange->status, error->code));
}

static void settle_status(struct exchange *exchange)
{
    struct s3_error error;
    char what[1024];
    s3_error_read(exchange->error_body, exchange->error_size, &error);
    describe(exchange, &error, what, sizeof what);
    switch (s3_error_verdict(exchange->status, error.code)) {
    case S3_RETRY:
        exchange->throttled = exchange->throttled || s3_error_throttles(exchange->status, error.code);
        try_again(exchange, what);
        return;
    case S3_SKEWED:
        if (correct_clock(exchange)) {
            exchange->not_before = 0;
            exchange->state = EXCHANGE_WAITING;
            return;
        }
        break;
    case S3_REGION:
        if (find_region(exchange, &error)) {
            end(exchange, OUTCOME_REDIRECTED);
            return;
        }
        break;
    case S3_MISSING:
        fail(exchange, "%s", what);
        end(exchange, OUTCOME_MISSING);
        return;
    case S3_REPLACED:
    case S3_FINAL:
        break;
    }
    fail(exchange, "%s", what);
}

static void settle_transport(struct exchange *exchange, CURLcode code)
{
    const char *detail = exchange->curl_error[0] != '\0' ? exchange->curl_error : curl_easy_strerror(code);
    char what[CURL_ERROR_SIZE + 64];
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
        fail(exchange,
             "the server's certificate is not trusted (%s); trusted are the CAs of '%s': set AWS_CA_BUNDLE "
             "to a PEM file that holds the server's CA",
             detail, exchange->s3->network.ca_bundle);
        return;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
        fail(exchange, "that is no HTTP server (%s): check the endpoint's scheme and port", detail);
        return;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_URL_MALFORMAT:
    case CURLE_WRITE_ERROR:
        fail(exchange, "%s", detail);
        return;
    default:
        snprintf(what, sizeof what, "%s", code == CURLE_OK ? "the answer is shorter than announced" : detail);
        try_again(exchange, what);
    }
}

static void settle(struct exchange *exchange, CURLcode code)
{
    const struct request *request = &exchange->request;
    if (!exchange->judged && (code == CURLE_OK || request->head)) {
        judge(exchange);
    }
    if (exchange->state == EXCHANGE_ENDED) {
        return;
    }
    bool complete = code == CURLE_OK && (!request->ranged || exchange->received == request->size);
    if (exchange->status > 299) {
        settle_status(exchange);
    } else if (complete) {
        end(exchange, OUTCOME_OK);
    } else {
        settle_transport(exchange, code);
    }
}

/* Returns whether an attempt ended. */
static bool collect(struct s3 *s3)
{
    bool ended = false;
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(s3->network.multi, &left)) != NULL;) {
        struct exchange *exchange = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
        settle(exchange, code);
        stop(exchange);
        ended = true;
    }
    return ended;
}

/* Starts what is due. Returns how long to wait at most, in milliseconds. */
static int start_due(struct exchange **exchanges, size_t count, int timeout_ms)
{
    int64_t now = clock_ms();
    int64_t wait = timeout_ms;
    for (size_t i = 0; i < count; i++) {
        struct exchange *exchange = exchanges[i];
        if (exchange->state == EXCHANGE_WAITING && exchange->not_before <= now) {
            start(exchange);
            wait = exchange->state == EXCHANGE_ENDED ? 0 : wait;
        } else if (exchange->state == EXCHANGE_WAITING && exchange->not_before - now < wait) {
            wait = exchange->not_before - now;
        }
    }
    return (int)wait;
}

/* libcurl does not report a hang-up of a descriptor that it waits for. */
static bool interrupted(const struct s3 *s3)
{
    struct pollfd control = {s3->interrupt_fd, POLLIN, 0};
    return poll(&control, 1, 0) > 0;
}

enum outcome exchange_turn(struct s3 *s3, struct exchange **exchanges, size_t count, int writable_fd, int timeout_ms)
{
    int running;
    int wait = start_due(exchanges, count, timeout_ms);
    curl_multi_perform(s3->network.multi, &running);
    if (collect(s3)) {
        return OUTCOME_OK;
    }
    struct curl_waitfd watched[] = {{s3->interrupt_fd, CURL_WAIT_POLLIN, 0}, {writable_fd, CURL_WAIT_POLLOUT, 0}};
    curl_multi_poll(s3->network.multi, watched, writable_fd < 0 ? 1 : 2, wait, NULL);
    if (interrupted(s3)) {
        return OUTCOME_INTERRUPTED;
    }
    curl_multi_perform(s3->network.multi, &running);
    collect(s3);
    return OUTCOME_OK;
}

void exchange_begin(struct exchange *exchange, struct s3 *s3, CURL *handle, const struct request *request)
{
    *exchange = (struct exchange){.s3 = s3, .handle = handle, .request = *request, .state = EXCHANGE_WAITING};
}

void exchange_abort(struct exchange *exchange)
{
    if (exchange->state == EXCHANGE_RUNNING) {
        stop(exchange);
    }
    exchange->state = EXCHANGE_IDLE;
}

enum outcome exchange_complete(struct exchange *exchange, struct s3 *s3)
{
    while (exchange->state != EXCHANGE_ENDED) {
        if (exchange_turn(s3, &exchange, 1, -1, EXCHANGE_SLICE_MS) == OUTCOME_INTERRUPTED) {
            exchange_abort(exchange);
            return OUTCOME_INTERRUPTED;
        }
    }
    return OUTCOME_OK;
}

enum outcome exchange_perform(struct exchange *exchange, struct s3 *s3, const struct request *request,
                              struct problem *problem)
{
    exchange_begin(exchange, s3, s3->network.handles[0], request);
    if (exchange_complete(exchange, s3) != OUTCOME_OK) {
        return OUTCOME_INTERRUPTED;
    }
    *problem = exchange->problem;
    return exchange->outcome;
}
