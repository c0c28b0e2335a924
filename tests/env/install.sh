#!/bin/sh
# Installs the Debian packages that building, testing or linting needs, and
# only those that are missing, so that a second run costs milliseconds.
#
#   install.sh build|test|lint ...     one or more groups
#
# No service is started by the installation: while apt runs, a policy-rc.d
# forbids it (one that exists already is left as it is).
set -eu

packages_of() {
	case $1 in
	build)
		# libacl1-dev and libattr1-dev: libarchive is linked statically
		# into the stager.
		echo gcc libc6-dev make pkg-config binutils \
			libcurl4-openssl-dev libzstd-dev zlib1g-dev liblzma-dev libarchive-dev \
			libseccomp-dev libcjson-dev libexpat1-dev libssl-dev \
			libacl1-dev libattr1-dev ca-certificates
		;;
	test)
		echo libcmocka-dev python3 python3-pytest python3-cryptography \
			docker.io docker-compose mmdebstrap ca-certificates \
			radosgw ceph-mon ceph-osd ceph-common \
			awscli minisign age zstd tar xz-utils attr acl iproute2 openssl curl procps util-linux strace haproxy python3-prometheus-client
		;;
	vectors)
		echo npm
		;;
	lint)
		echo clang clang-format clang-tidy libclang-rt-14-dev shellcheck
		;;
	*)
		echo "install.sh: unknown group '$1' (build, test, vectors, lint)" >&2
		exit 2
		;;
	esac
}

missing_of() {
	installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
		sed -n 's/ installed$//p' || true)
	for package in "$@"; do
		echo "$installed" | grep -qxF "$package" || printf '%s ' "$package"
	done
}

forbid_service_starts() {
	policy=/usr/sbin/policy-rc.d
	[ ! -e "$policy" ] || return 0
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
}

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

[ $# -gt 0 ] || { echo "usage: install.sh build|test|lint ..." >&2; exit 2; }
wanted=
for group in "$@"; do
	wanted="$wanted $(packages_of "$group")"
done
# shellcheck disable=SC2086 # lists of package names
missing=$(missing_of $wanted)
[ -n "$missing" ] || exit 0

echo "installing: $missing"
forbid_service_starts
apt update
# shellcheck disable=SC2086
apt install --no-install-recommends $missing
