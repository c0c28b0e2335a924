#!/bin/bash
# The shell way of restoring the test stack, as a competent operator writes it: download and check before anything is
# stopped, no sleeps but short polls. Nothing can be undone after the volumes are cleared.
#
# PROJECT, BUCKET, KEY, SCRATCH and AWS_* come from the environment.
set -euo pipefail

container() {
	docker ps -aq --filter "label=com.docker.compose.project=$PROJECT" --filter "label=com.docker.compose.service=$1"
}

until_true() {
	for _ in $(seq 600); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	echo "shell_way.sh: timeout: $*" >&2
	return 1
}

download() {
	/usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" s3 cp --only-show-errors "s3://$BUCKET/$KEY" "$SCRATCH/archive.tar.zst"
	zstd -tq "$SCRATCH/archive.tar.zst"
	mkdir "$SCRATCH/tree"
	tar -I zstd -xf "$SCRATCH/archive.tar.zst" -C "$SCRATCH/tree"
}

in_volumes() {
	docker run --rm --name "bench-helper-$PROJECT" --volumes-from "$app" --network none restore-test/base "$@"
}

restore_volumes() {
	in_volumes find /data/uploads /data/config -mindepth 1 -delete
	docker cp "$SCRATCH/tree/app/volumes/uploads/." "$app:/data/uploads/"
	docker cp "$SCRATCH/tree/app/volumes/config/." "$app:/data/config/"
	in_volumes find /data/uploads /data/config -mindepth 1 -exec chown -h 1000:1000 '{}' +
}

# The dump drops and creates the role it is loaded by: these errors are expected, so errors do not end the client.
load_postgres() {
	until_true docker exec "$db" pg_isready -q -h 127.0.0.1
	docker exec -i "$db" psql -X -q -U stack-admin -d postgres <"$SCRATCH/tree/db/database/pg_dumpall.sql" >/dev/null 2>&1
}

load_mariadb() {
	until_true docker exec "$maria" healthcheck.sh
	# shellcheck disable=SC2016 # expanded in the container
	docker exec -i "$maria" sh -c 'MYSQL_PWD=$(cat /run/secrets/maria_root) exec mariadb -uroot' \
		<"$SCRATCH/tree/maria/mariadb_dump/all_databases.sql"
}

is_healthy() {
	[ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ]
}

db=$(container db)
maria=$(container maria)
app=$(container app)
cache=$(container cache)

download
docker stop -t 30 "$app" "$cache" "$db" "$maria" >/dev/null
restore_volumes
docker start "$db" "$maria" >/dev/null
load_postgres
load_mariadb
docker start "$cache" "$app" >/dev/null
until_true is_healthy "$app"
rm -rf "$SCRATCH/tree" "$SCRATCH/archive.tar.zst"
