/* The command that starts psql, mariadb or mariadb-dump in a container. */
#include "client_command.h"

#include <stdio.h>

/*
 * What `sh` runs: sh -c SCRIPT restore SIZE PROGRAM ARGUMENT… The first SIZE bytes of stdin are the password file. It
 * is created for us alone, opened, unlinked, and only then filled, so that no crash leaves a secret behind; dd reads
 * byte by byte and so leaves the client all that follows. A dd or rm that fails ends the script: the secret must never
 * reach the client as SQL. $1 after the shifts: psql's session options.
 *
 * The container's own variables are for its own clients: PGHOST could name another server.
 */
#define SCRIPT                                                                                                         \
    "size=$1 program=$2\n"                                                                                             \
    "shift 2\n"                                                                                                        \
    "export LC_ALL=C HOME=/nonexistent\n"                                                                              \
    "PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"                                        \
    "umask 077\n"                                                                                                      \
    "file=\n"                                                                                                          \
    "if [ \"$size\" -gt 0 ]; then\n"                                                                                   \
    "    for directory in /dev/shm /tmp; do\n"                                                                         \
    "        if (set -C && : >\"$directory/.restore-$$\") 2>/dev/null; then\n"                                         \
    "            file=$directory/.restore-$$\n"                                                                        \
    "            break\n"                                                                                              \
    "        fi\n"                                                                                                     \
    "    done\n"                                                                                                       \
    "    if [ -n \"$file\" ]; then\n"                                                                                  \
    "        exec 3<\"$file\" 4>\"$file\"\n"                                                                           \
    "        rm -f \"$file\" && dd bs=1 count=\"$size\" >&4 2>/dev/null || exit 127\n"                                 \
    "        exec 4>&-\n"                                                                                              \
    "    else\n"                                                                                                       \
    "        echo 'restore: no password file' >&2\n"                                                                   \
    "        dd bs=1 count=\"$size\" >/dev/null 2>&1 || exit 127\n"                                                    \
    "    fi\n"                                                                                                         \
    "fi\n"                                                                                                             \
    "if [ \"$program\" = psql ] || [ \"$program\" = pg_dumpall ]; then\n"                                              \
    "    case ${PGHOST-} in /*) ;; *) unset PGHOST ;; esac\n"                                                          \
    "    unset PGHOSTADDR PGSERVICE PGSERVICEFILE PGDATABASE PGUSER PGPASSWORD PGSSLMODE PGREQUIRESSL\n"               \
    "    unset PGCHANNELBINDING PGTARGETSESSIONATTRS PGREQUIREAUTH PGTZ PGDATESTYLE\n"                                 \
    "    export PGPASSFILE=/dev/null PGCONNECT_TIMEOUT=10 PGCLIENTENCODING=UTF8 PGAPPNAME=restore PGOPTIONS=\"$1\"\n"  \
    "    [ -z \"$file\" ] || PGPASSFILE=/dev/fd/3\n"                                                                   \
    "    shift\n"                                                                                                      \
    "    if [ -z \"${PGPORT-}\" ] && ! [ -S /var/run/postgresql/.s.PGSQL.5432 ]; then\n"                               \
    "        for socket in /var/run/postgresql/.s.PGSQL.*; do\n"                                                       \
    "            ! [ -S \"$socket\" ] || export PGPORT=\"${socket##*.}\"\n"                                            \
    "        done\n"                                                                                                   \
    "    fi\n"                                                                                                         \
    "    for directory in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin /opt/bitnami/postgresql/bin; do\n"            \
    "        PATH=$PATH:$directory\n"                                                                                  \
    "    done\n"                                                                                                       \
    "    names=$program\n"                                                                                             \
    "else\n"                                                                                                           \
    "    unset MYSQL_HOST MYSQL_PWD MYSQL_TCP_PORT MYSQL_TEST_LOGIN_FILE\n"                                            \
    "    [ -z \"$file\" ] || set -- --defaults-extra-file=/dev/fd/3 \"$@\"\n"                                          \
    "    PATH=$PATH:/opt/bitnami/mariadb/bin\n"                                                                        \
    "    [ \"$program\" = mariadb ] && names='mariadb mysql' || names='mariadb-dump mysqldump'\n"                      \
    "fi\n"                                                                                                             \
    "for name in $names; do\n"                                                                                         \
    "    ! command -v \"$name\" >/dev/null || exec \"$name\" \"$@\"\n"                                                 \
    "done\n"                                                                                                           \
    "echo \"restore: there is no client ($names) in the image\" >&2\n"                                                 \
    "exit 127\n"

