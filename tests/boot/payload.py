#!/usr/bin/env python3
"""Takes the ELF kernel out of a bzImage whose payload is LZ4: payload.py BZIMAGE OUT.

That ELF has the PVH entry point; the bzImage around it has not. The fields are those of the Linux boot
protocol: setup_sects at 1F1h, payload_offset and payload_length at 248h, in 512-byte sectors after the
first. The payload's last four bytes are its unpacked size.
"""
import struct
import subprocess
import sys

LZ4_LEGACY = b"\x02\x21\x4c\x18"


def main(source, target):
    with open(source, "rb") as file:
        image = file.read()
    start = ((image[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[start + offset:start + offset + length - 4]
    if not payload.startswith(LZ4_LEGACY):
        sys.exit(f"{source}: its payload is not LZ4; take a kernel whose payload is")
    elf = subprocess.run(["lz4", "-dc"], input=payload, stdout=subprocess.PIPE, check=True).stdout
    with open(target, "wb") as file:
        file.write(elf)


main(*sys.argv[1:])
