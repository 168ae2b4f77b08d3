#!/bin/sh
# Builds newlib's C library from Debian's newlib-source into the folder $1: $1/libc.a and $1/include.
#
# One archive serves the hypervisor (linked static at -2 GiB) and gnomon.efi (a shared object):
# position-independent code links either way. Only general registers are used, so files that need
# floating point do not compile; they are left out, which is why make is told to keep going.
set -e

out=$1
tarball=$(ls /usr/src/newlib/newlib-*.tar.xz)
rm -rf "$out"
mkdir -p "$out/src" "$out/obj"
out=$(cd "$out" && pwd)
tar -xf "$tarball" -C "$out/src" --strip-components=1

cd "$out/obj"
"$out/src/newlib/configure" --host=x86_64-elf --disable-multilib --disable-newlib-supplied-syscalls \
	--disable-newlib-multithread --disable-newlib-wide-orient \
	CC=gcc AR=ar AS=as RANLIB=ranlib \
	CFLAGS="-O2 -g -ffreestanding -fPIC -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
		-fcf-protection=none -fno-asynchronous-unwind-tables \
		-isystem $out/obj/targ-include -isystem $out/src/newlib/libc/include" >configure.log 2>&1
make stmp-targ-include >make.log 2>&1
make -C libc -k -j2 >>make.log 2>&1 || true

cp -r "$out/src/newlib/libc/include" "$out/include"
cp -r "$out/obj/targ-include/." "$out/include/"
# Where the machine folder has its own version of a function, the portable one is replaced by it.
find libc -name '*.o' ! -path 'libc/machine/*' | xargs ar rcs "$out/libc.tmp"
find libc/machine -name '*.o' | xargs ar rcs "$out/libc.tmp"

# What the hypervisor and gnomon.efi link must be there, or the build of newlib itself went wrong.
for symbol in memcpy memmove memset memcmp strlen strtoul sniprintf vsniprintf; do
	nm -A --defined-only "$out/libc.tmp" | grep -q " T $symbol\$" || {
		echo "newlib: $symbol was not built; see $out/obj/make.log" >&2
		exit 1
	}
done
rm -rf "$out/src"
mv "$out/libc.tmp" "$out/libc.a"
