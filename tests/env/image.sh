#!/bin/sh
# Builds the restore container's image, restore:local. What has not changed
# since the last time is taken from the cache, so that a second run takes
# about a second.
#
# BASE_IMAGE=debian:bookworm-slim builds on that image and needs Docker alone;
# without it the test stack's base is used, which is made from the host's own
# package sources, and what that needs is installed and started.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
RUN_DIR=${RESTORE_TESTS_RUN:-/run/restore-tests}
LOG_FILE=$RUN_DIR/image.log
IMAGE=restore:local
# A tag keeps the build stage, our cache, from being pruned with untagged images.
BUILD_STAGE=restore:build
# The build stage has it from the Dockerfile.
LABEL=restore.build=true

make_base() {
	"$ROOT/tests/env/install.sh" test
	"$ROOT/tests/env/docker.sh" start
	"$ROOT/tests/stack/images.sh" build
}

build() {
	DOCKER_BUILDKIT=0 docker build --force-rm --network host \
		--build-arg BASE_IMAGE="${BASE_IMAGE:-restore-test/base}" "$@" "$ROOT" >"$LOG_FILE" 2>&1 ||
		{ tail -40 "$LOG_FILE" >&2; echo "image.sh: building failed; see $LOG_FILE" >&2; return 1; }
}

mkdir -p "$RUN_DIR"
exec 9>"$RUN_DIR/image.lock"
flock 9
[ -n "${BASE_IMAGE-}" ] || make_base
build --target build -t "$BUILD_STAGE"
build --label "$LABEL" -t "$IMAGE"
container=$(docker create "$IMAGE")
mkdir -p "$ROOT/build"
docker cp "$container:/usr/share/restore/sbom.spdx.json" "$ROOT/build/" >/dev/null
docker rm "$container" >/dev/null
docker image prune -f --filter "label=$LABEL" >/dev/null
echo "$IMAGE $(docker image inspect -f '{{.Id}} {{.Size}}' "$IMAGE") bytes"
