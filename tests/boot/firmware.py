#!/usr/bin/env python3
"""
Debian's OVMF without the drivers that no boot case in Bochs needs: most of a power-on there is the firmware
unpacking itself. firmware.py FROM TO writes one that unpacks a quarter; all that is left is as it was.

A firmware file has volumes of files of sections (UEFI Platform Initialization Specification, volume 3). One file holds
the drivers' volume, compressed: it is unpacked, loses files, and goes back to its place.
"""
import lzma
import struct
import sys

UNNEEDED = set("""
    Shell tftpDynamicCommand httpDynamicCommand LinuxInitrdDynamicShellCommand
    DpcDxe SnpDxe VlanConfigDxe MnpDxe ArpDxe Dhcp4Dxe Ip4Dxe Udp4Dxe Mtftp4Dxe Dhcp6Dxe Ip6Dxe Udp6Dxe Mtftp6Dxe TcpDxe
    UefiPxeBcDxe TlsDxe TlsAuthConfigDxe DnsDxe HttpDxe HttpUtilitiesDxe HttpBootDxe IScsiDxe VirtioNetDxe
    VirtioPciDeviceDxe Virtio10 VirtioBlkDxe VirtioScsiDxe VirtioRngDxe VirtioFsDxe VirtioGpuDxe
    ScsiBus ScsiDisk NvmExpressDxe XhciDxe UdfDxe RamDiskDxe QemuVideoDxe QemuRamfbDxe LogoDxe
    BootGraphicsResourceTableDxe SecureBootConfigDxe TcgDxe Tcg2Dxe Tcg2PlatformDxe Tcg2ConfigDxe
    SetupBrowser DisplayEngine UiApp DriverHealthManagerDxe BootScriptExecutorDxe EbcDxe
""".split())

LZMA_GUID = bytes.fromhex("98584eee143959429d6edc7bd79403cf")
GUIDED, NAME, VOLUME = 0x02, 0x15, 0x17  # kinds of sections
PAD = 0xf0                               # a kind of file
FILTER = {"id": lzma.FILTER_LZMA1, "dict_size": 8 << 20, "lc": 3, "lp": 0, "pb": 2}


def sections(data, at, end):
    """(where, kind, size) of each; sizes of 16 MiB and more do not occur."""
    while at + 4 <= end:
        size = int.from_bytes(data[at:at + 3], "little")
        if size < 4 or at + size > end:
            raise ValueError(f"a section at {at:#x} has {size} bytes")
        yield at, data[at + 3], size
        at = (at + size + 3) & ~3


def volumes(data):
    """(where, size) of each."""
    at = 0
    while at + 56 <= len(data):
        size = struct.unpack_from("<Q", data, at + 32)[0]
        if data[at + 40:at + 44] == b"_FVH":
            yield at, size
            at += size
        else:
            at += 16


def files(volume):
    """(where, kind, size) of each file of a volume."""
    header, extended = struct.unpack_from("<H2xH", volume, 48)
    at = header
    if extended:
        at = (extended + struct.unpack_from("<I", volume, extended + 16)[0] + 7) & ~7
    while at + 24 <= len(volume) and volume[at:at + 24] != b"\xff" * 24:
        size = int.from_bytes(volume[at + 20:at + 23], "little")
        if size < 24 or at + size > len(volume):
            raise ValueError(f"a file at {at:#x} has {size} bytes")
        yield at, volume[at + 18], size
        at = (at + size + 7) & ~7


def name_of(volume, at, size):
    for where, kind, length in sections(volume, at + 24, at + size):
        if kind == NAME:
            return volume[where + 4:where + length].decode("utf-16").rstrip("\0")
    return None


def without_unneeded(volume):
    """The volume with its other files moved together, and no longer than they need."""
    kept = [(at, size) for at, kind, size in files(volume)
            if kind == PAD or name_of(volume, at, size) not in UNNEEDED]
    out = bytearray(volume[:kept[0][0]])
    for at, size in kept:
        out += b"\xff" * (-len(out) % 8) + volume[at:at + size]
    block = struct.unpack_from("<I", volume, 60)[0]
    out += b"\xff" * (32 + -(len(out) + 32) % block)
    struct.pack_into("<Q", out, 32, len(out))
    struct.pack_into("<I", out, 56, len(out) // block)
    header = struct.unpack_from("<H", out, 48)[0]
    struct.pack_into("<H", out, 50, 0)
    struct.pack_into("<H", out, 50, -sum(struct.unpack_from(f"<{header // 2}H", out)) & 0xffff)
    return bytes(out)


def smaller(unpacked):
    """The sections that the firmware unpacks, the last of which is the drivers' volume."""
    *_, (at, kind, size) = sections(unpacked, 0, len(unpacked))
    if kind != VOLUME:
        raise ValueError("the last section is no volume")
    volume = without_unneeded(unpacked[at + 4:at + size])
    return unpacked[:at] + (len(volume) + 4).to_bytes(3, "little") + bytes([VOLUME]) + volume


def compress(data):
    """As the firmware wants it: with the size, which Python's module leaves open."""
    packed = lzma.compress(data, lzma.FORMAT_ALONE, filters=[FILTER])
    return packed[:5] + struct.pack("<Q", len(data)) + packed[13:]


def replaced(firmware, at, size):
    """A compressed section; what it no longer needs of its place is zeros."""
    offset = struct.unpack_from("<H", firmware, at + 20)[0]
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
    packed = compress(smaller(decoder.decompress(firmware[at + offset:at + size])))
    if len(packed) > size - offset:
        raise ValueError("it has grown")
    return firmware[:at + offset] + packed + bytes(size - offset - len(packed)) + firmware[at + size:]


def trimmed(firmware):
    for start, length in volumes(firmware):
        for at, kind, size in files(firmware[start:start + length]):
            first = start + at + 24
            if kind != PAD and firmware[first + 3] == GUIDED and firmware[first + 4:first + 20] == LZMA_GUID:
                return replaced(firmware, first, int.from_bytes(firmware[first:first + 3], "little"))
    raise ValueError("it has no compressed volume")


def main():
    with open(sys.argv[1], "rb") as file:
        firmware = file.read()
    try:
        firmware = trimmed(firmware)
    except (ValueError, struct.error, lzma.LZMAError) as error:
        print(f"{sys.argv[1]} is taken as it is: {error}")
    with open(sys.argv[2], "wb") as file:
        file.write(firmware)


if __name__ == "__main__":
    main()
