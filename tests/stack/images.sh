#!/bin/bash
# Builds the images of the test stack from Debian's packages: restore-test/base,
# postgres, mariadb and app. An image whose inputs have not changed is kept.
#
#   images.sh build      builds what is missing or outdated
#   images.sh remove     removes the four images (not those that a container uses)
#
# BASE_IMAGE=debian:bookworm-slim pulls that instead of bootstrapping.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
CACHE_DIR=${RESTORE_TESTS_CACHE:-/var/tmp/restore-tests}
RUN_DIR=${RESTORE_TESTS_RUN:-/run/restore-tests}
SERVICE_IMAGES='postgres mariadb app'
LABEL=restore-test.inputs
SUITE=bookworm

# What an image is made of, as one word: this script and the image's folder.
inputs_of() {
	{
		echo "${BASE_IMAGE:-mmdebstrap}"
		sha256sum <"$HERE/images.sh"
		[ "$1" = base ] || (cd "$HERE/images/$1" && find . -type f -exec sha256sum '{}' + | sort)
	} | sha256sum | cut -c1-16
}

is_current() {
	local have
	have=$(docker image inspect -f "{{index .Config.Labels \"$LABEL\"}}" \
		"restore-test/$1" 2>/dev/null) || return 1
	[ "$have" = "$(inputs_of "$1")" ]
}

# The host's own Debian sources, so that a machine with a mirror uses it.
bootstrap_base() {
	local tarball=$1 sources=/etc/apt/sources.list.d/debian.sources
	local -a mirror=()
	[ ! -e "$sources" ] || mirror=("$sources")
	mmdebstrap --variant=minbase --quiet --mode=root \
		--dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		"$SUITE" "$tarball.new.tar" "${mirror[@]}"
	mv "$tarball.new.tar" "$tarball"
}

build_base() {
	local label tarball
	label="LABEL $LABEL=$(inputs_of base)"
	tarball=$CACHE_DIR/base-$(inputs_of base).tar
	if [ -n "${BASE_IMAGE-}" ]; then
		printf 'FROM %s\n%s\n' "$BASE_IMAGE" "$label" |
			DOCKER_BUILDKIT=0 docker build -q -t restore-test/base -
		return
	fi
	if [ ! -e "$tarball" ]; then
		rm -f "$CACHE_DIR"/base-*.tar
		bootstrap_base "$tarball"
	fi
	docker import --change "$label" --change 'CMD ["/bin/sh"]' "$tarball" restore-test/base
}

build_service() {
	DOCKER_BUILDKIT=0 docker build -q --network host --label "$LABEL=$(inputs_of "$1")" \
		-t "restore-test/$1" "$HERE/images/$1" 2>&1 ||
		{ echo "images.sh: building $1 failed" >&2; return 1; }
}

build_all() {
	local name failed=0
	local -a jobs=()
	mkdir -p "$CACHE_DIR"
	is_current base || build_base
	for name in $SERVICE_IMAGES; do
		is_current "$name" || { build_service "$name" & jobs+=($!); }
	done
	for job in "${jobs[@]}"; do
		wait "$job" || failed=1
	done
	return "$failed"
}

# Outdated images lose their tag when they are built anew; the label finds them.
remove_outdated() {
	docker image prune -f --filter "label=$LABEL" >/dev/null
}

remove_all() {
	local name
	for name in $SERVICE_IMAGES base; do
		docker image rm "restore-test/$name" >/dev/null 2>&1 || :
	done
	remove_outdated
}

mkdir -p "$RUN_DIR"
exec 9>"$RUN_DIR/images.lock"
flock 9
case ${1-} in
build) build_all && remove_outdated ;;
remove) remove_all ;;
*) echo 'usage: images.sh build|remove' >&2; exit 2 ;;
esac
