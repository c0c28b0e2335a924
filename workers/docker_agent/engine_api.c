/* The Docker Engine's API over its unix socket; see engine_api.h. */
#include "engine_api.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "engine_requests.h"
#include "exit_codes.h"
#include "secret.h"

#define ENGINE_API_MAXIMUM_MINOR 45
#define CONNECT_TIMEOUT 10L
#define FIRST_CAPACITY 4096
#define POLL_MS 1000
#define BULK_BUFFER (256L * 1024)

/* One transfer in the making. */
struct transfer {
    struct engine *engine;
    CURLM *multi; /* that it runs in */
    const struct engine_request *request;
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    uint8_t *answer; /* collected; one byte more than answer_size is there */
    size_t answer_size;
    size_t answer_capacity;
    bool too_long;
    bool aborted; /* by a source or sink, which has set engine->error */
    bool done;
    CURLcode result;
    long status;
    char curl_error[CURL_ERROR_SIZE];
    int fd;
    bool upgraded; /* of an upgrade alone: the connection is ours */
    bool accepted; /* of an answer that goes on: its head has come */
};

int engine_error(struct engine *engine, unsigned code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(engine->error, sizeof engine->error, format, arguments);
    va_end(arguments);
    engine->error_code = code;
    return -1;
}

/* Answers hold the environment of containers, so all memory of libcurl and cJSON is wiped as it is freed. */
static void wiping_free(void *memory)
{
    secret_wipe(memory, malloc_usable_size(memory));
    free(memory);
}

/* Memory of cJSON, counted: an answer made to blow up ends in an error instead of in a call for more heap, which the
 * sandbox would answer with a kill. */
static size_t json_used;

static void *json_malloc(size_t size)
{
    if (json_used > ENGINE_JSON_MAX || size > ENGINE_JSON_MAX - json_used) {
        return NULL;
    }
    void *memory = malloc(size);
    json_used += malloc_usable_size(memory);
    return memory;
}

static void json_free(void *memory)
{
    json_used -= malloc_usable_size(memory);
    wiping_free(memory);
}

static void *wiping_realloc(void *memory, size_t size)
{
    size_t old = malloc_usable_size(memory);
    if (memory != NULL && size <= old) {
        return memory;
    }
    void *bigger = malloc(size);
    if (bigger != NULL && memory != NULL) {
        memcpy(bigger, memory, old);
        wiping_free(memory);
    }
    return bigger;
}

int engine_init(struct engine *engine, const char *socket_path, unsigned timeout)
{
    *engine = (struct engine){.timeout = timeout};
    if (strlen(socket_path) >= sizeof engine->socket_path) {
        return engine_error(engine, EXIT_USAGE, "Docker socket: the path %.200s is too long", socket_path);
    }
    memcpy(engine->socket_path, socket_path, strlen(socket_path) + 1);
    cJSON_InitHooks(&(cJSON_Hooks){json_malloc, json_free});
    if (curl_global_init_mem(CURL_GLOBAL_NOTHING, malloc, wiping_free, wiping_realloc, strdup, calloc) != CURLE_OK) {
        return engine_error(engine, EXIT_INTERNAL, "libcurl cannot be initialised");
    }
    engine->multi = curl_multi_init();
    engine->following = curl_multi_init();
    if (engine->multi == NULL || engine->following == NULL) {
        return engine_error(engine, EXIT_INTERNAL, "libcurl: no memory");
    }
    return 0;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *transfer = context;
    if (purpose != CURLSOCKTYPE_IPCXN || address->family != AF_UNIX) {
        return CURL_SOCKET_BAD;
    }
    transfer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return transfer->fd;
}

/* A socket that was taken over outlives its transfer. */
static int close_socket(void *context, curl_socket_t fd)
{
    const struct transfer *transfer = context;
    return transfer->upgraded && fd == transfer->fd ? 0 : close(fd);
}

static bool grow_answer(struct transfer *transfer, size_t size)
{
    if (size > ENGINE_ANSWER_MAX - transfer->answer_size) {
        transfer->too_long = true;
        return false;
    }
    size_t wanted = transfer->answer_size + size + 1;
    if (wanted <= transfer->answer_capacity) {
        return true;
    }
    size_t capacity = transfer->answer_capacity == 0 ? FIRST_CAPACITY : transfer->answer_capacity;
    while (capacity < wanted) {
        capacity *= 2;
    }
    uint8_t *bigger = wiping_realloc(transfer->answer, capacity);
    if (bigger == NULL) {
        return false;
    }
    transfer->answer = bigger;
    transfer->answer_capacity = capacity;
    return true;
}

