/* MariaDB: what blocks a restore, preparing and finishing it, checking the result. */
#include "mariadb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit_codes.h"
#include "secret.h"

/* Seconds for a statement that may have to wait for others. */
#define LONG_DEADLINE 600
#define EVENTS_MAX (4 * 1024 * 1024) /* SQL of all events together */

/* One row of an answer (database_client.h): values travel in hexadecimal, so that names may hold anything. */
#define ROW(key, expression, source) "SELECT '" key "', HEX(CAST((" expression ") AS CHAR)) " source ";\n"

#define SYSTEM_DATABASES "('mysql', 'information_schema', 'performance_schema', 'sys')"
#define OTHER_CLIENTS                                                                                                  \
    "information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER NOT IN ('system user', 'event_scheduler')"    \
    " AND COMMAND NOT LIKE 'Binlog Dump%'"

static const char *const system_databases[] = {"mysql", "information_schema", "performance_schema", "sys"};

/* clang-format off: SQL as one reads it */
static const char version_sql[] = ROW("version", "VERSION()", "");
static const char port_sql[] = ROW("port", "@@GLOBAL.port", "");
static const char xa_sql[] = "XA RECOVER;\n";

/* The server takes every folder of its data directory for a database: ours, with the copy for undo, is none. */
#define NO_FOREIGN_FOLDER " SCHEMA_NAME NOT LIKE '#mysql50#.%' "
static const char events_sql[] =
    ROW("database", "SCHEMA_NAME", "FROM information_schema.SCHEMATA WHERE" NO_FOREIGN_FOLDER "ORDER BY SCHEMA_NAME")
        ROW("event-database", "EVENT_SCHEMA", "FROM information_schema.EVENTS GROUP BY EVENT_SCHEMA");

static const char settings_sql[] = ROW("event_scheduler", "@@GLOBAL.event_scheduler", "")
    ROW("max_allowed_packet", "@@GLOBAL.max_allowed_packet", "") ROW("init_connect", "@@GLOBAL.init_connect", "")
        ROW("global_priv", "TABLE_NAME",
            "FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'global_priv'");

/* The image's health check reads its password from the data directory, which no dump holds. */
static const char healthcheck_sql[] = ROW("healthcheck",
                                          "CONCAT('REPLACE INTO mysql.global_priv (Host, User, Priv) VALUES (',"
                                          " QUOTE(Host), ', ', QUOTE(User), ', ', QUOTE(Priv), ');')",
                                          "FROM mysql.global_priv WHERE User = 'healthcheck'");

static const char stop_scheduler_sql[] = "SET GLOBAL event_scheduler = OFF;\n";
static const char start_scheduler_sql[] = "SET GLOBAL event_scheduler = ON;\n";

/*
 * init_connect binds all but superusers. Clients in the container itself (health checks) may stay: they show the stack
 * as healthy and cannot hold up a load. None of this outlives a restart of the server.
 */
static const char keep_out_sql[] =
    "SET GLOBAL max_allowed_packet = 1073741824;\n"
    "SET GLOBAL init_connect = 'IF SUBSTRING_INDEX(USER(), ''@'', -1) NOT IN (''localhost'', ''127.0.0.1'', ''::1'')"
    " THEN SIGNAL SQLSTATE ''08004'' SET MESSAGE_TEXT = ''a restore is running''; END IF';\n";

/* 1094: the client is gone already. */
const char mariadb_kill_others[] = "DELIMITER //\n"
                                   "BEGIN NOT ATOMIC\n"
                                   "  DECLARE finished INT DEFAULT 0;\n"
                                   "  DECLARE client BIGINT;\n"
                                   "  DECLARE others CURSOR FOR SELECT ID FROM " OTHER_CLIENTS ";\n"
                                   "  DECLARE CONTINUE HANDLER FOR NOT FOUND SET finished = 1;\n"
                                   "  DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;\n"
                                   "  OPEN others;\n"
                                   "  FETCH others INTO client;\n"
                                   "  WHILE finished = 0 DO\n"
                                   "    KILL CONNECTION client;\n"
                                   "    FETCH others INTO client;\n"
                                   "  END WHILE;\n"
                                   "END //\n"
                                   "DELIMITER ;\n";

