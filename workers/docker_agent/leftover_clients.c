/* Ends the clients of a killed run; see leftover_clients.h. */
#include "leftover_clients.h"

#include <poll.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "exit_codes.h"
#include "mariadb.h"
#include "postgres.h"

#define PATIENCE_MS (600 * 1000) /* a session that was ended may have much to roll back */
#define PAUSE_MS 250
#define QUERY_DEADLINE 120

/* clang-format off: SQL as one reads it */
/* Rows: sessions that were ended and are there still. */
static const char postgres_ending[] =
    "SELECT 'ending', encode(convert_to(pid::text, 'UTF8'), 'hex') FROM pg_stat_activity\n"
    "  WHERE pid <> pg_backend_pid() AND application_name = 'restore';\n";
static const char mariadb_ending[] =
    "SELECT 'ending', HEX(CAST(ID AS CHAR)) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Killed';\n";
/* clang-format on */

/* As client_command.c starts one. */
static bool is_client(const cJSON *exec)
{
    const cJSON *arguments = json_member(exec, "ProcessConfig.arguments");
    const cJSON *name = cJSON_GetArrayItem(arguments, 2);
    return strcmp(json_text(exec, "ProcessConfig.entrypoint"), "sh") == 0 && cJSON_IsString(name) &&
           strcmp(name->valuestring, "restore") == 0;
}

/* 1: a client that runs, 0: none, or -1 with engine->error. */
static int client_runs(struct agent *agent, const char *id)
{
    cleanup_free char *path = NULL;
    cleanup_json cJSON *exec = NULL;
    if (engine_path(&agent->engine, &path, "/exec/%s/json", id) != 0) {
        return -1;
    }
    const struct engine_request request = {.method = "GET", .path = path, .what = "look at a process of a container"};
    if (engine_call(&agent->engine, &request, &exec) != 0) {
        return agent->engine.status == 404 ? 0 : -1;
    }
    return json_true(exec, "Running") && is_client(exec) ? 1 : 0;
}

/* 1: at least one runs, 0: none, or -1 with engine->error. */
static int any_client_runs(const struct server *server)
{
    cleanup_json cJSON *answer = NULL;
    const cJSON *id;
    int runs = 0;
    if (agent_inspect(server->agent, server->container, &answer) != 0) {
        return -1;
    }
    cJSON_ArrayForEach(id, json_member(answer, "ExecIDs"))
    {
        runs = cJSON_IsString(id) ? client_runs(server->agent, id->valuestring) : 0;
        if (runs != 0) {
            break;
        }
    }
    return runs;
}

/* One of `postgres` and `template1` is there, whatever a load was at. CLIENT_OK without rows: no session is left. */
static void end_sessions(struct server *server, const char *sql, struct answer *answer)
{
    struct client_options options = {.program = CLIENT_QUERY};
    bool missing = client_query(server, &options, sql, QUERY_DEADLINE, answer) == CLIENT_ERROR &&
                   strstr(answer->error, "database \"postgres\" does not exist") != NULL;
    if (missing) {
        answer_free(answer);
        options.database = "template1";
        client_query(server, &options, sql, QUERY_DEADLINE, answer);
    }
}

/* The processes are looked at first: one that runs may come back with another session. */
static enum outcome try_to_end(struct server *server, const char *sql, bool last)
{
    cleanup_answer struct answer answer = {0};
    int runs = any_client_runs(server);
    if (runs < 0) {
        return OUTCOME_FAILED;
    }
    end_sessions(server, sql, &answer);
    if (runs == 0 && answer.failure == CLIENT_OK && answer.row_count == 0) {
        return OUTCOME_DONE;
    }
    if (last && answer.failure != CLIENT_OK) {
        return server_failed(server, "ending the clients of the earlier run", &answer);
    }
    engine_error(&server->agent->engine, EXIT_DATABASE,
                 "a client of the earlier run goes on in container %s: end it (docker top shows it)",
                 server->container->name);
    return OUTCOME_FAILED;
}

enum outcome leftover_clients_end(struct server *server)
{
    bool postgres = server->kind == SECTION_POSTGRES;
    int64_t end = now_ms() + PATIENCE_MS;
    cleanup_sql struct sql sql = {0};
    sql_add(&sql, postgres ? postgres_disconnect_others : mariadb_kill_others);
    sql_add(&sql, postgres ? postgres_ending : mariadb_ending);
    if (sql.failed) {
        engine_error(&server->agent->engine, EXIT_INTERNAL, "out of memory");
        return OUTCOME_FAILED;
    }
    for (;;) {
        bool last = now_ms() > end;
        enum outcome outcome = try_to_end(server, sql.text, last);
        if (outcome == OUTCOME_DONE || last) {
            return outcome;
        }
        poll(NULL, 0, PAUSE_MS);
    }
}
