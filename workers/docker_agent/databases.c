/* The database verbs: what is kept between them, and the steps that are the same for every product. */
#include "databases.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "load.h"
#include "log.h"
#include "mariadb.h"
#include "postgres.h"
#include "secret.h"

#define NAMES_MAX 10000
#define LOADS_MAX (MAX_CONTAINERS + 1)

struct databases {
    struct database_state *states;
    size_t state_count;
    struct load *loads;
    size_t load_count;
};

bool name_list_has(const struct name_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

int name_list_add(struct name_list *list, const char *name)
{
    if (name_list_has(list, name)) {
        return 0;
    }
    char **larger = list->count < NAMES_MAX ? realloc(list->names, (list->count + 1) * sizeof *larger) : NULL;
    if (larger == NULL) {
        return -1;
    }
    list->names = larger;
    list->names[list->count] = strdup(name);
    if (list->names[list->count] == NULL) {
        return -1;
    }
    list->count++;
    return 0;
}

void name_list_clear(struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
    free(list->names);
    *list = (struct name_list){0};
}

void probe_block(struct probe *probe, const char *reason)
{
    size_t used = strlen(probe->blocker);
    snprintf(probe->blocker + used, sizeof probe->blocker - used, "%s%s", used == 0 ? "" : "; ", reason);
}

enum outcome server_finding(struct server *server, bool severe, const char *format, ...)
{
    char message[FINDING_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    int sent =
        AGENT_SEND(server->agent, finding, .container = server->index, .severe = severe, .message = text_of(message));
    return sent == 0 ? OUTCOME_DONE : OUTCOME_BROKEN;
}

enum outcome server_failed(struct server *server, const char *what, const struct answer *answer)
{
    engine_error(&server->agent->engine, EXIT_DATABASE, "%s of %s: %s", what, server->container->name, answer->error);
    return OUTCOME_FAILED;
}

/* The server answered, and would not have us. */
static bool is_refusal(const char *error)
{
    static const char *const signs[] = {"authentication failed", "no password supplied", "pg_hba.conf",
                                        "Access denied",         "ERROR 1698",           "ERROR 1130"};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (strstr(error, signs[i]) != NULL) {
            return true;
        }
    }
    return strstr(error, "role \"") != NULL && strstr(error, "does not exist") != NULL;
}

struct database_state *state_of(struct agent *agent, uint64_t container)
{
    if (agent->databases == NULL) {
        agent->databases = calloc(1, sizeof *agent->databases);
    }
    struct databases *databases = agent->databases;
    if (databases == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < databases->state_count; i++) {
        if (databases->states[i].container == container) {
            return &databases->states[i];
        }
    }
    struct database_state *larger =
        realloc(databases->states, (databases->state_count + 1) * sizeof *databases->states);
    if (larger == NULL) {
        return NULL;
    }
    databases->states = larger;
    larger[databases->state_count] = (struct database_state){.container = (unsigned)container};
    return &larger[databases->state_count++];
}

static enum client_failure ask_version(struct server *server, const char *host, char *version, size_t size, char *error,
                                       size_t error_size)
{
    return server->kind == SECTION_POSTGRES ? postgres_version(server, host, version, size, error, error_size)
                                            : mariadb_version(server, host, version, size, error, error_size);
}

static int violation(struct agent *agent, const char *reason)
{
    agent->channel.violation = reason;
    return -1;
}

static bool is_database_kind(uint64_t kind)
{
    return kind == SECTION_POSTGRES || kind == SECTION_MARIADB;
}

static int send_info(struct server *server, bool running, const struct probe *probe)
{
    const char *login = server->credentials.superuser.user;
    return AGENT_SEND(server->agent, database_info, .container = server->index, .running = running,
                      .version = text_of(probe->version), .login = text_of(login == NULL ? "" : login),
                      .blocker = text_of(probe->blocker));
}

/* Why a server that runs cannot be loaded. What cannot be reached now may be what is to be restored: no blocker. */
static int probe_failed(struct server *server, const struct probe *probe, enum client_failure failure,
                        const char *error, bool no_file)
{
    struct probe blocked = *probe;
    char reason[BLOCKER_MAX / 2 + 512];
    const struct login *login = &server->credentials.superuser;
    if (failure == CLIENT_UNREACHABLE || failure == CLIENT_ENGINE || (failure == CLIENT_ERROR && !is_refusal(error))) {
        enum ipc_result sent = channel_warn(&server->agent->channel, "%s in %s does not answer now: %s",
                                            server_product(server), server->container->name, error);
        return sent == IPC_OK ? send_info(server, true, probe) : -1;
    }
    if (failure != CLIENT_ERROR) {
        snprintf(reason, sizeof reason, "%s", error);
    } else if (no_file) {
        snprintf(reason, sizeof reason,
                 "no file for the password can be written in the container (give it /dev/shm or a tmpfs at /tmp), and "
                 "without one: %s",
                 error);
    } else if (login->password == NULL) {
        snprintf(reason, sizeof reason, "no password of %s is configured, and without one: %s", login->user, error);
    } else {
        snprintf(reason, sizeof reason, "%s does not log in as %s: %s", login->password_name, login->user, error);
    }
    probe_block(&blocked, reason);
    return send_info(server, true, &blocked);
}

static int probe_running(struct server *server)
{
    struct probe probe = {0};
    cleanup_answer struct answer answer = {0};
    struct client_options options = {.program = CLIENT_QUERY};
    enum client_failure failure =
        client_query(server, &options, "SELECT 'ready', '';\n", server->agent->timeout, &answer);
    if (failure != CLIENT_OK) {
        return probe_failed(server, &probe, failure, answer.error, answer.no_file);
    }
    enum outcome outcome =
        server->kind == SECTION_POSTGRES ? postgres_probe(server, &probe) : mariadb_probe(server, &probe);
    if (outcome == OUTCOME_FAILED) {
        return agent_fail_engine(server->agent);
    }
    return send_info(server, true, &probe);
}

static int handle_probe(struct agent *agent, const struct frame *frame)
{
    struct msg_database_probe message;
    cleanup_server struct server server = {0};
    struct probe probe = {0};
    unsigned code;
    if (AGENT_DECODE(agent, frame, database_probe, &message) != 0) {
        return -1;
    }
    if (!is_database_kind(message.kind)) {
        return violation(agent, "database_probe of no kind of database");
    }
    if (server_open(agent, message.container, (enum section_kind)message.kind, &server, &code, probe.blocker,
                    sizeof probe.blocker) != 0) {
        return code == EXIT_DATABASE ? send_info(&server, false, &probe) : agent_fail_engine(agent);
    }
    if (server.credentials.warning[0] != '\0' &&
        channel_warn(&agent->channel, "%s: %s", server.container->name, server.credentials.warning) != IPC_OK) {
        return -1;
    }
    bool running = strcmp(server.container->state, "running") == 0;
    return running ? probe_running(&server) : send_info(&server, false, &probe);
}

/* Opens the server of a message; where that fails, `failed` is sent, *result is what the handler returns. */
static bool open_server(struct agent *agent, uint64_t container, uint64_t kind, struct server *server, int *result)
{
    char error[CLIENT_ERROR_MAX];
    unsigned code;
    if (!is_database_kind(kind)) {
        *result = violation(agent, "database message of no kind of database");
        return false;
    }
    if (server_open(agent, container, (enum section_kind)kind, server, &code, error, sizeof error) != 0) {
        *result = agent_fail(agent, code, "%s", error);
        return false;
    }
    return true;
}

/*
 * The image's first start runs a server that listens on the socket alone, so only an answer over TCP counts: either to
 * the query, or a refusal of the login (root may be known on the socket alone), after which the socket gets the query.
 */
static enum client_failure ask_ready(struct server *server, char *version, size_t size, char *error, size_t error_size)
{
    enum client_failure failure = ask_version(server, LOOPBACK, version, size, error, error_size);
    if (failure == CLIENT_UNREACHABLE && server->kind == SECTION_MARIADB) {
        mariadb_find_port(server);
        if (server->port != 0 && server->port != 3306) {
            failure = ask_version(server, LOOPBACK, version, size, error, error_size);
        }
    }
    if (failure == CLIENT_ERROR && strstr(error, "database \"postgres\" does not exist") != NULL) {
        failure = CLIENT_OK; /* a load was interrupted just there: the server is up */
    }
    if (failure == CLIENT_ERROR && is_refusal(error)) {
        failure = ask_version(server, NULL, version, size, error, error_size);
    }
    return failure;
}

static int handle_ready(struct agent *agent, const struct frame *frame)
{
    struct msg_database_ready message;
    cleanup_server struct server server = {0};
    char version[VERSION_MAX] = "";
    char error[CLIENT_ERROR_MAX] = "";
    int result;
    if (AGENT_DECODE(agent, frame, database_ready, &message) != 0) {
        return -1;
    }
    if (!open_server(agent, message.container, message.kind, &server, &result)) {
        return result;
    }
    bool ready = false;
    if (strcmp(server.container->state, "running") == 0) {
        ready = ask_ready(&server, version, sizeof version, error, sizeof error) == CLIENT_OK;
    } else {
        snprintf(error, sizeof error, "the container is %s", server.container->state);
    }
    return AGENT_SEND(agent, database_readiness, .container = server.index, .ready = ready, .version = text_of(version),
                      .detail = text_of(ready ? "" : error));
}

/* A name of the dump's: a database's or a role's. The first after a `prepare` begins a new list. */
static int add_name(struct agent *agent, uint64_t container, const char *name, bool role)
{
    struct database_state *state = state_of(agent, container);
    if (state != NULL && state->prepared) {
        name_list_clear(&state->databases);
        name_list_clear(&state->roles);
        state->prepared = false;
    }
    if (state == NULL || name_list_add(role ? &state->roles : &state->databases, name) != 0) {
        return agent_fail(agent, EXIT_INTERNAL, "too many names in the dump for container %llu",
                          (unsigned long long)container);
    }
    return 0;
}

static int handle_name(struct agent *agent, const struct frame *frame)
{
    struct msg_database_name message;
    if (AGENT_DECODE(agent, frame, database_name, &message) != 0) {
        return -1;
    }
    return add_name(agent, message.container, message.name.data, false);
}

static int handle_role(struct agent *agent, const struct frame *frame)
{
    struct msg_database_role message;
    if (AGENT_DECODE(agent, frame, database_role, &message) != 0) {
        return -1;
    }
    return add_name(agent, message.container, message.name.data, true);
}

static int send_outcome(struct server *server, enum outcome outcome, const struct census *census)
{
    if (outcome == OUTCOME_FAILED) {
        return agent_fail_engine(server->agent);
    }
    if (outcome == OUTCOME_BROKEN) {
        return -1;
    }
    return AGENT_SEND(server->agent, database_done, .container = server->index, .databases = census->databases,
                      .tables = census->tables);
}

static int handle_prepare(struct agent *agent, const struct frame *frame)
{
    struct msg_database_prepare message;
    cleanup_server struct server server = {0};
    int result;
    if (AGENT_DECODE(agent, frame, database_prepare, &message) != 0) {
        return -1;
    }
    if (!open_server(agent, message.container, message.kind, &server, &result)) {
        return result;
    }
    struct database_state *state = state_of(agent, message.container);
    if (state == NULL || (message.drop_extras != 0 && state->databases.count == 0)) {
        return agent_fail(agent, EXIT_INTERNAL, "%s: no database of the dump was named, so none can be told apart",
                          server.container->name);
    }
    state->prepared = true;
    state->drop_extras = message.drop_extras != 0;
    enum outcome outcome =
        server.kind == SECTION_POSTGRES ? postgres_prepare(&server, state) : mariadb_prepare(&server, state);
    return send_outcome(&server, outcome, &(struct census){.databases = state->databases.count});
}

static int handle_finish(struct agent *agent, const struct frame *frame)
{
    struct msg_database_finish message;
    cleanup_server struct server server = {0};
    int result;
    if (AGENT_DECODE(agent, frame, database_finish, &message) != 0) {
        return -1;
    }
    if (!open_server(agent, message.container, message.kind, &server, &result)) {
        return result;
    }
    struct database_state *state = state_of(agent, message.container);
    if (state == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "out of memory");
    }
    enum outcome outcome =
        server.kind == SECTION_POSTGRES ? postgres_finish(&server, state) : mariadb_finish(&server, state);
    return send_outcome(&server, outcome, &(struct census){.databases = state->databases.count});
}