const char mariadb_busy_query[] =
    ROW("busy", "ID",
        "FROM " OTHER_CLIENTS " AND USER = SUBSTRING_INDEX(CURRENT_USER(), '@', 1) AND COMMAND = 'Query'"
        " AND STATE NOT LIKE 'Waiting for%lock%' AND STATE NOT LIKE 'Reading%'");

/* A transaction that someone left open must not hold up a DROP for a day, the server's default. */
static const char before_drop_sql[] = "SET SESSION lock_wait_timeout = 60, foreign_key_checks = 0;\n";

static const char read_privileges_sql[] = "FLUSH PRIVILEGES;\n";

static const char check_sql[] =
    ROW("databases", "COUNT(*)",
        "FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN " SYSTEM_DATABASES " AND" NO_FOREIGN_FOLDER)
        ROW("tables", "COUNT(*)",
            "FROM information_schema.TABLES WHERE TABLE_TYPE <> 'VIEW' AND TABLE_SCHEMA NOT IN " SYSTEM_DATABASES)
            ROW("root-remote", "COUNT(*)", "FROM mysql.user WHERE User = 'root' AND Host = '%'");
/* clang-format on */

/* clang-format off: SQL as one reads it */
static const char census_sql[] =
    ROW("databases", "COUNT(*)", "FROM information_schema.SCHEMATA WHERE" NO_FOREIGN_FOLDER)
        ROW("tables", "COUNT(*)", "FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN " SYSTEM_DATABASES)
            ROW("history", "COUNT(*)", "FROM information_schema.TABLES WHERE TABLE_TYPE = 'SYSTEM VERSIONED'")
                ROW("bytes", "IFNULL(SUM(DATA_LENGTH), 0)", "FROM information_schema.TABLES");
/* clang-format on */

static bool is_system_database(const char *name)
{
    for (size_t i = 0; i < sizeof system_databases / sizeof system_databases[0]; i++) {
        if (strcasecmp(name, system_databases[i]) == 0) {
            return true;
        }
    }
    return false;
}

static enum outcome out_of_memory(struct server *server)
{
    engine_error(&server->agent->engine, EXIT_INTERNAL, "out of memory");
    return OUTCOME_FAILED;
}

static enum outcome query(struct server *server, const char *what, const char *sql, unsigned deadline,
                          struct answer *answer)
{
    struct client_options options = {.program = CLIENT_QUERY};
    if (client_query(server, &options, sql, deadline, answer) != CLIENT_OK) {
        return server_failed(server, what, answer);
    }
    return OUTCOME_DONE;
}

enum client_failure mariadb_version(struct server *server, const char *host, char *version, size_t size, char *error,
                                    size_t error_size)
{
    cleanup_answer struct answer answer = {0};
    struct client_options options = {.program = CLIENT_QUERY, .host = host};
    client_query(server, &options, version_sql, server->agent->timeout, &answer);
    snprintf(version, size, "%s", answer_value(&answer, "version"));
    snprintf(error, error_size, "%s", answer.error);
    return answer.failure;
}

void mariadb_find_port(struct server *server)
{
    cleanup_answer struct answer answer = {0};
    struct client_options options = {.program = CLIENT_QUERY};
    client_query(server, &options, port_sql, server->agent->timeout, &answer);
    server->port = (unsigned)strtoul(answer_value(&answer, "port"), NULL, 10);
}

