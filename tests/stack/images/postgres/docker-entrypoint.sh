#!/bin/bash
# Start-up of the test stack's PostgreSQL: the behaviour of the official
# image's entrypoint, as far as backups and restores can see it.
set -euo pipefail

# Gives variable $1 its value: its own, that of the file named by $1_FILE, or $2.
file_env() {
	local name=$1 default=${2-} file_name=${1}_FILE
	if [ -n "${!name-}" ] && [ -n "${!file_name-}" ]; then
		echo "error: both $name and $file_name are set (but are exclusive)" >&2
		exit 1
	fi
	local value=${!name-}
	[ -n "$value" ] || [ -z "${!file_name-}" ] || value=$(<"${!file_name}")
	export "$name"="${value:-$default}"
	unset "$file_name"
}

create_directories() {
	mkdir -p "$PGDATA" /var/run/postgresql
	chmod 00700 "$PGDATA" || :
	chmod 03775 /var/run/postgresql || :
	if [ "$(id -u)" = 0 ]; then
		find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
		find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
	fi
}

setup_env() {
	file_env POSTGRES_PASSWORD
	file_env POSTGRES_USER postgres
	file_env POSTGRES_DB "$POSTGRES_USER"
	file_env POSTGRES_INITDB_ARGS
	: "${POSTGRES_HOST_AUTH_METHOD:=}"
}

verify_password() {
	if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
		echo "Error: Database is uninitialized and superuser password is not specified." >&2
		exit 1
	fi
}

# Local and loopback connections are trusted by initdb's defaults; everyone
# else has to show a password.
init_database_dir() {
	local -a extra
	read -ra extra <<<"$POSTGRES_INITDB_ARGS"
	initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
		"${extra[@]}"
	local method=${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption)}
	printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

process_sql() {
	PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc \
		--username "$POSTGRES_USER" "$@"
}

create_database() {
	local exists
	exists=$(process_sql --dbname postgres -v db="$POSTGRES_DB" --tuples-only \
		<<<"SELECT 1 FROM pg_database WHERE datname = :'db';")
	[ -n "$exists" ] ||
		process_sql --dbname postgres -v db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
}

process_init_files() {
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sh) echo "$0: running $file"; bash "$file" ;;
		*.sql) echo "$0: running $file"; process_sql --dbname "$POSTGRES_DB" -f "$file" ;;
		esac
	done
}

# First start: a temporary server that listens on the unix socket alone.
initialise() {
	init_database_dir
	export PGPASSWORD=$POSTGRES_PASSWORD
	pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
	create_database
	process_init_files
	pg_ctl -D "$PGDATA" -m fast -w stop
	unset PGPASSWORD
	echo 'PostgreSQL init process complete; ready for start up.'
}

[ "${1:0:1}" != - ] || set -- postgres "$@"
if [ "$1" = postgres ]; then
	create_directories
	if [ "$(id -u)" = 0 ]; then
		exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
	fi
	setup_env
	if [ -s "$PGDATA/PG_VERSION" ]; then
		echo 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
	else
		verify_password
		initialise
	fi
fi
exec "$@"