/* Session options that win over what a role or database has set; names resolve in pg_catalog alone. */
#define POSTGRES_QUERY_OPTIONS                                                                                         \
    "-c search_path=pg_catalog -c client_min_messages=error -c default_transaction_read_only=off "                     \
    "-c statement_timeout=0 -c lock_timeout=0 -c standard_conforming_strings=on"
#define POSTGRES_LOAD_OPTIONS                                                                                          \
    "-c synchronous_commit=off -c client_min_messages=warning -c lc_messages=C -c default_transaction_read_only=off "  \
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"

#define POSTGRES_DUMP_OPTIONS                                                                                          \
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c lc_messages=C"

/* name='value' for a connection string. */
static void add_parameter(struct sql *out, const char *name, const char *value)
{
    sql_add(out, name);
    sql_add(out, "='");
    for (; *value != '\0'; value++) {
        const char piece[] = {*value, '\0'};
        sql_add(out, *value == '\'' || *value == '\\' ? "\\" : "");
        sql_add(out, piece);
    }
    sql_add(out, "' ");
}

static void add_argument(struct command *command, const char *argument)
{
    if (command->count < CLIENT_ARGUMENTS_MAX - 1) {
        command->argv[command->count++] = argument;
    }
}

/* Everything about the connection goes into one string: a database's name may look like one itself. */
static void add_psql(struct command *command, const struct client_options *options, const struct login *login)
{
    bool load = options->program == CLIENT_LOAD;
    sql_add(&command->connection, "--dbname=");
    add_parameter(&command->connection, "dbname", options->database != NULL ? options->database : "postgres");
    add_parameter(&command->connection, "user", login->user);
    if (options->host != NULL) {
        add_parameter(&command->connection, "host", options->host);
    }
    add_argument(command, "psql");
    add_argument(command, load ? POSTGRES_LOAD_OPTIONS : POSTGRES_QUERY_OPTIONS);
    add_argument(command, "--no-psqlrc");
    add_argument(command, "--no-password");
    add_argument(command, "--quiet");
    add_argument(command, "--no-align");
    add_argument(command, "--tuples-only");
    add_argument(command, "--field-separator=\t");
    add_argument(command, "--set=ON_ERROR_STOP=1");
    add_argument(command, command->connection.text);
    if (options->first != NULL) {
        add_argument(command, "--command");
        add_argument(command, options->first);
    }
    add_argument(command, "--file=-");
}

static void add_mariadb_connection(struct command *command, const struct client_options *options,
                                   const struct login *login, unsigned port)
{
    sql_add(&command->user, "--user=");
    sql_add(&command->user, login->user);
    add_argument(command, command->user.text);
    add_argument(command, "--default-character-set=utf8mb4");
    add_argument(command, "--max-allowed-packet=1G");
    add_argument(command, "--loose-skip-ssl-verify-server-cert");
    if (options->host == NULL) {
        add_argument(command, "--protocol=socket");
        return;
    }
    sql_add(&command->host, "--host=");
    sql_add(&command->host, options->host);
    add_argument(command, "--protocol=tcp");
    add_argument(command, command->host.text);
    if (port != 0) {
        snprintf(command->port, sizeof command->port, "--port=%u", port);
        add_argument(command, command->port);
    }
}

