#!/bin/sh
# The end-to-end suite with every run of `restore` in the hardened container: read-only root, no capabilities, no new
# privileges, 64 processes, 128 MiB; first as root, then as an ordinary user with the socket's group. A sandbox violation
# fails the test in which it happens (tests/e2e/harness.py). Ends in `N passed, N failed`. Arguments: modules, instead of all.
#
# The modules are those whose runs end by themselves. Those that signal processes, look into /proc or drive one worker alone
# (recovery, kill, confinement, secrets, single workers) run the same binaries outside.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
MODULES='volumes integrity databases physical s3 archives formats plan choice moves'
[ $# -eq 0 ] || MODULES=$*
cd "$ROOT"
tests/env/install.sh build test
tests/env/docker.sh start
tests/env/rgw.sh start
tests/env/image.sh
files=
for module in $MODULES; do
	files="$files tests/e2e/test_$module.py"
done
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for identity in container container-user; do
	echo "as $identity:"
	# shellcheck disable=SC2086 # a list of files
	RESTORE_RUNNER=$identity /usr/bin/python3 -m pytest -q --strict-markers -p no:cacheprovider $files >"$log" 2>&1 || true
	cat "$log"
	last=$(grep -E '(passed|failed|error)' "$log" | tail -1)
	count() { echo "$last" | sed -nE "s/.*\b([0-9]+) $1.*/\1/p" | grep . || echo 0; }
	passed=$((passed + $(count passed)))
	failed=$((failed + $(count failed) + $(count error)))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
