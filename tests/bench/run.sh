#!/bin/sh
# Runs the benchmarks on real parts: `make bench` and `make bench-quick`. Installs what is missing, starts what is not
# running, and takes away again what it started itself. Arguments go to bench.py.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ENV_DIR=$HERE/../env
ROOT=$(cd "$HERE/../.." && pwd)
RUN_DIR=${RESTORE_TESTS_RUN:-/run/restore-tests}
engine_was_up=no
rgw_was_up=no

clean_up() {
	status=$?
	trap - EXIT INT TERM
	[ "$rgw_was_up" = yes ] || "$ENV_DIR/rgw.sh" stop || true
	[ "$engine_was_up" = yes ] || "$ENV_DIR/docker.sh" stop || true
	exit "$status"
}

rgw_answers() {
	[ -e "$RUN_DIR/rgw.env" ] && curl -s -o /dev/null --max-time 2 http://127.0.0.1:7480/
}

mkdir -p "$RUN_DIR"
exec 8>"$RUN_DIR/bench.lock"
flock -n 8 || { echo 'bench: another benchmark runs; two at once would measure each other' >&2; exit 1; }

"$ENV_DIR/install.sh" build test
cd "$ROOT"
make -s -j"$(nproc)" all

docker version >/dev/null 2>&1 && engine_was_up=yes
rgw_answers && rgw_was_up=yes
trap clean_up EXIT
trap 'exit 130' INT TERM
"$ENV_DIR/docker.sh" start 8>&-
"$ENV_DIR/rgw.sh" start 8>&-
tests/stack/images.sh build 8>&-
/usr/bin/python3 "$HERE/bench.py" "$@" 8>&-