static void add_mariadb(struct command *command, const struct client_options *options, const struct login *login,
                        unsigned port)
{
    add_argument(command, "mariadb");
    add_mariadb_connection(command, options, login, port);
    add_argument(command, "--batch");
    add_argument(command, "--binary-mode");
    add_argument(command, "--no-auto-rehash");
    add_argument(command, "--skip-column-names");
    add_argument(command, "--skip-local-infile"); /* LOAD DATA LOCAL would read files of the container */
    add_argument(command, "--connect-timeout=10");
    if (options->database != NULL) {
        add_argument(command, "--database");
        add_argument(command, options->database);
    }
}

static void add_events(struct command *command, const struct client_options *options, const struct login *login)
{
    add_argument(command, "mariadb-dump");
    add_mariadb_connection(command, options, login, 0);
    add_argument(command, "--events");
    add_argument(command, "--no-data");
    add_argument(command, "--no-create-info");
    add_argument(command, "--no-create-db");
    add_argument(command, "--skip-triggers");
    add_argument(command, "--skip-opt");
    add_argument(command, "--databases");
    add_argument(command, "--");
    add_argument(command, options->database);
}

/* Quoted, so that a role's name looks the same in every version; see undo_filter.h. */
static void add_pg_dumpall(struct command *command, const struct client_options *options, const struct login *login)
{
    add_argument(command, "pg_dumpall");
    add_argument(command, POSTGRES_DUMP_OPTIONS);
    if (options->program == CLIENT_TRIAL) {
        add_argument(command, "--version");
        return;
    }
    sql_add(&command->connection, "--dbname=");
    add_parameter(&command->connection, "dbname", "postgres");
    add_parameter(&command->connection, "user", login->user);
    add_argument(command, "--no-password");
    add_argument(command, "--clean");
    add_argument(command, "--if-exists");
    add_argument(command, "--quote-all-identifiers");
    add_argument(command, command->connection.text);
}

/* The events are in the dump as statements: the table that holds them would be replaced under the server's feet. */
static void add_mariadb_dump(struct command *command, const struct client_options *options, const struct login *login)
{
    add_argument(command, "mariadb-dump");
    if (options->program == CLIENT_TRIAL) {
        add_argument(command, "--version");
        return;
    }
    add_mariadb_connection(command, options, login, 0);
    add_argument(command, "--opt");
    add_argument(command, "--comments");
    add_argument(command, "--hex-blob");
    add_argument(command, "--lock-all-tables");
    add_argument(command, "--flush-privileges");
    add_argument(command, "--routines");
    add_argument(command, "--events");
    add_argument(command, "--triggers");
    add_argument(command, "--ignore-table=mysql.event");
    add_argument(command, "--all-databases");
    if (options->history) {
        add_argument(command, "--dump-history");
    }
}

int command_build(struct command *command, enum section_kind kind, const struct client_options *options,
                  const struct login *login, size_t secret_size, unsigned port)
{
    *command = (struct command){0};
    snprintf(command->secret_size, sizeof command->secret_size, "%zu", secret_size);
    add_argument(command, "sh");
    add_argument(command, "-c");
    add_argument(command, SCRIPT);
    add_argument(command, "restore");
    add_argument(command, command->secret_size);
    bool dump = options->program == CLIENT_DUMP || options->program == CLIENT_TRIAL;
    if (dump && kind == SECTION_POSTGRES) {
        add_pg_dumpall(command, options, login);
    } else if (dump) {
        add_mariadb_dump(command, options, login);
    } else if (kind == SECTION_POSTGRES) {
        add_psql(command, options, login);
    } else if (options->program == CLIENT_EVENTS) {
        add_events(command, options, login);
    } else {
        add_mariadb(command, options, login, port);
    }
    return command->connection.failed || command->user.failed || command->host.failed ? -1 : 0;
}

void command_free(struct command *command)
{
    sql_free(&command->connection);
    sql_free(&command->user);
    sql_free(&command->host);
}
