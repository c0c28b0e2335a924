#!/bin/sh
# `make check-audit`: installs what is missing, starts what is not running, takes away what it started.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)

"$ROOT/tests/env/install.sh" build test
cd "$ROOT"
make -j"$(nproc)" all
tests/env/with_engine.sh /usr/bin/python3 tests/audit/check_audit.py