static size_t on_answer(char *data, size_t unit, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t size = unit * count;
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->request->sink != NULL && status == 200) {
        if (transfer->request->sink(transfer->request->sink_context, (const uint8_t *)data, size) != 0) {
            transfer->aborted = true;
            return 0;
        }
        return size;
    }
    if (!grow_answer(transfer, size)) {
        return 0;
    }
    memcpy(transfer->answer + transfer->answer_size, data, size);
    transfer->answer_size += size;
    transfer->answer[transfer->answer_size] = '\0';
    return size;
}

static size_t on_body(char *data, size_t unit, size_t count, void *context)
{
    struct transfer *transfer = context;
    ssize_t got = transfer->request->source(transfer->request->source_context, (uint8_t *)data, unit * count);
    if (got < 0) {
        transfer->aborted = true;
        return CURL_READFUNC_ABORT;
    }
    return (size_t)got;
}

/* The empty line ends the head. */
static size_t on_header(char *data, size_t unit, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t size = unit * count;
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (size <= 2 && (data[0] == '\r' || data[0] == '\n')) {
        transfer->upgraded = status == 101;
        transfer->accepted = status == 200;
    }
    return size;
}

static bool add_header(struct transfer *transfer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);
    if (longer == NULL) {
        return false;
    }
    transfer->headers = longer;
    return true;
}

static bool set_body(struct transfer *transfer)
{
    const struct engine_request *request = transfer->request;
    if (request->source != NULL) {
        curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(transfer->easy, CURLOPT_READFUNCTION, on_body);
        curl_easy_setopt(transfer->easy, CURLOPT_READDATA, transfer);
        return add_header(transfer, "Content-Type: application/x-tar") &&
               add_header(transfer, "Transfer-Encoding: chunked");
    }
    if (request->body != NULL) {
        curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, (const char *)request->body);
        curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        return add_header(transfer, "Content-Type: application/x-tar");
    }
    if (strcmp(request->method, "POST") == 0) {
        const char *json = request->json == NULL ? "" : request->json;
        curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(json));
        return curl_easy_setopt(transfer->easy, CURLOPT_COPYPOSTFIELDS, json) == CURLE_OK &&
               add_header(transfer, "Content-Type: application/json");
    }
    return true;
}

static void set_deadline(struct transfer *transfer)
{
    const struct engine_request *request = transfer->request;
    long seconds = (long)(request->timeout == 0 ? transfer->engine->timeout : request->timeout);
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT, seconds < CONNECT_TIMEOUT ? seconds : CONNECT_TIMEOUT);
    if (request->source == NULL && request->sink == NULL) {
        curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT, seconds);
        return;
    }
    curl_easy_setopt(transfer->easy, CURLOPT_BUFFERSIZE, BULK_BUFFER);
    curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD_BUFFERSIZE, BULK_BUFFER);
    curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_TIME, seconds);
}

/* The options that libcurl copies, which it may have no memory for. */
static bool set_texts(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    return curl_easy_setopt(easy, CURLOPT_URL, transfer->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, transfer->request->method) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, transfer->engine->socket_path) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
}

/* A transfer that cannot be added would never be done. */
static void transfer_start(struct transfer *transfer)
{
    if (curl_multi_add_handle(transfer->multi, transfer->easy) != CURLM_OK) {
        transfer->result = CURLE_OUT_OF_MEMORY;
        transfer->done = true;
    }
}

/* A transfer that is not reused. */
static int transfer_init(struct transfer *transfer, struct engine *engine, const struct engine_request *request)
{
    *transfer = (struct transfer){.engine = engine, .multi = engine->multi, .request = request, .fd = -1};
    if (!engine_request_permitted(request->method, request->path)) {
        return engine_error(engine, EXIT_DOCKER, "%s: %s %.200s is not among the requests that are made of the Engine",
                            request->what, request->method, request->path);
    }
    transfer->easy = curl_easy_init();
    if (transfer->easy != NULL) {
        curl_easy_setopt(transfer->easy, CURLOPT_NOSIGNAL, 1L); /* else its cleanup would set a signal's action */
    }
    if (transfer->easy == NULL ||
        asprintf(&transfer->url, "http://localhost%s%s", request->unversioned ? "" : engine->api, request->path) < 0 ||
        !add_header(transfer, "Expect:") ||
        !add_header(transfer, request->upgrade ? "Connection: Upgrade, close" : "Connection: close") ||
        !set_body(transfer) || !set_texts(transfer)) {
        return engine_error(engine, EXIT_INTERNAL, "%s: no memory", request->what);
    }
    set_deadline(transfer);
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    return 0;
}

