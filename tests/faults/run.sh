#!/bin/sh
# `make check-faults`: installs what is missing, starts what is not running, takes away what it started.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)

"$ROOT/tests/env/install.sh" build test
cd "$ROOT"
make -j"$(nproc)" all build/bin/restore-stager.tar faults-build
tests/env/with_engine.sh /usr/bin/python3 tests/faults/check_faults.py "$@"
