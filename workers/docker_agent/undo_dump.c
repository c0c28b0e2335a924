/* The verbs of undo dumps; see undo_dump.h. */
#include "undo_dump.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "databases.h"
#include "events.h"
#include "exit_codes.h"
#include "leftover_clients.h"
#include "mariadb.h"
#include "postgres.h"
#include "stager_session.h"
#include "undo_filter.h"

#define TAIL_SIZE 256 /* more than the last lines of either program */
#define PROGRESS_INTERVAL_MS 500
#define POLL_MS 500

/* A dump under way. */
struct dump {
    struct server *server;
    struct spool *spool;
    struct client client;
    struct undo_filter filter;
    bool filtered;
    char tail[TAIL_SIZE + 1];
    size_t tail_size;
    uint64_t bytes;
    bool spool_failed;
    bool input_ended;
    int64_t moved_ms;
    int64_t reported_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Opens the server of a message. 0, 1 where `failed` was sent instead, or -1. */
static int open_server(struct agent *agent, uint64_t container, uint64_t kind, struct server *server)
{
    char error[CLIENT_ERROR_MAX];
    unsigned code;
    if (kind != SECTION_POSTGRES && kind != SECTION_MARIADB) {
        agent->channel.violation = "undo message of no kind of database";
        return -1;
    }
    if (server_open(agent, container, (enum section_kind)kind, server, &code, error, sizeof error) != 0) {
        return agent_fail(agent, code, "%s", error) == 0 ? 1 : -1;
    }
    return 0;
}

static enum outcome census_of(struct server *server, struct undo_census *census)
{
    return server->kind == SECTION_POSTGRES ? postgres_undo_census(server, census)
                                            : mariadb_undo_census(server, census);
}

static int probe(struct agent *agent, const struct frame *frame)
{
    struct msg_undo_probe message;
    cleanup_server struct server server = {0};
    cleanup_answer struct answer answer = {0};
    struct undo_census census = {0};
    struct client_options options = {.program = CLIENT_TRIAL};
    if (AGENT_DECODE(agent, frame, undo_probe, &message) != 0) {
        return -1;
    }
    int opened = open_server(agent, message.container, message.kind, &server);
    if (opened != 0) {
        return opened > 0 ? 0 : -1;
    }
    enum client_failure failure = client_run(&server, &options, "", agent->timeout, &answer);
    bool possible = failure != CLIENT_NO_SHELL && failure != CLIENT_NO_PROGRAM;
    if (possible && census_of(&server, &census) == OUTCOME_BROKEN) {
        return -1; /* a server that does not answer now may do so later: no size, no refusal */
    }
    return AGENT_SEND(agent, undo_info, .container = server.index, .possible = possible, .bytes = census.bytes,
                      .reason = text_of(possible ? "" : answer.error));
}

static int into_spool(void *context, const uint8_t *data, size_t size)
{
    struct dump *dump = context;
    size_t kept = size < TAIL_SIZE ? size : TAIL_SIZE;
    size_t old = dump->tail_size < TAIL_SIZE - kept ? dump->tail_size : TAIL_SIZE - kept;
    memmove(dump->tail, dump->tail + dump->tail_size - old, old);
    memcpy(dump->tail + old, data + size - kept, kept);
    dump->tail_size = old + kept;
    dump->bytes += size;
    dump->spool_failed = spool_fill(dump->spool, data, size) != 0;
    return dump->spool_failed ? -1 : 0;
}

static int take_output(void *context, enum demux_stream stream, const uint8_t *data, size_t size)
{
    struct dump *dump = context;
    (void)stream;
    return dump->filtered ? undo_filter_feed(&dump->filter, data, size) : into_spool(dump, data, size);
}

static int failed(struct dump *dump, const char *reason)
{
    const struct server *server = dump->server;
    return engine_error(&server->agent->engine, EXIT_DATABASE, "dumping %s of %s for undo: %s", server_product(server),
                        server->container->name, reason);
}

/* Hands over the password, then reads once. 1: goes on, 0: it ended, -1: engine->error. */
static int step(struct dump *dump)
{
    struct client *client = &dump->client;
    if (!dump->input_ended && (client_write(client, "", 0) < 0 || !client_has_head(client))) {
        exec_end_input(client->exec);
        dump->input_ended = true;
    }
    uint64_t seen = client->seen;
    int result = client_read(client);
    if (result < 0) {
        return dump->spool_failed ? -1 : failed(dump, strerror(errno));
    }
    dump->moved_ms = client->seen != seen ? now_ms() : dump->moved_ms;
    return result;
}

/* 0, 1 with engine->error, or -1: the channel. */
static int run_to_end(struct dump *dump, unsigned stall_timeout)
{
    struct agent *agent = dump->server->agent;
    int result;
    dump->moved_ms = now_ms();
    while ((result = step(dump)) == 1) {
        int64_t now = now_ms();
        if (stall_timeout != 0 && now - dump->moved_ms > (int64_t)stall_timeout * 1000) {
            failed(dump, "nothing came for too long (DB_LOAD_TIMEOUT)");
            return 1;
        }
        if (now - dump->reported_ms > PROGRESS_INTERVAL_MS) {
            dump->reported_ms = now;
            if (AGENT_SEND(agent, loading, .container = dump->server->index, .bytes = dump->bytes) != 0) {
                return -1;
            }
        }
        short wanted = dump->input_ended ? POLLIN : POLLIN | POLLOUT;
        struct pollfd ready[2] = {{exec_fd(dump->client.exec), wanted, 0}, {-1, 0, 0}};
        events_poll(agent, ready, 1, POLL_MS);
    }
    return result == 0 ? 0 : 1;
}

/* The program's exit code, its last line, what was taken out, and the spool on disk: only then is it a dump. */
static int check_end(struct dump *dump)
{
    const char *last =
        dump->server->kind == SECTION_POSTGRES ? "-- PostgreSQL database cluster dump complete" : "-- Dump completed";
    if (client_end(&dump->client) != CLIENT_OK) {
        return failed(dump, dump->client.error);
    }
    if (dump->filtered && undo_filter_end(&dump->filter) != 0) {
        return dump->spool_failed ? -1 : failed(dump, "it does not have the roles that it must have");
    }
    dump->tail[dump->tail_size] = '\0';
    if (memchr(dump->tail, '\0', dump->tail_size) != NULL || strstr(dump->tail, last) == NULL) {
        return failed(dump, "its last line is missing, so it is not whole");
    }
    return spool_full(dump->spool);
}

static void close_dump(struct dump *dump)
{
    struct engine *engine = &dump->server->agent->engine;
    struct engine error = *engine;
    client_close(&dump->client);
    spool_close(dump->spool);
    *engine = error;
}

/* Clients out, then the dump. 0, 1 with engine->error, or -1: the channel. */
static int make_dump(struct dump *dump, const struct msg_undo_dump *message, struct undo_census *census)
{
    struct server *server = dump->server;
    struct agent *agent = server->agent;
    struct client_options options = {.program = CLIENT_DUMP};
    struct name_list roles = {0};
    dump->filtered = server->kind == SECTION_POSTGRES;
    dump->filter = (struct undo_filter){.sink = into_spool, .context = dump};
    struct database_state *state = state_of(agent, message->container);
    if (state == NULL) {
        engine_error(&agent->engine, EXIT_INTERNAL, "out of memory");
        return 1;
    }
    enum outcome outcome =
        dump->filtered ? postgres_undo_begin(server, &roles) : mariadb_undo_begin(server, state, &options.history);
    for (size_t i = 0; i < roles.count && outcome == OUTCOME_DONE; i++) {
        outcome = undo_filter_add(&dump->filter, roles.names[i]) == 0 ? OUTCOME_DONE : OUTCOME_FAILED;
        if (outcome == OUTCOME_FAILED) {
            failed(dump, "the name of its role is too long");
        }
    }
    name_list_clear(&roles);
    if (outcome == OUTCOME_BROKEN || outcome == OUTCOME_FAILED || census_of(server, census) != OUTCOME_DONE) {
        return outcome == OUTCOME_BROKEN ? -1 : 1;
    }
    if (spool_open(agent, agent->stager_run, &dump->spool) != 0 ||
        spool_receive(dump->spool, (unsigned)message->stream) != 0 ||
        client_open(server, &options, &dump->client) != 0) {
        return 1;
    }
    dump->client.sink = take_output;
    dump->client.sink_context = dump;
    int result = run_to_end(dump, (unsigned)message->stall_timeout);
    return result != 0 ? result : check_end(dump) == 0 ? 0 : 1;
}

static int dump_server(struct agent *agent, const struct frame *frame)
{
    struct msg_undo_dump message;
    cleanup_server struct server server = {0};
    struct undo_census census = {0};
    if (AGENT_DECODE(agent, frame, undo_dump, &message) != 0) {
        return -1;
    }
    int opened = open_server(agent, message.container, message.kind, &server);
    if (opened != 0) {
        return opened > 0 ? 0 : -1;
    }
    struct dump dump = {.server = &server};
    int result = make_dump(&dump, &message, &census);
    close_dump(&dump);
    if (result != 0) {
        return result > 0 ? agent_fail_engine(agent) : -1;
    }
    return AGENT_SEND(agent, undo_dumped, .container = server.index, .bytes = dump.bytes, .databases = census.databases,
                      .entries = census.entries);
}

static int done(struct server *server, enum outcome outcome, const struct undo_census *census)
{
    if (outcome != OUTCOME_DONE) {
        return outcome == OUTCOME_FAILED ? agent_fail_engine(server->agent) : -1;
    }
    return AGENT_SEND(server->agent, database_done, .container = server->index, .databases = census->databases,
                      .tables = census->entries);
}

static int reset(struct agent *agent, const struct frame *frame)
{
    struct msg_undo_reset message;
    cleanup_server struct server server = {0};
    if (AGENT_DECODE(agent, frame, undo_reset, &message) != 0) {
        return -1;
    }
    int opened = open_server(agent, message.container, message.kind, &server);
    if (opened != 0) {
        return opened > 0 ? 0 : -1;
    }
    enum outcome outcome = leftover_clients_end(&server);
    if (outcome == OUTCOME_DONE) {
        outcome = server.kind == SECTION_POSTGRES ? postgres_undo_reset(&server) : mariadb_undo_reset(&server);
    }
    return done(&server, outcome, &(struct undo_census){0});
}

static int count(struct agent *agent, const struct frame *frame)
{
    struct msg_undo_count message;
    cleanup_server struct server server = {0};
    struct undo_census census = {0};
    if (AGENT_DECODE(agent, frame, undo_count, &message) != 0) {
        return -1;
    }
    int opened = open_server(agent, message.container, message.kind, &server);
    if (opened != 0) {
        return opened > 0 ? 0 : -1;
    }
    return done(&server, census_of(&server, &census), &census);
}

int undo_dump_handle(struct agent *agent, const struct frame *frame)
{
    switch (frame->type) {
    case MESSAGE_undo_probe:
        return probe(agent, frame);
    case MESSAGE_undo_dump:
        return dump_server(agent, frame);
    case MESSAGE_undo_reset:
        return reset(agent, frame);
    case MESSAGE_undo_count:
        return count(agent, frame);
    default:
        agent->channel.violation = "message that is none of an undo dump's";
        return -1;
    }
}
