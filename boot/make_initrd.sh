#!/bin/sh
# Packs the sample guest's initramfs: make_initrd.sh OUT INIT [FILE...]. Debian's busybox, the init script, and
# the files in /bin; nothing else.
set -e

out=$1
init=$2
shift 2
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

mkdir -p "$tree/bin"
cp /bin/busybox "$tree/bin/busybox"
cp "$init" "$tree/init"
[ $# -eq 0 ] || cp "$@" "$tree/bin"
chmod 755 "$tree/init" "$tree/bin/busybox"
# One time for all files: the same sources give the same image.
find "$tree" -exec touch -h -d @946684800 {} +
(cd "$tree" && find . | LC_ALL=C sort | busybox cpio -o -H newc) >"$out.tmp" 2>/dev/null
mv "$out.tmp" "$out"
