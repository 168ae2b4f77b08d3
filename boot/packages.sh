#!/bin/sh
# Makes sure the named Debian packages are installed: installs them when root, names the command otherwise.
set -e

missing=
for package in "$@"; do
	state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
	[ "$state" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "These Debian packages are missing; install them with:" >&2
	echo "  sudo apt-get install$missing" >&2
	exit 1
fi

echo "Installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
install="apt-get install -y --no-install-recommends"
$install $missing >/dev/null 2>&1 || { apt-get update && $install $missing; }
