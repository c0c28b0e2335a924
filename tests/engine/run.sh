#!/bin/sh
# `make check-engine-faults`: installs what is missing, starts what is not running, takes away what it started.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
ENVIRONMENT=$ROOT/tests/env
engine_was_up=no

clean_up() {
	status=$?
	trap - EXIT INT TERM
	[ "$engine_was_up" = yes ] || "$ENVIRONMENT/docker.sh" stop || true
	exit "$status"
}

"$ENVIRONMENT/install.sh" build test
cd "$ROOT"
docker version >/dev/null 2>&1 && engine_was_up=yes
trap clean_up EXIT
trap 'exit 130' INT TERM
"$ENVIRONMENT/docker.sh" start
tests/stack/images.sh build
/usr/bin/python3 tests/engine/check_engine_faults.py "$@"