enum outcome mariadb_probe(struct server *server, struct probe *probe)
{
    cleanup_answer struct answer answer = {0};
    cleanup_answer struct answer transactions = {0};
    struct client_options options = {.program = CLIENT_QUERY};
    if (query(server, "probe", version_sql, server->agent->timeout, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    snprintf(probe->version, sizeof probe->version, "%s", answer_value(&answer, "version"));
    if (client_run(server, &options, xa_sql, server->agent->timeout, &transactions) != CLIENT_OK) {
        return server_failed(server, "probe", &transactions);
    }
    if (transactions.text != NULL && transactions.text[0] != '\0') {
        probe_block(probe, "prepared XA transactions (XA RECOVER lists them; end them by XA COMMIT or XA ROLLBACK)");
    }
    return OUTCOME_DONE;
}

/* Returns 0, or -1 (no memory). */
static int save_text(char **to, const char *text)
{
    *to = strdup(text);
    return *to == NULL ? -1 : 0;
}

static int save_settings(struct mariadb_saved *saved, const struct answer *answer)
{
    snprintf(saved->event_scheduler, sizeof saved->event_scheduler, "%s", answer_value(answer, "event_scheduler"));
    snprintf(saved->max_allowed_packet, sizeof saved->max_allowed_packet, "%llu",
             strtoull(answer_value(answer, "max_allowed_packet"), NULL, 10));
    if (save_text(&saved->init_connect, answer_value(answer, "init_connect")) != 0) {
        return -1;
    }
    for (size_t i = 0; i < answer->row_count; i++) {
        if (strcmp(answer->rows[i].key, "event-database") == 0 &&
            name_list_add(&saved->event_databases, answer->rows[i].value) != 0) {
            return -1;
        }
    }
    saved->events = calloc(saved->event_databases.count + 1, sizeof *saved->events);
    return saved->events == NULL ? -1 : 0;
}

static enum outcome save_healthcheck(struct server *server, struct mariadb_saved *saved)
{
    cleanup_answer struct answer answer = {0};
    cleanup_sql struct sql sql = {0};
    if (query(server, "saving health check users", healthcheck_sql, server->agent->timeout, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    for (size_t i = 0; i < answer.row_count; i++) {
        sql_add(&sql, answer.rows[i].value);
        sql_add(&sql, "\n");
    }
    if (sql.failed) {
        return out_of_memory(server);
    }
    saved->healthcheck = sql.text;
    sql.text = NULL;
    return OUTCOME_DONE;
}

static enum outcome save_events(struct server *server, struct mariadb_saved *saved)
{
    size_t total = 0;
    for (size_t i = 0; i < saved->event_databases.count; i++) {
        cleanup_answer struct answer answer = {0};
        struct client_options options = {.program = CLIENT_EVENTS, .database = saved->event_databases.names[i]};
        if (client_run(server, &options, "", LONG_DEADLINE, &answer) != CLIENT_OK) {
            return server_failed(server, "saving events", &answer);
        }
        total += answer.text == NULL ? 0 : strlen(answer.text);
        if (total > EVENTS_MAX) {
            engine_error(&server->agent->engine, EXIT_DATABASE, "the events of %s are larger than %d bytes",
                         server->container->name, EVENTS_MAX);
            return OUTCOME_FAILED;
        }
        saved->events[i] = answer.text;
        answer.text = NULL;
    }
    return OUTCOME_DONE;
}

/* Only once: a second `prepare` would save what the first one set. */
static enum outcome save(struct server *server, struct mariadb_saved *saved, const struct answer *answer)
{
    if (saved->saved) {
        return OUTCOME_DONE;
    }
    mariadb_saved_clear(saved);
    if (save_settings(saved, answer) != 0) {
        return out_of_memory(server);
    }
    if (answer_value(answer, "global_priv")[0] != '\0' && save_healthcheck(server, saved) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    if (save_events(server, saved) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    saved->saved = true;
    return OUTCOME_DONE;
}

static void add_drop(struct sql *sql, const char *database)
{
    sql_add(sql, "DROP DATABASE IF EXISTS ");
    sql_add_quoted(sql, database, '`');
    sql_add(sql, ";\n");
}

static enum outcome drop_or_report_extras(struct server *server, const struct database_state *state,
                                          const struct answer *answer, struct sql *sql)
{
    for (size_t i = 0; i < answer->row_count; i++) {
        const char *name = answer->rows[i].value;
        if (strcmp(answer->rows[i].key, "database") != 0 || is_system_database(name) ||
            name_list_has(&state->databases, name)) {
            continue;
        }
        if (state->drop_extras) {
            add_drop(sql, name);
        } else if (server_finding(server, false, "database \"%s\" is not in the backup and was kept", name) !=
                   OUTCOME_DONE) {
            return OUTCOME_BROKEN;
        }
    }
    return OUTCOME_DONE;
}

enum outcome mariadb_prepare(struct server *server, struct database_state *state)
{
    cleanup_answer struct answer before = {0};
    cleanup_answer struct answer answer = {0};
    cleanup_sql struct sql sql = {0};
    cleanup_sql struct sql state_sql = {0};
    sql_add(&state_sql, events_sql);
    sql_add(&state_sql, settings_sql);
    if (state_sql.failed) {
        return out_of_memory(server);
    }
    if (query(server, "preparing the databases", state_sql.text, server->agent->timeout, &before) != OUTCOME_DONE ||
        save(server, &state->mariadb, &before) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    if (strcmp(state->mariadb.event_scheduler, "ON") == 0) {
        sql_add(&sql, stop_scheduler_sql);
    }
    sql_add(&sql, keep_out_sql);
    sql_add(&sql, mariadb_kill_others);
    sql_add(&sql, before_drop_sql);
    for (size_t i = 0; i < state->databases.count; i++) {
        if (!is_system_database(state->databases.names[i])) {
            add_drop(&sql, state->databases.names[i]);
        }
    }
    enum outcome outcome = drop_or_report_extras(server, state, &before, &sql);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    if (sql.failed) {
        return out_of_memory(server);
    }
    return query(server, "preparing the databases", sql.text, LONG_DEADLINE, &answer);
}

static bool has_row(const struct answer *answer, const char *key, const char *value)
{
    for (size_t i = 0; i < answer->row_count; i++) {
        if (strcmp(answer->rows[i].key, key) == 0 && strcmp(answer->rows[i].value, value) == 0) {
            return true;
        }
    }
    return false;
}

/* Events that the dump brought win; those of a database that is gone are lost with it, and said so. */
static enum outcome restore_events(struct server *server, const struct mariadb_saved *saved)
{
    cleanup_answer struct answer now = {0};
    if (query(server, "restoring events", events_sql, server->agent->timeout, &now) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    enum outcome outcome = OUTCOME_DONE;
    for (size_t i = 0; i < saved->event_databases.count && outcome == OUTCOME_DONE; i++) {
        const char *database = saved->event_databases.names[i];
        struct client_options options = {.program = CLIENT_QUERY};
        cleanup_answer struct answer answer = {0};
        if (has_row(&now, "event-database", database)) {
            continue;
        }
        if (!has_row(&now, "database", database)) {
            outcome = server_finding(server, false, "the events of database \"%s\" went with it", database);
        } else if (saved->events[i] != NULL &&
                   client_run(server, &options, saved->events[i], server->agent->timeout, &answer) != CLIENT_OK) {
            outcome = server_finding(server, true, "the events of database \"%s\" could not be created again: %s",
                                     database, answer.error);
        } else {
            outcome = server_finding(
                server, false, "the backup holds no events; those of database \"%s\" were kept as they were", database);
        }
    }
    return outcome;
}

static void add_settings(struct sql *sql, const struct mariadb_saved *saved)
{
    sql_add(sql, "SET GLOBAL max_allowed_packet = ");
    sql_add(sql, saved->max_allowed_packet);
    sql_add(sql, ";\nSET GLOBAL init_connect = X'");
    for (const char *at = saved->init_connect; *at != '\0'; at++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", (unsigned char)*at);
        sql_add(sql, hex);
    }
    sql_add(sql, "';\n");
    if (strcmp(saved->event_scheduler, "ON") == 0) {
        sql_add(sql, start_scheduler_sql);
    }
}

/* Privileges last: from then on a login may need what the dump brought. */
enum outcome mariadb_finish(struct server *server, struct database_state *state)
{
    struct mariadb_saved *saved = &state->mariadb;
    cleanup_answer struct answer answer = {0};
    cleanup_sql struct sql sql = {0};
    if (saved->saved) {
        enum outcome outcome = restore_events(server, saved);
        if (outcome != OUTCOME_DONE) {
            return outcome;
        }
        add_settings(&sql, saved);
        sql_add(&sql, saved->healthcheck != NULL ? saved->healthcheck : "");
    }
    sql_add(&sql, read_privileges_sql);
    if (sql.failed) {
        return out_of_memory(server);
    }
    if (query(server, "finishing", sql.text, server->agent->timeout, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    mariadb_saved_clear(saved);
    return OUTCOME_DONE;
}

enum outcome mariadb_check(struct server *server, struct census *census)
{
    cleanup_answer struct answer answer = {0};
    if (query(server, "check", check_sql, LONG_DEADLINE, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    census->databases = strtoull(answer_value(&answer, "databases"), NULL, 10);
    census->tables = strtoull(answer_value(&answer, "tables"), NULL, 10);
    census->root_remote = strcmp(answer_value(&answer, "root-remote"), "0") != 0;
    return OUTCOME_DONE;
}

void mariadb_saved_clear(struct mariadb_saved *saved)
{
    for (size_t i = 0; i < saved->event_databases.count && saved->events != NULL; i++) {
        free(saved->events[i]);
    }
    free(saved->events);
    name_list_clear(&saved->event_databases);
    free(saved->init_connect);
    secret_free(saved->healthcheck);
    *saved = (struct mariadb_saved){0};
}

enum outcome mariadb_undo_census(struct server *server, struct undo_census *census)
{
    cleanup_answer struct answer answer = {0};
    if (query(server, "counting", census_sql, LONG_DEADLINE, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    census->databases = strtoull(answer_value(&answer, "databases"), NULL, 10);
    census->entries = strtoull(answer_value(&answer, "tables"), NULL, 10);
    census->bytes = strtoull(answer_value(&answer, "bytes"), NULL, 10);
    return OUTCOME_DONE;
}

enum outcome mariadb_undo_begin(struct server *server, struct database_state *state, bool *history)
{
    cleanup_answer struct answer before = {0};
    cleanup_answer struct answer answer = {0};
    cleanup_sql struct sql sql = {0};
    sql_add(&sql, events_sql);
    sql_add(&sql, settings_sql);
    sql_add(&sql, census_sql);
    if (sql.failed) {
        return out_of_memory(server);
    }
    if (query(server, "preparing the dump for undo", sql.text, LONG_DEADLINE, &before) != OUTCOME_DONE ||
        save(server, &state->mariadb, &before) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    *history = strcmp(answer_value(&before, "history"), "0") != 0;
    cleanup_sql struct sql close = {0};
    sql_add(&close, strcmp(state->mariadb.event_scheduler, "ON") == 0 ? stop_scheduler_sql : "");
    sql_add(&close, keep_out_sql);
    sql_add(&close, mariadb_kill_others);
    if (close.failed) {
        return out_of_memory(server);
    }
    return query(server, "preparing the dump for undo", close.text, LONG_DEADLINE, &answer);
}

enum outcome mariadb_undo_reset(struct server *server)
{
    cleanup_answer struct answer before = {0};
    cleanup_answer struct answer answer = {0};
    cleanup_sql struct sql sql = {0};
    cleanup_sql struct sql state_sql = {0};
    sql_add(&state_sql, events_sql);
    sql_add(&state_sql, settings_sql);
    if (state_sql.failed) {
        return out_of_memory(server);
    }
    if (query(server, "clearing", state_sql.text, LONG_DEADLINE, &before) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    if (strcmp(answer_value(&before, "event_scheduler"), "ON") == 0) {
        sql_add(&sql, stop_scheduler_sql);
    }
    sql_add(&sql, keep_out_sql);
    sql_add(&sql, mariadb_kill_others);
    sql_add(&sql, before_drop_sql);
    for (size_t i = 0; i < before.row_count; i++) {
        const char *name = before.rows[i].value;
        if (strcmp(before.rows[i].key, "database") == 0 && !is_system_database(name)) {
            add_drop(&sql, name);
        }
    }
    if (sql.failed) {
        return out_of_memory(server);
    }
    return query(server, "clearing", sql.text, LONG_DEADLINE, &answer);
}