/* A login at the container's own address, as the applications do it. */
static enum client_failure try_login(struct server *server, const struct login *login, char *error, size_t error_size)
{
    cleanup_answer struct answer answer = {0};
    struct client_options options = {.program = CLIENT_QUERY,
                                     .login = login,
                                     .host = server->container->addresses[0],
                                     .database = server->kind == SECTION_POSTGRES ? login->database : NULL};
    client_query(server, &options, "SELECT 'ready', '';\n", server->agent->timeout, &answer);
    snprintf(error, error_size, "%s", answer.error);
    return answer.failure;
}

/* Whether the server asks for passwords at all where the applications come from. */
static bool any_password_does(struct server *server, const struct login *login)
{
    char error[CLIENT_ERROR_MAX];
    size_t size = strlen(login->password) + sizeof "-wrong";
    cleanup_secret char *password = malloc(size);
    if (password == NULL) {
        return false;
    }
    snprintf(password, size, "%s-wrong", login->password);
    struct login wrong = {.user = login->user, .password = password, .database = login->database};
    return try_login(server, &wrong, error, sizeof error) == CLIENT_OK;
}

static enum outcome check_login(struct server *server, const struct login *login)
{
    char error[CLIENT_ERROR_MAX];
    if (login->user == NULL || login->password == NULL || server->container->address_count == 0) {
        return OUTCOME_DONE;
    }
    enum client_failure failure = try_login(server, login, error, sizeof error);
    if (failure == CLIENT_OK) {
        if (any_password_does(server, login)) {
            log_info("%s takes any password of %s from its own address", server->container->name, login->user);
        }
        return OUTCOME_DONE;
    }
    if (failure == CLIENT_ERROR && is_refusal(error)) {
        return server_finding(server, true,
                              "the restored data brought back another password: %s no longer logs in as %s: %s",
                              login->password_name, login->user, error);
    }
    return server_finding(server, failure == CLIENT_ERROR, "%s does not log in as %s: %s", login->password_name,
                          login->user, error);
}

