"""The hypervisor's memory by part: the image by folder, from the linker's map, and what a host has taken, by `mem`."""
import collections
import os
import re

KINDS = ("text", "rodata", "data", "bss")
IMAGE = 0xffffffff80000000
# A section's name stands on a line of its own when it is long.
PIECE = re.compile(r"^ (\.[\w.]+|COMMON)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)


def _part(path):
    """The folder of an object, or the library it is from."""
    library = re.match(r"(?:.*/)?(\w+)\.a\(", path)
    return library.group(1) if library else os.path.dirname(path.split("build/")[-1])


def _kind(section):
    name = section.split(".")[1] if section.startswith(".") else "bss"
    return name if name in KINDS else "rodata" if name.startswith("rodata") else "data"


def image(build):
    """{part: {kind: bytes}} of gnomon.elf."""
    with open(os.path.join(build, "gnomon.debug.elf.map")) as text:
        pieces = PIECE.findall(text.read())
    parts = collections.defaultdict(collections.Counter)
    for section, address, size, path in pieces:
        if int(address, 16) >= IMAGE:
            parts[_part(path)][_kind(section)] += int(size, 16)
    return parts


def _row(out, what, counts):
    out.line(f"{what:<24}" + "".join(f"{(counts[kind] + 512) // 1024:>10,}" for kind in KINDS)
             + f"{(sum(counts.values()) + 512) // 1024:>10,}")


def report(out, build, measured):
    """measured: what net.measure returned."""
    parts = image(build)
    out.title("The hypervisor's image by folder and library, KiB")
    out.line(f"{'':<24}" + "".join(f"{kind:>10}" for kind in KINDS) + f"{'all':>10}")
    for part in sorted(parts, key=lambda name: -sum(parts[name].values())):
        _row(out, part, parts[part])
    _row(out, "all", sum(parts.values(), collections.Counter()))
    if not measured:
        return
    out.title("Memory of a host of 512 MiB with one tiny guest of 128 MiB, the network and HTTP on: `mem`")
    for line in measured[2].splitlines()[1:-1]:
        out.line(line.rstrip())
