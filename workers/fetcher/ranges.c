/* Downloads by ranges over several connections, delivered in order. */
#include "ranges.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "exit_codes.h"
#include "s3.h"

enum { PARTS = NETWORK_HANDLES, PART_SIZE = S3_ARENA / PARTS };

#define FIRST_CONNECTIONS 4 /* one alone leaves most of a link with latency or a limit a connection idle */
#define PROGRESS_MS 250
#define TRIAL_MS 500        /* long enough for new connections to gain speed */
#define TRIAL_PAUSE_MS 5000 /* after a trial that gained nothing */

/* A range of the object, in a ring in the order of delivery. */
struct part {
    struct download *download;
    struct exchange exchange;
    uint8_t *buffer; /* PART_SIZE */
    size_t size;
    size_t have;
    size_t sent;
    unsigned resumed; /* of the exchange, as far as counted */
};

/* Whether more connections bring more: the rate with as many as now against the rate with half of them. */
struct trial {
    int64_t since;   /* the rate is measured from here */
    uint64_t before; /* bytes received until then */
    uint64_t best;   /* rate with fewer connections, bytes a second */
};

struct download {
    struct s3 *s3;
    const struct ranges_object *object;
    const char *subject;
    const char *url;
    int out;
    bool broken;    /* the reader closed the pipe */
    bool pipe_full; /* at the last write */
    uint64_t asked; /* bytes that parts stand for */
    uint64_t received;
    uint64_t delivered;
    uint64_t resumed;
    unsigned connections; /* how many parts may be on their way at once */
    struct trial trial;
    unsigned head; /* of the ring: the part that is delivered */
    unsigned count;
    int64_t next_report;
    struct part parts[PARTS];
};

static struct part *part_at(struct download *download, unsigned index)
{
    return &download->parts[(download->head + index) % PARTS];
}

/* Returns how many bytes the pipe took. */
static size_t give(struct download *download, const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size && !download->broken) {
        ssize_t put = write(download->out, bytes + done, size - done);
        if (put >= 0) {
            done += (size_t)put;
        } else if (errno == EAGAIN) {
            download->pipe_full = true;
            break;
        } else if (errno != EINTR) {
            download->broken = true;
        }
    }
    download->delivered += done;
    return done;
}

/* Body bytes of a part. Those of the first in the ring go straight into the pipe, as far as it takes them. */
static int take_bytes(void *context, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct part *part = context;
    struct download *download = part->download;
    if (offset != part->have || size > part->size - part->have) {
        return -1;
    }
    size_t direct = 0;
    if (part == part_at(download, 0) && part->sent == part->have && !download->pipe_full) {
        direct = give(download, bytes, size);
        part->sent += direct;
    }
    memcpy(part->buffer + part->have + direct, bytes + direct, size - direct);
    part->have += size;
    download->received += size;
    return 0;
}

static void begin_part(struct download *download)
{
    unsigned slot = (download->head + download->count) % PARTS;
    struct part *part = &download->parts[slot];
    struct s3 *s3 = download->s3;
    uint64_t left = download->object->size - download->asked;
    part->download = download;
    part->buffer = s3->arena + (size_t)slot * PART_SIZE;
    part->size = left < PART_SIZE ? (size_t)left : PART_SIZE;
    part->have = part->sent = 0;
    part->resumed = 0;
    struct request request = {.subject = download->subject,
                              .url = download->url,
                              .etag = download->object->etag,
                              .ranged = true,
                              .first = download->asked,
                              .object_size = download->object->size,
                              .size = part->size,
                              .sink = take_bytes,
                              .context = part};
    exchange_begin(&part->exchange, s3, s3->network.handles[slot], &request);
    download->asked += part->size;
    download->count++;
}

static void begin_parts(struct download *download)
{
    unsigned on_their_way = 0;
    for (unsigned i = 0; i < download->count; i++) {
        on_their_way += part_at(download, i)->exchange.state != EXCHANGE_ENDED;
    }
    while (on_their_way < download->connections && download->count < PARTS &&
           download->asked < download->object->size) {
        begin_part(download);
        on_their_way++;
    }
}

/* The first part has come and the pipe is full: the reader is what everything waits for. */
static bool reader_is_behind(struct download *download)
{
    return download->pipe_full && part_at(download, 0)->exchange.state == EXCHANGE_ENDED;
}

/* Then a rate says nothing about the connections: the server has not begun, or the reader is behind. */
static bool nothing_to_measure(struct download *download)
{
    return download->received == 0 || reader_is_behind(download);
}

static void restart_trial(struct download *download, int64_t since, uint64_t best)
{
    download->trial = (struct trial){since, download->received, best};
}

