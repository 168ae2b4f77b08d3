#!/bin/sh
# Takes one file out of a Debian package without installing it: fetch_file.sh PACKAGE PATTERN OUT [SUITE].
# A package that only depends on the real one (linux-image-cloud-amd64) is followed to it. With SUITE,
# bookworm-backports say, the package comes from there, which the machine's own apt may know nothing of: apt is
# then given that suite of the mirror it has bookworm from, with lists and cache of their own.
set -e

package=$1
pattern=$2
out=$3
suite=$4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd_out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")

options=
if [ -n "$suite" ]; then
	mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
	keys=/usr/share/keyrings/debian-archive-keyring.gpg
	apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)' |
		sed -n "s|^Packages \(.*\) ${suite%-backports} main\$|deb [signed-by=$keys] \1 $suite main|p" |
		sort -u >"$folder/sources.list"
	options="-o Dir::Etc::SourceList=$folder/sources.list -o Dir::Etc::SourceParts=/dev/null
		-o Dir::State::Lists=$folder/lists -o Dir::Cache=$folder/cache -o Acquire::Languages=none"
	apt-get -qq $options update
fi

download() {
	(cd "$folder" && apt-get $options download "$1" >/dev/null 2>"$folder/errors")
}

if ! apt-cache $options show "$package" >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
	apt-get $options update >/dev/null
fi
real=$(apt-cache $options depends "$package" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
if ! download "${real:-$package}"; then
	cat "$folder/errors" >&2
	echo "cannot download ${real:-$package}${suite:+ of $suite}; try: sudo apt-get update" >&2
	exit 1
fi
dpkg-deb --fsys-tarfile "$folder"/*.deb | tar -xf - -C "$folder" --wildcards "$pattern"
cp "$(find "$folder" -path "$folder/${pattern#./}" -type f | sort | tail -n 1)" "$cd_out.tmp"
mv "$cd_out.tmp" "$cd_out"
