#!/bin/sh
# Unpacks the source of a Debian package, with Debian's patches: debian_source.sh PACKAGE FOLDER.
# The machine's own apt may know no deb-src entries, so apt is given a configuration of ours for this one
# download: the Debian mirrors it has, as sources, with lists and cache of their own.
set -e

package=$1
out=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$(dirname "$out")"

mirrors() {
	apt-get indextargets --format '$(ORIGIN) $(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)' |
		sed -n 's/^Debian Packages //p' | grep ' main$' | sort -u
}

[ -n "$(mirrors)" ] || [ "$(id -u)" -ne 0 ] || apt-get update >/dev/null
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mirrors | sed "s|^|deb-src [signed-by=$keys] |" >"$folder/sources.list"
if ! [ -s "$folder/sources.list" ]; then
	echo "apt knows no Debian mirror to take the source of $package from; try: sudo apt-get update" >&2
	exit 1
fi

apt() {
	(cd "$folder" && apt-get -qq -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Acquire::Languages=none "$@")
}
if ! { apt update && apt source --download-only "$package"; } >"$folder/messages" 2>&1; then
	cat "$folder/messages" >&2
	echo "cannot download the source of $package" >&2
	exit 1
fi
dpkg-source --no-check -x "$folder/$package"_*.dsc "$folder/source" >/dev/null
rm -rf "$out"
mv "$folder/source" "$out"
