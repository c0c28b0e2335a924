#!/bin/sh
# Runs the whole suite on real parts: `make check`. Installs what is missing, starts what is not running, and takes
# away again what it started itself. Arguments go to pytest.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
RUN_DIR=${RESTORE_TESTS_RUN:-/run/restore-tests}
engine_was_up=no
rgw_was_up=no

clean_up() {
	status=$?
	trap - EXIT INT TERM
	[ "$rgw_was_up" = yes ] || "$HERE/rgw.sh" stop || true
	[ "$engine_was_up" = yes ] || "$HERE/docker.sh" stop || true
	exit "$status"
}

rgw_answers() {
	[ -e "$RUN_DIR/rgw.env" ] && curl -s -o /dev/null --max-time 2 http://127.0.0.1:7480/
}

"$HERE/install.sh" build test
cd "$ROOT"
make -j"$(nproc)" all build/bin/restore-stager.tar
make -j"$(nproc)" units
make check-unit

docker version >/dev/null 2>&1 && engine_was_up=yes
rgw_answers && rgw_was_up=yes
trap clean_up EXIT
trap 'exit 130' INT TERM
"$HERE/docker.sh" start
"$HERE/rgw.sh" start
tests/env/image.sh
/usr/bin/python3 -m pytest -q --strict-markers -p no:cacheprovider tests/e2e tests/policy "$@"
