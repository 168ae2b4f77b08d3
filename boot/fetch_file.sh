#!/bin/sh
# Takes one file out of a Debian package without installing it: fetch_file.sh PACKAGE PATTERN OUT.
# A package that only depends on the real one (linux-image-cloud-amd64) is followed to it.
set -e

package=$1
pattern=$2
out=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd_out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")

download() {
	(cd "$folder" && apt-get download "$1" >/dev/null 2>"$folder/errors")
}

if ! apt-cache show "$package" >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
	apt-get update >/dev/null
fi
real=$(apt-cache depends "$package" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
if ! download "${real:-$package}"; then
	cat "$folder/errors" >&2
	echo "cannot download ${real:-$package}; try: sudo apt-get update" >&2
	exit 1
fi
dpkg-deb --fsys-tarfile "$folder"/*.deb | tar -xf - -C "$folder" --wildcards "$pattern"
cp "$(find "$folder" -path "$folder/${pattern#./}" -type f | sort | tail -n 1)" "$cd_out.tmp"
mv "$cd_out.tmp" "$cd_out"
