/* Loads dumps: from spools to database clients, in one poll loop. */
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "database_client.h"
#include "events.h"
#include "exit_codes.h"
#include "mariadb.h"
#include "postgres.h"
#include "stager_session.h"

#define MESSAGE_MAX 4096
#define PROGRESS_INTERVAL_MS 500
#define POLL_MS 1000
#define QUERY_DEADLINE 10
/* Pieces written to one client before the others have their turn. */
#define PIECES_A_TURN 16

/* A load under way. */
struct job {
    const struct load *load;
    struct server server;
    struct spool *spool;
    struct client client;
    const uint8_t *piece; /* of the spool, not yet taken by the client */
    size_t piece_left;
    bool spool_ended;
    bool spool_waits;  /* it has nothing yet */
    bool client_waits; /* it takes nothing now */
    bool input_ended;
    bool finished;
    bool ok;
    bool stopped;      /* for another's failure */
    uint64_t bytes;    /* taken by the client */
    uint64_t reported; /* of them, in `loading` */
    uint64_t seen;     /* of what the client said, when last looked at */
    int64_t moved_ms;  /* when last something moved */
    char message[MESSAGE_MAX];
};

static void fail(struct job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct job *job, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(job->message, sizeof job->message, format, arguments);
    va_end(arguments);
    job->finished = true;
}

static void start(struct agent *agent, struct job *job, const char *run)
{
    unsigned code;
    char error[CLIENT_ERROR_MAX];
    struct client_options options = {.program = CLIENT_LOAD,
                                     .first = job->load->kind == SECTION_POSTGRES ? postgres_load_first : NULL};
    if (server_open(agent, job->load->container, job->load->kind, &job->server, &code, error, sizeof error) != 0) {
        fail(job, "%s", error);
    } else if (spool_open(agent, run, &job->spool) != 0 || spool_request(job->spool, job->load->stream) != 0 ||
               client_open(&job->server, &options, &job->client) != 0) {
        fail(job, "%s", agent->engine.error);
    }
    job->moved_ms = now_ms();
}

/* Makes sure that there is a piece to write. False: there is none (yet). */
static bool next_piece(struct job *job)
{
    if (job->piece_left > 0 || job->spool_ended) {
        return job->piece_left > 0;
    }
    switch (spool_next(job->spool, &job->piece, &job->piece_left)) {
    case SPOOL_CHUNK:
        return job->piece_left > 0;
    case SPOOL_AGAIN:
        job->piece_left = 0;
        job->spool_waits = true;
        return false;
    case SPOOL_END:
        job->piece_left = 0;
        job->spool_ended = true;
        return false;
    case SPOOL_ERROR:
        break;
    }
    fail(job, "reading the spooled dump: %s", job->server.agent->engine.error);
    return false;
}

/* One write to the client. False: nothing more to do for now. */
static bool write_piece(struct job *job)
{
    bool piece = next_piece(job);
    if (job->finished || (!piece && !client_has_head(&job->client))) {
        return false;
    }
    ssize_t put = client_write(&job->client, job->piece, job->piece_left);
    if (put < 0) {
        job->input_ended = true; /* it reads no more, and says why on its output */
        return false;
    }
    if (put == 0) {
        job->client_waits = job->piece_left > 0 || client_has_head(&job->client);
        return !job->client_waits && !job->spool_waits && !job->spool_ended;
    }
    job->piece += put;
    job->piece_left -= (size_t)put;
    job->bytes += (uint64_t)put;
    job->moved_ms = now_ms();
    return true;
}

static void feed(struct job *job)
{
    job->spool_waits = false;
    job->client_waits = false;
    for (unsigned i = 0; i < PIECES_A_TURN && write_piece(job); i++) {
    }
    if (!job->finished && !job->input_ended && job->spool_ended && job->piece_left == 0 &&
        !client_has_head(&job->client)) {
        exec_end_input(job->client.exec);
        job->input_ended = true;
    }
}

/* psql says "psql:<stdin>:12: ERROR: …". */
static void describe_error(struct job *job)
{
    static const char prefix[] = "psql:<stdin>:";
    const char *error = job->client.error;
    if (strncmp(error, prefix, sizeof prefix - 1) == 0) {
        fail(job, "line %s", error + sizeof prefix - 1);
    } else {
        fail(job, "%s", error);
    }
}

static void end_client(struct job *job)
{
    if (client_end(&job->client) != CLIENT_OK) {
        describe_error(job);
    } else if (!job->spool_ended || job->piece_left > 0) {
        fail(job, "the client ended before it had read the whole dump");
    } else {
        job->ok = true;
        job->finished = true;
    }
}

static void step(struct job *job)
{
    if (!job->input_ended) {
        feed(job);
    }
    if (job->finished) {
        return;
    }
    int result = client_read(&job->client);
    if (result == 0) {
        end_client(job);
    } else if (result < 0) {
        fail(job, "output of the client: %s", strerror(errno));
    } else if (job->client.seen != job->seen) {
        job->seen = job->client.seen;
        job->moved_ms = now_ms();
    }
}

