#!/bin/sh
# `make check-mutants`: the engine and the images that some of the named tests need, then mutants.py. What was started here is
# taken away again. Arguments: parts of names of controls, to try these alone.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
engine_was_up=no

clean_up() {
	status=$?
	trap - EXIT INT TERM
	[ "$engine_was_up" = yes ] || "$ROOT/tests/env/docker.sh" stop || true
	exit "$status"
}

"$ROOT/tests/env/install.sh" build test
docker version >/dev/null 2>&1 && engine_was_up=yes
trap clean_up EXIT
trap 'exit 130' INT TERM
"$ROOT/tests/env/docker.sh" start
"$ROOT/tests/stack/images.sh" build
/usr/bin/python3 "$HERE/mutants.py" "$@"