static void transfer_free(struct transfer *transfer)
{
    if (transfer->easy != NULL) {
        curl_multi_remove_handle(transfer->multi, transfer->easy);
        curl_easy_cleanup(transfer->easy);
    }
    curl_slist_free_all(transfer->headers);
    wiping_free(transfer->answer);
    free(transfer->url);
}
#define cleanup_transfer __attribute__((cleanup(transfer_free)))

static void collect_finished(CURLM *multi)
{
    int left = 0;
    for (;;) {
        CURLMsg *message = curl_multi_info_read(multi, &left);
        if (message == NULL) {
            return;
        }
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct transfer *transfer = (struct transfer *)(void *)private;
        transfer->result = message->data.result;
        transfer->done = true;
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->status);
    }
}

/* One turn of the transfers in flight; waits for their sockets, at most `wait_ms`. */
static int turn(struct engine *engine, int wait_ms)
{
    int running = 0;
    CURLMcode code = curl_multi_perform(engine->multi, &running);
    if (code == CURLM_OK) {
        collect_finished(engine->multi);
        code = running > 0 ? curl_multi_poll(engine->multi, NULL, 0, wait_ms, NULL) : CURLM_OK;
    }
    if (code != CURLM_OK) {
        return engine_error(engine, EXIT_INTERNAL, "libcurl: %s", curl_multi_strerror(code));
    }
    return 0;
}

static int explain_failure(struct transfer *transfer)
{
    struct engine *engine = transfer->engine;
    const char *what = transfer->request->what;
    if (transfer->aborted) {
        return -1;
    }
    if (transfer->too_long) {
        return engine_error(engine, EXIT_DOCKER, "%s: the Docker Engine's answer is longer than %d MiB", what,
                            ENGINE_ANSWER_MAX / 1024 / 1024);
    }
    if (transfer->result == CURLE_OPERATION_TIMEDOUT) {
        unsigned own = transfer->request->timeout;
        return engine_error(engine, EXIT_DOCKER, "%s: no answer of the Docker Engine within %u s", what,
                            own == 0 ? engine->timeout : own);
    }
    const char *reason = transfer->curl_error[0] != '\0' ? transfer->curl_error : curl_easy_strerror(transfer->result);
    return engine_error(engine, EXIT_DOCKER, "%s: no answer of the Docker Engine at %s: %s", what, engine->socket_path,
                        reason);
}

/* A status of 400 and more: the Engine's message, or what it sent, on one line. */
static int explain_status(struct transfer *transfer)
{
    cleanup_json cJSON *json =
        cJSON_ParseWithLength((const char *)transfer->answer, transfer->answer == NULL ? 0 : transfer->answer_size);
    const char *message = json_text(json, "message");
    engine_error(transfer->engine, EXIT_DOCKER, "%s: %.800s (HTTP status %ld)", transfer->request->what,
                 message[0] == '\0' ? "the Docker Engine refuses" : message, transfer->status);
    for (char *at = transfer->engine->error; *at != '\0'; at++) {
        *at = *at == '\n' || *at == '\r' ? ' ' : *at;
    }
    return -1;
}

static int judge(struct transfer *transfer)
{
    transfer->engine->status = transfer->status;
    if (transfer->result != CURLE_OK) {
        return explain_failure(transfer);
    }
    return transfer->status >= 400 ? explain_status(transfer) : 0;
}

static int parse_answer(struct transfer *transfer, cJSON **answer)
{
    *answer = NULL;
    if (transfer->answer_size == 0) {
        return 0;
    }
    *answer = cJSON_ParseWithLength((const char *)transfer->answer, transfer->answer_size);
    if (*answer == NULL) {
        return engine_error(transfer->engine, EXIT_DOCKER, "%s: the Docker Engine's answer is no JSON, or too long",
                            transfer->request->what);
    }
    return 0;
}

int engine_call(struct engine *engine, const struct engine_request *request, cJSON **answer)
{
    cleanup_transfer struct transfer transfer;
    engine->status = 0;
    if (answer != NULL) {
        *answer = NULL;
    }
    if (transfer_init(&transfer, engine, request) != 0) {
        return -1;
    }
    transfer_start(&transfer);
    while (!transfer.done) {
        if (turn(engine, POLL_MS) != 0) {
            return -1;
        }
    }
    if (judge(&transfer) != 0) {
        return -1;
    }
    return answer == NULL ? 0 : parse_answer(&transfer, answer);
}