static bool server_is_busy(struct server *server)
{
    cleanup_answer struct answer answer = {0};
    struct client_options options = {.program = CLIENT_QUERY};
    const char *sql = server->kind == SECTION_POSTGRES ? postgres_busy_query : mariadb_busy_query;
    return client_query(server, &options, sql, QUERY_DEADLINE, &answer) == CLIENT_OK && answer.row_count > 0;
}

/* The Engine has no way to end a process of an exec; its server has. */
static void end_sessions(struct server *server)
{
    cleanup_answer struct answer answer = {0};
    struct client_options options = {.program = CLIENT_QUERY};
    const char *sql = server->kind == SECTION_POSTGRES ? postgres_end_loads : mariadb_kill_others;
    client_query(server, &options, sql, QUERY_DEADLINE, &answer);
}

static void watch_stall(struct job *job, unsigned stall_timeout)
{
    if (job->finished || stall_timeout == 0 || now_ms() - job->moved_ms < (int64_t)stall_timeout * 1000) {
        return;
    }
    if (server_is_busy(&job->server)) {
        job->moved_ms = now_ms();
        job->reported = UINT64_MAX; /* the supervisor hears of it */
        return;
    }
    end_sessions(&job->server);
    fail(job, "no progress for %u s after %llu bytes, and the server is not at work: ended", stall_timeout,
         (unsigned long long)job->bytes);
}

static void wait_for_any(struct agent *agent, struct job *jobs, size_t count, struct pollfd *ready)
{
    nfds_t used = 0;
    for (size_t i = 0; i < count; i++) {
        struct job *job = &jobs[i];
        if (job->finished) {
            continue;
        }
        short wanted = job->client_waits && !job->input_ended ? POLLIN | POLLOUT : POLLIN;
        ready[used++] = (struct pollfd){exec_fd(job->client.exec), wanted, 0};
        if (job->spool_waits) {
            ready[used++] = (struct pollfd){spool_fd(job->spool), POLLIN, 0};
        } else if (!job->input_ended && !job->client_waits) {
            return; /* its turn ended, not its work */
        }
    }
    events_poll(agent, ready, used, POLL_MS);
}

static int report_progress(struct agent *agent, struct job *jobs, size_t count, int64_t *reported_ms)
{
    if (now_ms() - *reported_ms < PROGRESS_INTERVAL_MS) {
        return 0;
    }
    *reported_ms = now_ms();
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].reported != jobs[i].bytes) {
            jobs[i].reported = jobs[i].bytes;
            if (AGENT_SEND(agent, loading, .container = jobs[i].load->container, .bytes = jobs[i].bytes) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

static size_t unfinished(const struct job *jobs, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        left += jobs[i].finished ? 0 : 1;
    }
    return left;
}

static void stop_others(struct job *jobs, size_t count)
{
    bool failed = false;
    for (size_t i = 0; i < count; i++) {
        failed = failed || (jobs[i].finished && !jobs[i].ok);
    }
    for (size_t i = 0; i < count && failed; i++) {
        if (!jobs[i].finished) {
            end_sessions(&jobs[i].server);
            fail(&jobs[i], "ended, since the load of another database failed");
            jobs[i].stopped = true;
        }
    }
}

static int run_jobs(struct agent *agent, struct job *jobs, size_t count, unsigned stall_timeout)
{
    cleanup_free struct pollfd *ready = calloc(2 * count + 1, sizeof *ready);
    int64_t reported_ms = now_ms();
    if (ready == NULL) {
        return -1;
    }
    for (;;) {
        for (size_t i = 0; i < count; i++) {
            if (!jobs[i].finished) {
                step(&jobs[i]);
                watch_stall(&jobs[i], stall_timeout);
            }
        }
        stop_others(jobs, count);
        if (report_progress(agent, jobs, count, &reported_ms) != 0) {
            return -1;
        }
        if (unfinished(jobs, count) == 0) {
            return 0;
        }
        wait_for_any(agent, jobs, count, ready);
    }
}

static void close_job(struct job *job)
{
    client_close(&job->client);
    spool_close(job->spool);
    server_close(&job->server);
}

static int report_end(struct agent *agent, const struct job *job)
{
    return AGENT_SEND(agent, loaded, .container = job->load->container, .bytes = job->bytes, .ok = job->ok,
                      .message = text_of(job->message));
}

int loads_run(struct agent *agent, const struct load *loads, size_t count, const char *run, unsigned stall_timeout)
{
    cleanup_free struct job *jobs = calloc(count + 1, sizeof *jobs);
    if (jobs == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        jobs[i].load = &loads[i];
        start(agent, &jobs[i], run);
    }
    int result = run_jobs(agent, jobs, count, stall_timeout);
    for (size_t i = 0; i < count; i++) {
        close_job(&jobs[i]);
    }
    for (size_t i = 0; i < 2 * count && result == 0; i++) {
        const struct job *job = &jobs[i % count];
        if (job->stopped == (i >= count)) { /* the cause first */
            result = report_end(agent, job);
        }
    }
    return result == 0 ? AGENT_SEND_EMPTY(agent, load_end) : result;
}
