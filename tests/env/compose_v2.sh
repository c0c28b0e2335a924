#!/bin/sh
# Prints the path of a Compose v2 program. Debian 12 has only docker-compose
# 1.29, so Debian 13's package is unpacked (not installed) into the cache.
set -eu

CACHE_DIR=${RESTORE_TESTS_CACHE:-/var/tmp/restore-tests}
FOLDER=$CACHE_DIR/compose-v2
PROGRAM=$FOLDER/usr/libexec/docker/cli-plugins/docker-compose

mkdir -p "$CACHE_DIR"
exec 9>"$CACHE_DIR/compose-v2.lock"
flock 9
if [ ! -x "$PROGRAM" ]; then
	rm -rf "$FOLDER" "$FOLDER.new"
	mmdebstrap --variant=extract --quiet --include=docker-compose trixie "$FOLDER.new" >&2
	mv "$FOLDER.new" "$FOLDER"
fi
echo "$PROGRAM"
