#!/bin/sh
# `make check-image`: builds restore:local and checks it (tests/e2e/test_image.py); prints every file with its package. Each
# file and each rule counts as one.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT"
tests/env/image.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT
/usr/bin/python3 -m pytest -v -s --strict-markers -p no:cacheprovider tests/e2e/test_image.py >"$log" 2>&1 || true
grep -v '^$' "$log"
files=$(grep -cE '^ *[0-9]+ [^ ]+ [^ ]+  /' "$log" || true)
count() { tail -1 "$log" | sed -nE "s/.*\b([0-9]+) $1.*/\1/p" | grep . || echo 0; }
failed=$(($(count failed) + $(count error)))
[ "$failed" -eq 0 ] || files=0
echo "$(($(count passed) + files)) passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$files" -gt 0 ]
