#!/bin/sh
# `make check-engine-faults`: installs what is missing, starts what is not running, takes away what it started.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)

"$ROOT/tests/env/install.sh" build test
cd "$ROOT"
tests/env/with_engine.sh /usr/bin/python3 tests/engine/check_engine_faults.py "$@"
