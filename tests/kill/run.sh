#!/bin/sh
# `make check-kill`: installs what is missing, starts what is not running, takes away what it started.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}

"$ROOT/tests/env/install.sh" build test
cd "$ROOT"
make -j"$(nproc)" BUILD="$BUILD" all "$BUILD/bin/restore-stager.tar" kill-build
tests/env/with_engine.sh /usr/bin/python3 tests/kill/check_kill.py --build "$BUILD" "$@"