/* Where even we are refused now, there is nothing to count. */
static enum outcome check_server(struct server *server, struct census *census)
{
    char version[VERSION_MAX];
    char error[CLIENT_ERROR_MAX];
    const struct login *login = &server->credentials.superuser;
    if (ask_version(server, NULL, version, sizeof version, error, sizeof error) == CLIENT_ERROR && is_refusal(error)) {
        return server_finding(server, true,
                              "the restored data brought back another password: %s no longer logs in as %s: %s",
                              login->password_name != NULL ? login->password_name : "the client", login->user, error);
    }
    enum outcome outcome =
        server->kind == SECTION_POSTGRES ? postgres_check(server, census) : mariadb_check(server, census);
    if (outcome == OUTCOME_DONE && census->root_remote) {
        outcome = check_login(server, login);
    }
    return outcome;
}

static int handle_check(struct agent *agent, const struct frame *frame)
{
    struct msg_database_check message;
    cleanup_server struct server server = {0};
    struct census census = {0};
    int result;
    if (AGENT_DECODE(agent, frame, database_check, &message) != 0) {
        return -1;
    }
    if (!open_server(agent, message.container, message.kind, &server, &result)) {
        return result;
    }
    enum outcome outcome = check_server(&server, &census);
    if (outcome == OUTCOME_DONE) {
        outcome = check_login(&server, &server.credentials.application);
    }
    return send_outcome(&server, outcome, &census);
}