static void settle(struct engine_parallel *call, struct transfer *transfer)
{
    call->ok = judge(transfer) == 0;
    call->status = transfer->status;
    if (!call->ok) {
        memcpy(call->error, transfer->engine->error, sizeof call->error);
    }
}

/* Settles and frees the transfers that are done (all, where `expired`); returns how many are left. */
static size_t settle_done(struct transfer *transfers, struct engine_parallel *calls, size_t count, bool expired,
                          engine_finished *finished, void *context)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (transfers[i].engine == NULL) { /* settled */
            continue;
        }
        if (!transfers[i].done && !expired) {
            left++;
            continue;
        }
        if (!transfers[i].done) {
            transfers[i].result = CURLE_ABORTED_BY_CALLBACK;
            snprintf(transfers[i].curl_error, sizeof transfers[i].curl_error, "the deadline for all has passed");
        }
        settle(&calls[i], &transfers[i]);
        transfer_free(&transfers[i]);
        transfers[i] = (struct transfer){0};
        finished(context, i);
    }
    return left;
}

static void start_all(struct engine *engine, struct transfer *transfers, struct engine_parallel *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (transfer_init(&transfers[i], engine, &calls[i].request) == 0) {
            transfer_start(&transfers[i]);
            continue;
        }
        transfers[i].done = true;
        transfers[i].aborted = true;
        transfers[i].result = CURLE_OUT_OF_MEMORY;
    }
}

void engine_call_all(struct engine *engine, struct engine_parallel *calls, size_t count, unsigned deadline,
                     engine_finished *finished, void *context)
{
    cleanup_free struct transfer *transfers = calloc(count, sizeof *transfers);
    if (transfers == NULL) {
        for (size_t i = 0; i < count; i++) {
            snprintf(calls[i].error, sizeof calls[i].error, "%s: no memory", calls[i].request.what);
            finished(context, i);
        }
        return;
    }
    start_all(engine, transfers, calls, count);
    int64_t end = now_ms() + (int64_t)deadline * 1000;
    size_t left = count;
    while (left > 0) {
        int64_t now = now_ms();
        bool expired = now >= end;
        int wait_ms = expired || end - now > POLL_MS ? POLL_MS : (int)(end - now);
        expired = expired || turn(engine, wait_ms) != 0;
        left = settle_done(transfers, calls, count, expired, finished, context);
    }
}

static int take_over(struct transfer *transfer, struct engine_stream *stream)
{
    if (!transfer->upgraded) {
        transfer->engine->status = transfer->status;
        if (transfer->result == CURLE_OK && transfer->status < 400) {
            return engine_error(transfer->engine, EXIT_DOCKER, "%s: the Docker Engine does not hand over the stream",
                                transfer->request->what);
        }
        return judge(transfer);
    }
    *stream = (struct engine_stream){transfer->fd, transfer->answer, transfer->answer_size};
    transfer->answer = NULL;
    return 0;
}

