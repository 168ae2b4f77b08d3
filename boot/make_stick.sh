#!/bin/sh
# Makes the image of a stick without root: GPT, one FAT partition.
#   make_stick.sh OUT PATH=FILE...     each FILE is copied to PATH on the stick
# The same files give the same image, byte for byte.
set -e

out=$1
shift

kib=0
for pair in "$@"; do
	file=${pair#*=}
	[ -r "$file" ] || { echo "make_stick.sh: there is no file $file" >&2; exit 1; }
	kib=$((kib + ($(stat -L -c %s "$file") + 1023) / 1024 + 64))
done
# Room for as much again, for kernels of one's own; FAT wants a few MiB at least.
mib=$((kib / 512 + 16))

export MTOOLS_SKIP_CHECK=1 SOURCE_DATE_EPOCH=946684800 TZ=UTC
rm -f "$out.tmp"
truncate -s "$((mib + 2))M" "$out.tmp"
sgdisk -o -U 9f1a3c52-0d64-4b7e-8a53-6e6f6d6f6e01 -n "1:2048:$((2048 + mib * 2048 - 1))" -t 1:ef00 -c 1:GNOMON \
	-u 1:9f1a3c52-0d64-4b7e-8a53-6e6f6d6f6e02 "$out.tmp" >/dev/null
# mkfs.vfat warns that the file goes on behind the file system: the second GPT lies there.
said=$(mkfs.vfat --invariant -i 474e4f4d -n GNOMON --offset 2048 "$out.tmp" "$((mib * 1024))" 2>&1) || {
	echo "$said" >&2
	exit 1
}

fat="$out.tmp@@1M"
made=" / "
make_folders() {
	folder=$(dirname "$1")
	case "$made" in *" $folder "*) return ;; esac
	make_folders "$folder"
	folder=$(dirname "$1")
	mmd -i "$fat" "::$folder"
	made="$made$folder "
}
for pair in "$@"; do
	path=${pair%%=*}
	make_folders "$path"
	mcopy -i "$fat" "${pair#*=}" "::$path"
done
mv "$out.tmp" "$out"