static int handle_load(struct agent *agent, const struct frame *frame)
{
    struct msg_load message;
    if (AGENT_DECODE(agent, frame, load, &message) != 0) {
        return -1;
    }
    if (!is_database_kind(message.kind)) {
        return violation(agent, "load of no kind of database");
    }
    if (state_of(agent, message.container) == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "out of memory");
    }
    struct databases *databases = agent->databases;
    struct load *larger = databases->load_count < LOADS_MAX
                              ? realloc(databases->loads, (databases->load_count + 1) * sizeof *larger)
                              : NULL;
    if (larger == NULL) {
        return agent_fail(agent, EXIT_INTERNAL, "too many loads");
    }
    databases->loads = larger;
    larger[databases->load_count++] =
        (struct load){(unsigned)message.container, (enum section_kind)message.kind, (unsigned)message.stream};
    return 0;
}

static int handle_load_run(struct agent *agent, const struct frame *frame)
{
    struct msg_load_run message;
    if (AGENT_DECODE(agent, frame, load_run, &message) != 0) {
        return -1;
    }
    struct databases *databases = agent->databases;
    if (databases == NULL) {
        return AGENT_SEND_EMPTY(agent, load_end);
    }
    char run[65];
    snprintf(run, sizeof run, "%s", message.run.data);
    int result = loads_run(agent, databases->loads, databases->load_count, run, (unsigned)message.stall_timeout);
    databases->load_count = 0;
    return result;
}

int databases_handle(struct agent *agent, const struct frame *frame)
{
    static const struct {
        enum message_type type;
        int (*handle)(struct agent *agent, const struct frame *frame);
    } verbs[] = {
        {MESSAGE_database_probe, handle_probe},     {MESSAGE_database_ready, handle_ready},
        {MESSAGE_database_name, handle_name},       {MESSAGE_database_role, handle_role},
        {MESSAGE_database_prepare, handle_prepare}, {MESSAGE_load, handle_load},
        {MESSAGE_load_run, handle_load_run},        {MESSAGE_database_finish, handle_finish},
        {MESSAGE_database_check, handle_check},
    };
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (verbs[i].type == frame->type) {
            return verbs[i].handle(agent, frame);
        }
    }
    return violation(agent, "message that is none of the databases'");
}
