/* PostgreSQL: what blocks a restore, preparing and finishing it, checking the result. */
#include "postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit_codes.h"

/* Seconds for a statement that may have to wait for others. */
#define LONG_DEADLINE 600

/* One row of an answer (database_client.h): values travel in hexadecimal, so that names may hold anything. */
#define ROW(key, expression, source)                                                                                   \
    "SELECT '" key "', encode(convert_to((" expression ")::text, 'UTF8'), 'hex') " source ";\n"
/* A query for servers from `version` on: older ones would not parse it. */
#define SINCE(version, query)                                                                                          \
    "SELECT $sql$" query "$sql$ WHERE current_setting('server_version_num')::int >= " version " \\gexec\n"

#define OTHER_CLIENTS "pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL AND usesysid IS NOT NULL"

/* clang-format off: SQL as one reads it */
static const char version_sql[] = ROW("version", "current_setting('server_version')", "");

static const char probe_sql[] = ROW("version", "current_setting('server_version')", "")
    ROW("superuser", "SELECT rolsuper FROM pg_roles WHERE rolname = current_user", "") ROW("standby",
                                                                                           "pg_is_in_recovery()", "")
        ROW("blocker",
            "format('prepared transaction %L in database %I (end it by COMMIT PREPARED or ROLLBACK PREPARED)',"
            " gid, database)",
            "FROM pg_prepared_xacts")
            ROW("blocker",
                "format('logical replication slot %L of database %I (drop it by pg_drop_replication_slot())',"
                " slot_name, database)",
                "FROM pg_replication_slots WHERE slot_type = 'logical'")
                SINCE("100000",
                      ROW("blocker",
                          "format('subscription %I in database %I (drop it by DROP SUBSCRIPTION)', subname, datname)",
                          "FROM pg_subscription JOIN pg_database d ON d.oid = subdbid"));

/* The names that the supervisor sent follow it. */
static const char names_sql[] =
    "CREATE TEMPORARY TABLE dump_database (name text);\n"
    "CREATE TEMPORARY TABLE dump_role (name text);\n"
    "CREATE TEMPORARY VIEW extra_database AS SELECT datname FROM pg_database\n"
    "  WHERE datname NOT IN ('postgres', 'template0', 'template1')\n"
    "    AND datname::text NOT IN (SELECT name FROM dump_database);\n"
    "CREATE TEMPORARY VIEW extra_role AS SELECT rolname FROM pg_roles\n"
    "  WHERE rolname !~ '^pg_' AND rolname NOT IN (current_user, session_user) AND oid <> 10\n"
    "    AND EXISTS (SELECT FROM dump_role) AND rolname::text NOT IN (SELECT name FROM dump_role);\n";

/*
 * `postgres` and `template1` stay open: the load itself connects to them. Databases that the dump does not have stay
 * open too: nothing drops them, and nothing would open them again after a crash.
 */
static const char close_sql[] = "SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS false', datname)\n"
                                "  FROM pg_database JOIN dump_database ON name = datname::text\n"
                                "  WHERE datallowconn AND datname NOT IN ('postgres', 'template1') \\gexec\n";

static const char close_extras_sql[] =
    "SELECT format('ALTER DATABASE %I IS_TEMPLATE false ALLOW_CONNECTIONS false', datname)\n"
    "  FROM extra_database \\gexec\n";

/* A terminated backend needs a moment to be gone; one that keeps coming back does not hold us up for ever. */
const char postgres_disconnect_others[] = "DO $$ BEGIN FOR try IN 1..50 LOOP\n"
                                          "  PERFORM pg_terminate_backend(pid) FROM " OTHER_CLIENTS ";\n"
                                          "  EXIT WHEN NOT FOUND;\n"
                                          "  PERFORM pg_sleep(0.1), pg_stat_clear_snapshot();\n"
                                          "END LOOP; END $$;\n";

static const char drop_extras_sql[] = "SELECT format('DROP DATABASE %I', datname) FROM extra_database \\gexec\n";

static const char report_roles_sql[] = ROW("extra-role", "rolname", "FROM extra_role ORDER BY rolname");

static const char report_sql[] = ROW("extra-database", "datname", "FROM extra_database ORDER BY datname")
    ROW("client", "format('%s in database %I from %s', usename, datname, coalesce(client_addr::text, 'the socket'))",
        "FROM " OTHER_CLIENTS);

static const char open_sql[] =
    "SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS true', datname)\n"
    "  FROM pg_database JOIN dump_database ON name = datname::text WHERE NOT datallowconn \\gexec\n";