int engine_upgrade(struct engine *engine, const char *path, const char *json, const char *what,
                   struct engine_stream *stream)
{
    const struct engine_request request = {.method = "POST", .path = path, .json = json, .upgrade = true, .what = what};
    cleanup_transfer struct transfer transfer;
    *stream = (struct engine_stream){.fd = -1};
    if (transfer_init(&transfer, engine, &request) != 0) {
        return -1;
    }
    if (!add_header(&transfer, "Upgrade: tcp")) {
        return engine_error(engine, EXIT_INTERNAL, "%s: no memory", what);
    }
    curl_easy_setopt(transfer.easy, CURLOPT_HTTPHEADER, transfer.headers);
    curl_easy_setopt(transfer.easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(transfer.easy, CURLOPT_HEADERDATA, &transfer);
    transfer_start(&transfer);
    while (!transfer.done && !transfer.upgraded) {
        int running = 0;
        curl_multi_perform(engine->multi, &running);
        collect_finished(engine->multi);
        if (!transfer.done && !transfer.upgraded) {
            curl_multi_poll(engine->multi, NULL, 0, POLL_MS, NULL);
        }
    }
    return take_over(&transfer, stream);
}

struct engine_follow {
    struct engine_request request;
    struct transfer transfer;
};

bool engine_follow_turn(struct engine_follow *follow)
{
    int running = 0;
    curl_multi_perform(follow->transfer.multi, &running);
    collect_finished(follow->transfer.multi);
    return !follow->transfer.done;
}

int engine_follow_fd(const struct engine_follow *follow)
{
    return follow->transfer.fd;
}

void engine_follow_close(struct engine_follow *follow)
{
    if (follow != NULL) {
        transfer_free(&follow->transfer);
        free(follow);
    }
}

/* Until the head of the answer is there; nothing is said about what follows. */
static int await_head(struct engine_follow *follow)
{
    struct transfer *transfer = &follow->transfer;
    int64_t end = now_ms() + (int64_t)transfer->engine->timeout * 1000;
    while (engine_follow_turn(follow) && !transfer->accepted) {
        if (now_ms() >= end) {
            transfer->result = CURLE_OPERATION_TIMEDOUT;
            return judge(transfer);
        }
        curl_multi_poll(transfer->multi, NULL, 0, POLL_MS, NULL);
    }
    if (transfer->accepted) {
        return 0;
    }
    return judge(transfer) != 0 ? -1
                                : engine_error(transfer->engine, EXIT_DOCKER,
                                               "%s: the Docker Engine has nothing to say", follow->request.what);
}

int engine_follow_open(struct engine *engine, const char *path, const char *what, engine_sink *sink, void *context,
                       struct engine_follow **out)
{
    *out = NULL;
    struct engine_follow *follow = calloc(1, sizeof *follow);
    if (follow == NULL) {
        return engine_error(engine, EXIT_INTERNAL, "%s: no memory", what);
    }
    follow->request =
        (struct engine_request){.method = "GET", .path = path, .sink = sink, .sink_context = context, .what = what};
    struct transfer *transfer = &follow->transfer;
    if (transfer_init(transfer, engine, &follow->request) == 0) {
        transfer->multi = engine->following;
        curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_TIME, 0L); /* it may be silent for as long as it likes */
        curl_easy_setopt(transfer->easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(transfer->easy, CURLOPT_HEADERDATA, transfer);
        transfer_start(transfer);
        if (await_head(follow) == 0) {
            *out = follow;
            return 0;
        }
    }
    engine_follow_close(follow);
    return -1;
}

/* A part that is missing would make another path of it: all containers instead of ours, for one. */
int engine_path(struct engine *engine, char **path, const char *format, ...)
{
    cleanup_free char *built = NULL;
    size_t size = 0;
    cleanup_fclose FILE *out = open_memstream(&built, &size);
    if (out == NULL) {
        return engine_error(engine, EXIT_INTERNAL, "no memory");
    }
    bool complete = true;
    va_list arguments;
    va_start(arguments, format);
    for (const char *at = format; *at != '\0'; at++) {
        if (at[0] != '%' || at[1] != 's') {
            fputc(*at, out);
            continue;
        }
        at++;
        char *escaped = curl_easy_escape(NULL, va_arg(arguments, const char *), 0);
        complete = complete && escaped != NULL;
        fputs(escaped == NULL ? "" : escaped, out);
        curl_free(escaped);
    }
    va_end(arguments);
    complete = fflush(out) == 0 && ferror(out) == 0 && complete;
    *path = built == NULL || !complete ? NULL : strdup(built);
    return *path == NULL ? engine_error(engine, EXIT_INTERNAL, "no memory") : 0;
}

/* The N of "1.N"; 0 for anything else. */
static unsigned minor_of(const char *version)
{
    if (strncmp(version, "1.", 2) != 0) {
        return 0;
    }
    char *end = NULL;
    unsigned long minor = strtoul(version + 2, &end, 10);
    return *end == '\0' && minor < 1000 ? (unsigned)minor : 0;
}

int engine_negotiate(struct engine *engine, cJSON **version)
{
    const struct engine_request request = {
        .method = "GET", .path = "/version", .unversioned = true, .what = "ask the version"};
    if (engine_call(engine, &request, version) != 0) {
        return -1;
    }
    unsigned highest = minor_of(json_text(*version, "ApiVersion"));
    unsigned lowest = minor_of(json_text(*version, "MinAPIVersion"));
    if (highest < ENGINE_API_MINIMUM_MINOR) {
        return engine_error(engine, EXIT_DOCKER, "the Docker Engine speaks API %.16s, 1.%d or later is needed",
                            json_text(*version, "ApiVersion"), ENGINE_API_MINIMUM_MINOR);
    }
    engine->minor = highest < ENGINE_API_MAXIMUM_MINOR ? highest : ENGINE_API_MAXIMUM_MINOR;
    engine->minor = engine->minor < lowest ? lowest : engine->minor;
    snprintf(engine->api, sizeof engine->api, "/v1.%u", engine->minor);
    return 0;
}
