#!/bin/bash
# Start-up of the test stack's MariaDB: the behaviour of the official image's
# entrypoint, as far as backups and restores can see it.
set -euo pipefail

DATADIR=/var/lib/mysql
SOCKET=/run/mysqld/mysqld.sock
TEMPORARY_SERVER_TIMEOUT=30

# Prints the value of variable $1, or of the file that $1_FILE names.
value_of() {
	local name=$1 file_name=${1}_FILE
	if [ -n "${!name-}" ] && [ -n "${!file_name-}" ]; then
		echo "error: both $name and $file_name are set (but are exclusive)" >&2
		exit 1
	fi
	if [ -n "${!file_name-}" ]; then
		cat "${!file_name}"
	else
		printf '%s' "${!name-}"
	fi
}

# MARIADB_$1 and MYSQL_$1 name the same thing; MARIADB_ wins.
setting() {
	local value
	value=$(value_of "MARIADB_$1")
	[ -n "$value" ] || value=$(value_of "MYSQL_$1")
	printf '%s' "${value:-${2-}}"
}

setup_env() {
	ROOT_PASSWORD=$(setting ROOT_PASSWORD)
	ROOT_HOST=$(setting ROOT_HOST %)
	DATABASE=$(setting DATABASE)
	USER_NAME=$(setting USER)
	USER_PASSWORD=$(setting PASSWORD)
}

verify_root_password() {
	if [ -z "$ROOT_PASSWORD" ] && [ -z "$(setting ALLOW_EMPTY_ROOT_PASSWORD)" ]; then
		echo 'Error: Database is uninitialized and password option is not specified' >&2
		exit 1
	fi
}

create_directories() {
	mkdir -p "$DATADIR" "${SOCKET%/*}"
	find "$DATADIR" "${SOCKET%/*}" \! -user mysql -exec chown mysql: '{}' +
}

# The text as the inside of a string literal in single quotes.
sql_escape() {
	local text=${1//\\/\\\\}
	text=${text//$'\n'/\\n}
	printf '%s' "${text//\'/\\\'}"
}

# The password travels in the environment of the client, not in its argv.
process_sql() {
	MYSQL_PWD=${CURRENT_ROOT_PASSWORD-} mariadb --no-defaults --protocol=socket \
		-uroot -hlocalhost --socket="$SOCKET" --default-character-set=utf8mb4 \
		--comments "$@"
}

temporary_server_start() {
	"$@" --skip-networking --default-time-zone=SYSTEM --socket="$SOCKET" \
		--wsrep_on=OFF --expire-logs-days=0 &
	TEMPORARY_PID=$!
	local tries=$((TEMPORARY_SERVER_TIMEOUT * 5))
	until process_sql --database=mysql <<<'SELECT 1' >/dev/null 2>&1; do
		tries=$((tries - 1))
		if [ "$tries" -eq 0 ]; then
			echo 'Unable to start server.' >&2
			exit 1
		fi
		sleep 0.2
	done
}

temporary_server_stop() {
	kill "$TEMPORARY_PID"
	wait "$TEMPORARY_PID"
}

create_healthcheck_user() {
	local password file=$DATADIR/.my-healthcheck.cnf host
	password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	for host in 127.0.0.1 ::1 localhost; do
		process_sql <<<"CREATE USER healthcheck@'$host' IDENTIFIED BY '$password';"
	done
	(umask 077 && printf '[client]\nuser=healthcheck\npassword=%s\n' "$password" >"$file")
}

create_root_users() {
	local password
	password=$(sql_escape "$ROOT_PASSWORD")
	{
		cat <<-'SQL'
			DROP USER IF EXISTS root@'127.0.0.1', root@'::1';
			EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS root@\'', @@hostname, '\'');
			DELETE FROM mysql.global_priv WHERE User = '';
		SQL
		[ "$ROOT_HOST" = localhost ] || cat <<-SQL
			CREATE USER 'root'@'$(sql_escape "$ROOT_HOST")' IDENTIFIED BY '$password';
			GRANT ALL ON *.* TO 'root'@'$(sql_escape "$ROOT_HOST")' WITH GRANT OPTION;
		SQL
		echo "SET PASSWORD FOR 'root'@'localhost' = PASSWORD('$password');"
		echo 'FLUSH PRIVILEGES;'
	} | process_sql
	CURRENT_ROOT_PASSWORD=$ROOT_PASSWORD
}

create_database_and_user() {
	if [ -n "$DATABASE" ]; then
		process_sql <<<"CREATE DATABASE IF NOT EXISTS \`${DATABASE//\`/\`\`}\`;"
	fi
	[ -n "$USER_NAME" ] && [ -n "$USER_PASSWORD" ] || return 0
	local user
	user="'$(sql_escape "$USER_NAME")'@'%'"
	process_sql <<<"CREATE USER $user IDENTIFIED BY '$(sql_escape "$USER_PASSWORD")';"
	[ -z "$DATABASE" ] || process_sql <<<"GRANT ALL ON \`${DATABASE//_/\\_}\`.* TO $user;"
}

process_init_files() {
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sh) echo "$0: running $file"; bash "$file" ;;
		*.sql) echo "$0: running $file"; process_sql --database="$DATABASE" <"$file" ;;
		esac
	done
}

# First start: a temporary server without networking.
initialise() {
	mariadb-install-db --datadir="$DATADIR" --rpm --skip-test-db \
		--auth-root-authentication-method=normal \
		--default-time-zone=SYSTEM --skip-log-bin --expire-logs-days=0
	temporary_server_start "$@"
	create_healthcheck_user
	create_root_users
	create_database_and_user
	process_init_files
	temporary_server_stop
	echo 'MariaDB init process done. Ready for start up.'
}

[ "${1:0:1}" != - ] || set -- mariadbd "$@"
if [ "$1" = mariadbd ] || [ "$1" = mysqld ]; then
	if [ "$(id -u)" = 0 ]; then
		create_directories
		exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
	fi
	if [ ! -d "$DATADIR/mysql" ]; then
		setup_env
		verify_root_password
		initialise "$@"
	fi
fi
exec "$@"