/* A role that still owns something in a database outside the dump stays, and is reported. */
static const char drop_roles_sql[] =
    "DO $$ DECLARE extra record; BEGIN FOR extra IN SELECT rolname FROM extra_role LOOP\n"
    "  BEGIN EXECUTE format('DROP ROLE %I', extra.rolname);\n"
    "  EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END;\n"
    "END LOOP; END $$;\n";

static const char server_check_sql[] =
    ROW("database", "datname", "FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname")
        SINCE("100000", ROW("md5", "rolname",
                            "FROM pg_authid WHERE rolcanlogin AND rolpassword LIKE 'md5%'"
                            " AND EXISTS (SELECT FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256')"));

static const char database_check_sql[] =
    ROW("tables", "count(*)",
        "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p')"
        " AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_t'")
        ROW("invalid", "format('%I.%I in database %I', nspname, relname, current_database())",
            "FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE NOT indisvalid");

const char postgres_load_first[] =
    "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM " OTHER_CLIENTS " AND application_name <> 'restore'; END $$";

const char postgres_busy_query[] =
    ROW("busy", "pid",
        "FROM " OTHER_CLIENTS " AND application_name = 'restore' AND state = 'active'"
        " AND wait_event_type IS DISTINCT FROM 'Lock' AND wait_event_type IS DISTINCT FROM 'Client'");

const char postgres_end_loads[] =
    "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM " OTHER_CLIENTS " AND application_name = 'restore'; END $$;\n";
/* clang-format on */

/* clang-format off: SQL as one reads it */
static const char census_sql[] =
    ROW("databases", "count(*)", "FROM pg_database") ROW("roles", "count(*)", "FROM pg_roles")
        ROW("bytes", "sum(pg_database_size(oid))", "FROM pg_database WHERE datallowconn");

/* pg_dumpall leaves out what allows no connections, and an undo would lose it. */
static const char undo_begin_sql[] =
    ROW("closed", "datname", "FROM pg_database WHERE NOT datallowconn AND datname <> 'template0' ORDER BY datname")
        ROW("role", "rolname", "FROM pg_roles WHERE oid = 10 OR rolname = current_user");

/*
 * One of `postgres` and `template1` is there at any moment: each goes while we are connected to the other. Roles own
 * nothing by the time that they go, and go all at once, since one may depend on another.
 */
static const char bring_postgres_sql[] = "CREATE DATABASE postgres TEMPLATE template0;\n";
static const char undo_reset_sql[] =
    "SELECT format('ALTER DATABASE %I IS_TEMPLATE false ALLOW_CONNECTIONS false', datname) FROM pg_database\n"
    "  WHERE datname NOT IN ('postgres', 'template0', 'template1') \\gexec\n";
static const char undo_drop_sql[] =
    "SELECT format('DROP DATABASE %I', datname) FROM pg_database\n"
    "  WHERE datname NOT IN ('postgres', 'template0', 'template1') \\gexec\n"
    "SELECT 'ALTER DATABASE template1 IS_TEMPLATE false' FROM pg_database WHERE datname = 'template1' \\gexec\n"
    "DROP DATABASE IF EXISTS template1;\n"
    "CREATE DATABASE template1 TEMPLATE template0 IS_TEMPLATE true;\n"
    "\\connect template1\n"
    "ALTER DATABASE postgres IS_TEMPLATE false;\n"
    "DROP DATABASE postgres;\n"
    "CREATE DATABASE postgres TEMPLATE template0;\n"
    "\\connect postgres\n"
    "SELECT format('DROP TABLESPACE %I', spcname) FROM pg_tablespace\n"
    "  WHERE spcname NOT IN ('pg_default', 'pg_global') \\gexec\n"
    "CREATE TEMPORARY TABLE gone AS SELECT rolname FROM pg_roles\n"
    "  WHERE rolname !~ '^pg_' AND rolname NOT IN (current_user, session_user) AND oid <> 10;\n"
    "SELECT format('DROP OWNED BY %I', rolname) FROM gone \\gexec\n"
    "SELECT 'DROP ROLE ' || string_agg(quote_ident(rolname), ', ') FROM gone HAVING count(*) > 0 \\gexec\n"
    "SELECT format('ALTER ROLE %I RESET ALL', rolname) FROM pg_roles WHERE rolname = current_user OR oid = 10 \\gexec\n"
    "SELECT format('COMMENT ON ROLE %I IS NULL', rolname) FROM pg_roles\n"
    "  WHERE rolname = current_user OR oid = 10 \\gexec\n"
    "SELECT format('REVOKE %I FROM %I', r.rolname, m.rolname) FROM pg_auth_members\n"
    "  JOIN pg_roles r ON r.oid = roleid JOIN pg_roles m ON m.oid = member WHERE m.rolname !~ '^pg_' \\gexec\n";
/* clang-format on */

