#!/bin/bash
# The best hand-made way: one stream through one helper container into staging folders while the stack runs, then a swap
# by renames and both dumps loaded at once, by somebody who knows this one stack: which services need to stop, who owns
# what. No check of the archive but zstd's own, nothing to undo a failed load with.
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
	echo "hand_made_way.sh: timeout: $*" >&2
	return 1
}

# The archive's folders of the volumes lead to staging folders inside of the volumes; the dumps stay in the scratch folder.
start_helper() {
	docker run -d --init --name "$helper" --network none --volumes-from "$app" -v "$SCRATCH:/stage" \
		restore-test/base sleep infinity >/dev/null
	# shellcheck disable=SC2016 # expanded in the container
	docker exec "$helper" sh -euc '
		mkdir -p /stage/app/volumes
		for name in uploads config; do
			mkdir /data/$name/.staging
			ln -s /data/$name/.staging /stage/app/volumes/$name
		done
		chown -R 1000:1000 /stage /data/*/.staging'
}

# As the application's user, so that everything is its own at once.
stage() {
	curl -sS -f --noproxy '*' --aws-sigv4 "aws:amz:$AWS_DEFAULT_REGION:s3" \
		--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
		"$AWS_ENDPOINT_URL/$BUCKET/$KEY" |
		zstd -qdc |
		docker exec -i -u 1000:1000 "$helper" tar -x --keep-directory-symlink -C /stage -f -
}

swap() {
	# shellcheck disable=SC2016 # expanded in the container
	docker exec "$helper" sh -euc '
		for name in uploads config; do
			cd /data/$name
			mkdir .old
			find . -mindepth 1 -maxdepth 1 ! -name .old ! -name .staging -exec mv -t .old "{}" +
			find .staging -mindepth 1 -maxdepth 1 -exec mv -t . "{}" +
			rmdir .staging
		done'
}

load_postgres() {
	docker exec -i "$db" psql -X -q -U stack-admin -d postgres <"$SCRATCH/db/database/pg_dumpall.sql" >/dev/null 2>&1
}

load_mariadb() {
	# shellcheck disable=SC2016 # expanded in the container
	docker exec -i "$maria" sh -c 'MYSQL_PWD=$(cat /run/secrets/maria_root) exec mariadb -uroot' \
		<"$SCRATCH/maria/mariadb_dump/all_databases.sql"
}

load_both() {
	load_postgres &
	local postgres=$!
	load_mariadb
	wait "$postgres"
}

is_healthy() {
	[ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ]
}

db=$(container db)
maria=$(container maria)
app=$(container app)
helper=bench-helper-$PROJECT
trap 'docker rm -f "$helper" >/dev/null 2>&1' EXIT

start_helper
stage
docker stop -t 30 "$app" >/dev/null
swap
load_both
docker start "$app" >/dev/null
until_true is_healthy "$app"
docker exec "$helper" rm -rf /data/uploads/.old /data/config/.old /stage/app /stage/db /stage/maria
