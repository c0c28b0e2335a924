#!/bin/sh
# Brings libarchive's and zstd's own test files into a directory: the source packages of the Debian release that is
# installed, by apt-get and checked by its signatures. Nothing of the system's package lists is touched.
#
#   corpora.sh DIR     makes DIR/libarchive (files as uuencoded text) and DIR/zstd; does nothing where they are
set -eu

dir=$1
mkdir -p "${dir%/*}"
exec 9>"$dir.lock" # one fetches, others wait for it
flock 9
[ ! -e "$dir/complete" ] || exit 0
rm -rf "$dir"
mkdir -p "$dir/sources" "$dir/lists/partial" "$dir/packages" "$dir/libarchive" "$dir/zstd"
dir=$(cd "$dir" && pwd)

# The sources that the system has, asked for source packages.
for file in /etc/apt/sources.list.d/*.sources; do
	[ ! -e "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"$dir/sources/${file##*/}"
done
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
	[ ! -e "$file" ] || sed -n 's/^deb /deb-src /p' "$file" >"$dir/sources/${file##*/}.list"
done

private_apt() {
	apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$dir/sources" \
		-o "Dir::State::lists=$dir/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Sandbox::User=root "$@" >>"$dir/apt.log" 2>&1 || { tail "$dir/apt.log" >&2; exit 1; }
}

private_apt update
cd "$dir/packages"
private_apt source --download-only libarchive libzstd
tar -xf libarchive_*.orig.tar.?z -C "$dir/libarchive" --strip-components=1 --wildcards '*.uu'
tar -xf libzstd_*.orig.tar.?z -C "$dir/zstd" --strip-components=2 --wildcards '*/tests/golden-*'
rm -rf "$dir/packages" "$dir/lists"
: >"$dir/complete"