static enum outcome query(struct server *server, const char *what, const char *sql, unsigned deadline,
                          struct answer *answer)
{
    struct client_options options = {.program = CLIENT_QUERY};
    if (client_query(server, &options, sql, deadline, answer) != CLIENT_OK) {
        return server_failed(server, what, answer);
    }
    return OUTCOME_DONE;
}

enum client_failure postgres_version(struct server *server, const char *host, char *version, size_t size, char *error,
                                     size_t error_size)
{
    cleanup_answer struct answer answer = {0};
    struct client_options options = {.program = CLIENT_QUERY, .host = host};
    client_query(server, &options, version_sql, server->agent->timeout, &answer);
    snprintf(version, size, "%s", answer_value(&answer, "version"));
    snprintf(error, error_size, "%s", answer.error);
    return answer.failure;
}

enum outcome postgres_probe(struct server *server, struct probe *probe)
{
    cleanup_answer struct answer answer = {0};
    if (query(server, "probe", probe_sql, server->agent->timeout, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    snprintf(probe->version, sizeof probe->version, "%s", answer_value(&answer, "version"));
    if (strcmp(answer_value(&answer, "superuser"), "true") != 0) {
        char reason[256];
        snprintf(reason, sizeof reason, "%s is not a superuser, and a restore needs one",
                 server->credentials.superuser.user);
        probe_block(probe, reason);
    }
    if (strcmp(answer_value(&answer, "standby"), "false") != 0) {
        probe_block(probe, "the server is a standby: restore its primary");
    }
    for (size_t i = 0; i < answer.row_count; i++) {
        if (strcmp(answer.rows[i].key, "blocker") == 0) {
            probe_block(probe, answer.rows[i].value);
        }
    }
    return OUTCOME_DONE;
}

static void add_names(struct sql *sql, const char *table, const struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        sql_add(sql, "INSERT INTO ");
        sql_add(sql, table);
        sql_add(sql, " VALUES (");
        sql_add_quoted(sql, list->names[i], '\'');
        sql_add(sql, ");\n");
    }
}

static void add_state(struct sql *sql, const struct database_state *state)
{
    sql_add(sql, names_sql);
    sql_add(sql, "BEGIN;\n");
    add_names(sql, "dump_database", &state->databases);
    add_names(sql, "dump_role", &state->roles);
    sql_add(sql, "COMMIT;\n");
}

static enum outcome out_of_memory(struct server *server)
{
    engine_error(&server->agent->engine, EXIT_INTERNAL, "out of memory");
    return OUTCOME_FAILED;
}

static enum outcome report(struct server *server, const struct answer *answer)
{
    enum outcome outcome = OUTCOME_DONE;
    for (size_t i = 0; i < answer->row_count && outcome == OUTCOME_DONE; i++) {
        const char *key = answer->rows[i].key;
        const char *value = answer->rows[i].value;
        if (strcmp(key, "extra-database") == 0) {
            outcome = server_finding(server, false, "database \"%s\" is not in the backup and was kept", value);
        } else if (strcmp(key, "extra-role") == 0) {
            outcome = server_finding(server, false, "role \"%s\" is not in the backup and was kept", value);
        } else if (strcmp(key, "client") == 0) {
            outcome = server_finding(server, false, "a client keeps connecting: %s", value);
        } else if (strcmp(key, "invalid") == 0) {
            outcome = server_finding(server, true, "index %s is not valid", value);
        } else if (strcmp(key, "md5") == 0) {
            outcome = server_finding(server, false,
                                     "role \"%s\" has an md5 password, which rules with scram-sha-256 in pg_hba.conf "
                                     "refuse: set the password again",
                                     value);
        }
    }
    return outcome;
}

enum outcome postgres_prepare(struct server *server, struct database_state *state)
{
    cleanup_sql struct sql sql = {0};
    cleanup_answer struct answer answer = {0};
    add_state(&sql, state);
    sql_add(&sql, close_sql);
    sql_add(&sql, state->drop_extras ? close_extras_sql : "");
    sql_add(&sql, postgres_disconnect_others);
    sql_add(&sql, state->drop_extras ? drop_extras_sql : "");
    sql_add(&sql, report_sql);
    sql_add(&sql, state->drop_extras ? "" : report_roles_sql); /* to be dropped: finish does it */
    if (sql.failed) {
        return out_of_memory(server);
    }
    if (query(server, "preparing the databases", sql.text, LONG_DEADLINE, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    return report(server, &answer);
}

enum outcome postgres_finish(struct server *server, struct database_state *state)
{
    cleanup_sql struct sql sql = {0};
    cleanup_answer struct answer answer = {0};
    add_state(&sql, state);
    sql_add(&sql, open_sql);
    if (state->drop_extras) {
        sql_add(&sql, drop_roles_sql);
        sql_add(&sql, report_roles_sql);
    }
    if (sql.failed) {
        return out_of_memory(server);
    }
    if (query(server, "opening the databases", sql.text, LONG_DEADLINE, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    return report(server, &answer);
}

/*
 * \connect, to a database of any name, as pg_dump writes it: a connection string, quoted as an identifier for psql's
 * parser. Names with a line break cannot be written that way; pg_dumpall refuses them too.
 */
static void add_connect(struct sql *sql, const char *database)
{
    sql_add(sql, "\\connect -reuse-previous=on \"dbname='");
    for (; *database != '\0'; database++) {
        const char piece[] = {*database, '\0'};
        if (*database == '\'' || *database == '\\') {
            sql_add(sql, "\\");
        }
        sql_add(sql, *database == '"' ? "\"\"" : piece);
    }
    sql_add(sql, "'\"\n");
}

enum outcome postgres_check(struct server *server, struct census *census)
{
    cleanup_sql struct sql sql = {0};
    cleanup_answer struct answer databases = {0};
    cleanup_answer struct answer tables = {0};
    if (query(server, "check", server_check_sql, server->agent->timeout, &databases) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    for (size_t i = 0; i < databases.row_count; i++) {
        if (strcmp(databases.rows[i].key, "database") == 0) {
            census->databases++;
            if (strpbrk(databases.rows[i].value, "\r\n") != NULL) {
                continue;
            }
            add_connect(&sql, databases.rows[i].value);
            sql_add(&sql, database_check_sql);
        }
    }
    if (sql.failed) {
        return out_of_memory(server);
    }
    if (sql.text != NULL && query(server, "check", sql.text, LONG_DEADLINE, &tables) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    for (size_t i = 0; i < tables.row_count; i++) {
        if (strcmp(tables.rows[i].key, "tables") == 0) {
            census->tables += strtoull(tables.rows[i].value, NULL, 10);
        }
    }
    enum outcome outcome = report(server, &databases);
    return outcome == OUTCOME_DONE ? report(server, &tables) : outcome;
}

enum outcome postgres_undo_census(struct server *server, struct undo_census *census)
{
    cleanup_answer struct answer answer = {0};
    if (query(server, "counting", census_sql, server->agent->timeout, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    census->databases = strtoull(answer_value(&answer, "databases"), NULL, 10);
    census->entries = strtoull(answer_value(&answer, "roles"), NULL, 10);
    census->bytes = strtoull(answer_value(&answer, "bytes"), NULL, 10);
    return OUTCOME_DONE;
}

enum outcome postgres_undo_begin(struct server *server, struct name_list *roles)
{
    cleanup_sql struct sql sql = {0};
    cleanup_answer struct answer answer = {0};
    sql_add(&sql, postgres_disconnect_others);
    sql_add(&sql, undo_begin_sql);
    if (sql.failed) {
        return out_of_memory(server);
    }
    if (query(server, "preparing the dump for undo", sql.text, LONG_DEADLINE, &answer) != OUTCOME_DONE) {
        return OUTCOME_FAILED;
    }
    for (size_t i = 0; i < answer.row_count; i++) {
        if (strcmp(answer.rows[i].key, "closed") == 0) {
            engine_error(&server->agent->engine, EXIT_DATABASE,
                         "database \"%.200s\" of %s allows no connections, so it cannot be dumped for undo",
                         answer.rows[i].value, server->container->name);
            return OUTCOME_FAILED;
        }
        if (name_list_add(roles, answer.rows[i].value) != 0) {
            return out_of_memory(server);
        }
    }
    return OUTCOME_DONE;
}

enum outcome postgres_undo_reset(struct server *server)
{
    cleanup_sql struct sql sql = {0};
    cleanup_answer struct answer answer = {0};
    cleanup_answer struct answer brought = {0};
    char version[VERSION_MAX];
    char error[CLIENT_ERROR_MAX];
    struct client_options other = {.program = CLIENT_QUERY, .database = "template1"};
    enum client_failure failure = postgres_version(server, NULL, version, sizeof version, error, sizeof error);
    bool missing = failure == CLIENT_ERROR && strstr(error, "database \"postgres\" does not exist") != NULL;
    if (missing && client_query(server, &other, bring_postgres_sql, LONG_DEADLINE, &brought) != CLIENT_OK) {
        return server_failed(server, "clearing", &brought);
    }
    sql_add(&sql, undo_reset_sql);
    sql_add(&sql, postgres_disconnect_others);
    sql_add(&sql, undo_drop_sql);
    if (sql.failed) {
        return out_of_memory(server);
    }
    return query(server, "clearing", sql.text, LONG_DEADLINE, &answer);
}
