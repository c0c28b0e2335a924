#!/bin/sh
# Runs a command with a Docker Engine and the test stack's images: starts what is not running, takes away what it started.
#
#   with_engine.sh COMMAND [ARGUMENT...]
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
engine_was_up=no

clean_up() {
	status=$?
	trap - EXIT INT TERM
	[ "$engine_was_up" = yes ] || "$HERE/docker.sh" stop || true
	exit "$status"
}

docker version >/dev/null 2>&1 && engine_was_up=yes
trap clean_up EXIT
trap 'exit 130' INT TERM
"$HERE/docker.sh" start
"$HERE/../stack/images.sh" build
"$@"
