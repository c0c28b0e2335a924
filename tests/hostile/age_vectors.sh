#!/bin/sh
# Brings age's published test vectors (C2SP/CCTV, in the package that their authors make) into a directory.
#
#   age_vectors.sh DIR     makes DIR/index.js; does nothing where it is
set -eu

version=0.2.0
sha256=94a2a220a95b158a69997e84405bb5d4ef84adf05d15bf341b83ec3ba9dd846e

dir=$1
mkdir -p "${dir%/*}"
exec 9>"$dir.lock" # one fetches, others wait for it
flock 9
[ ! -e "$dir/index.js" ] || exit 0
command -v npm >/dev/null || "$(dirname "$0")/../env/install.sh" vectors
rm -rf "$dir"
mkdir -p "$dir/part"
cd "$dir/part"
npm pack --silent "cctv-age@$version" >/dev/null
echo "$sha256  cctv-age-$version.tgz" | sha256sum -c --quiet
tar -xzf "cctv-age-$version.tgz" --strip-components=1 package/index.js
mv index.js ../index.js
cd ..
rm -rf part