/* Twice the connections as long as that brings a quarter more; else back again, and another try later. */
static void try_more(struct download *download)
{
    int64_t now = clock_ms();
    int64_t elapsed = now - download->trial.since;
    if (elapsed < 0 || nothing_to_measure(download)) {
        restart_trial(download, elapsed < 0 ? download->trial.since : now, download->trial.best);
        return;
    }
    if (elapsed < TRIAL_MS) {
        return;
    }
    uint64_t rate = (download->received - download->trial.before) * 1000 / (uint64_t)elapsed;
    bool gained = rate > download->trial.best + download->trial.best / 4;
    if (gained && download->connections < PARTS) {
        download->connections *= 2;
        restart_trial(download, now, rate);
        return;
    }
    download->connections /= !gained && download->connections > 1 ? 2 : 1;
    restart_trial(download, now + TRIAL_PAUSE_MS, 0);
}

/* Counts what was continued, and asks for less where the server wants that. */
static void adapt(struct download *download, struct part *part)
{
    struct exchange *exchange = &part->exchange;
    download->resumed += exchange->resumed - part->resumed;
    part->resumed = exchange->resumed;
    if (exchange->throttled) {
        exchange->throttled = false;
        download->connections = (download->connections + 1) / 2;
        restart_trial(download, clock_ms() + TRIAL_PAUSE_MS, 0);
    }
}

static void deliver(struct download *download)
{
    download->pipe_full = false;
    while (download->count > 0 && !download->pipe_full && !download->broken) {
        struct part *part = part_at(download, 0);
        part->sent += give(download, part->buffer + part->sent, part->have - part->sent);
        if (part->sent < part->size) {
            return;
        }
        if (part->exchange.state != EXCHANGE_ENDED) {
            return; /* complete but for the end of the exchange, which the next turn brings */
        }
        download->head = (download->head + 1) % PARTS;
        download->count--;
    }
}

/* The outcome of the first part that failed, or OUTCOME_OK. */
static enum outcome check(struct download *download, struct problem *problem)
{
    for (unsigned i = 0; i < download->count; i++) {
        struct part *part = part_at(download, i);
        adapt(download, part);
        if (part->exchange.state == EXCHANGE_ENDED && part->exchange.outcome != OUTCOME_OK) {
            *problem = part->exchange.problem;
            return part->exchange.outcome;
        }
    }
    return OUTCOME_OK;
}

static enum outcome turn(struct download *download)
{
    struct exchange *exchanges[PARTS];
    for (unsigned i = 0; i < download->count; i++) {
        exchanges[i] = &part_at(download, i)->exchange;
    }
    int writable = download->pipe_full ? download->out : -1;
    return exchange_turn(download->s3, exchanges, download->count, writable, PROGRESS_MS);
}

static enum outcome report(struct download *download, ranges_progress progress, void *context, struct problem *problem)
{
    if (download->broken) {
        return problem_set(problem, EXIT_INTERNAL, "%s: the reader of the download has gone", download->subject);
    }
    int64_t now = clock_ms();
    if (now < download->next_report) {
        return OUTCOME_OK;
    }
    download->next_report = now + PROGRESS_MS;
    return progress(context, download->delivered) == 0 ? OUTCOME_OK : OUTCOME_INTERRUPTED;
}

static enum outcome run(struct download *download, ranges_progress progress, void *context, struct problem *problem)
{
    enum outcome outcome = OUTCOME_OK;
    while (outcome == OUTCOME_OK && (download->count > 0 || download->asked < download->object->size)) {
        begin_parts(download);
        outcome = turn(download);
        if (outcome == OUTCOME_OK) {
            outcome = check(download, problem);
        }
        try_more(download);
        deliver(download);
        if (outcome == OUTCOME_OK) {
            outcome = report(download, progress, context, problem);
        }
    }
    for (unsigned i = 0; i < download->count; i++) {
        exchange_abort(&part_at(download, i)->exchange);
    }
    return outcome;
}

enum outcome ranges_get(struct s3 *s3, const struct ranges_object *object, int out, ranges_progress progress,
                        void *context, uint64_t *resumed, struct problem *problem)
{
    static struct download download;
    static char url[S3_URL_MAX];
    char subject[S3_KEY_MAX + 32];
    snprintf(subject, sizeof subject, "object '%s'", object->key);
    if (s3->access_key_id[0] == '\0') {
        return problem_set(problem, EXIT_USAGE, "S3: there are no credentials");
    }
    if (s3_object_url(&s3->location, object->key, object->version_id, url, sizeof url) != 0) {
        return problem_set(problem, EXIT_USAGE, "S3: the name of the object is too long");
    }
    download = (struct download){
        .s3 = s3, .object = object, .subject = subject, .url = url, .out = out, .connections = FIRST_CONNECTIONS};
    restart_trial(&download, clock_ms(), 0);
    enum outcome outcome = run(&download, progress, context, problem);
    *resumed = download.resumed;
    return outcome == OUTCOME_MISSING ? OUTCOME_FAILED : outcome;
}
