"""Debian's unmodified kernel to a shell, and out of it again. Few: each takes a minute in Debian's Bochs."""
from case import Case, Expect, Send

FILES = {"/guests/vmlinuz": "guests/vmlinuz", "/guests/initrd": "guests/initrd"}


def conf(vcpus, head="", more=""):
    # The kernel's self-tests of its crypto code are half of its boot; quiet saves console output.
    return (f"{head}[vm linux]\nkernel = /guests/vmlinuz\ninitrd = /guests/initrd\n"
            f"cmdline = console=ttyS0 cryptomgr.notests quiet\nmemory = 512M\nvcpus = {vcpus}\n{more}")


def shell(cpus):
    """Up to the prompt, and the proof that what is typed arrives and is carried out."""
    return [
        Expect(r"gnomon: guest linux starts"),
        Expect(rf"Linux 6\.1\S* on {cpus} CPU"),
        Expect(r"linux# "),
        Send("echo $((6 * 7)) $(uname -s)\n"),
        Expect(r"42 Linux"),
        Expect(r"linux# "),
    ]


PVH = conf(1).replace("/guests/vmlinuz", "/guests/vmlinux")
PVH_FILES = {"/guests/vmlinux": "guests/vmlinux", "/guests/initrd": "guests/initrd"}

CASES = [
    # With all memory mapped up front: then there is no EPT violation at all.
    Case("linux-1cpu-haswell-poweroff", conf=conf(1, more="premap = yes\n"), files=FILES,
         steps=shell(1) + [Send("poweroff -f\n"), Expect(r"gnomon: guest linux .*off"), Expect(r"> "),
                           Send("exits\n"), Expect(r"CPUID +\d+[^>]*\n\r?> ")], never=[r"EPT violation +\d"]),
    # All memory in large pages, then logged page by page under load, then in large pages again.
    Case("linux-dirty-log", conf=conf(1, more="premap = yes\n"), files=FILES, steps=shell(1) + [
        Send("\x1d"), Expect(r"console: monitor"), Send("mmu dirty linux on\n"), Expect(r"> "),
        Send("mmu dirty linux show\n"), Expect(r"pages: \d+ written to"), Expect(r"> "),
        Send("\x1d"), Expect(r"console: guest linux"),
        Send("dd if=/dev/zero of=/tmp/zeros bs=1M count=16; echo $((7 * 6)) written\n"), Expect(r"42 written"),
        Send("\x1d"), Expect(r"console: monitor"),
        Send("mmu dirty linux show\n"), Expect(r"pages: [4-9]\d{3} written to"), Expect(r"> "),
        Send("audit\n"), Expect(r"every guest reaches its own memory only"),
        Send("mmu dirty linux off\n"), Expect(r"> "),
        Send("mmu dirty linux show\n"), Expect(r"not logged"), Expect(r"> "),
        Send("audit\n"), Expect(r"every guest reaches its own memory only"),
        Send("\x1d"), Expect(r"console: guest linux"), Send("echo $((8 * 6)) $(uname -s)\n"), Expect(r"48 Linux"),
    ]),
    Case("linux-2cpu-skylake-reset", conf=conf(2), files=FILES, host={"cpu": "corei7_skylake_x", "count": 2},
         steps=shell(2) + [Send("reboot -f\n"), Expect(r"gnomon: guest linux .*reset"),
                           Expect(r"Linux 6\.1\S* on 2 CPU")]),
    # No EPT: shadow paging by itself.
    Case("linux-shadow-penryn", conf=conf(1), files=FILES, host={"cpu": "core2_penryn_t9600"},
         steps=shell(1) + [Send("poweroff -f\n"), Expect(r"gnomon: guest linux .*off")]),
    # Without virtual-interrupt delivery: there Bochs leaves the IDT-vectoring field stale.
    Case("linux-shadow-skylake", conf=conf(1, head="disable = vid\n", more="mmu = shadow\n"), files=FILES,
         host={"cpu": "corei7_skylake_x"}, steps=shell(1) + [
             Send("\x1d"), Expect(r"console: monitor"), Send("mmu linux\n"), Expect(r"> "), Send("audit\n"),
             Expect(r"audit: every guest reaches its own memory only")]),
    Case("linux-shadow-haswell", conf=conf(1, head="disable = vid\n", more="mmu = shadow\n"), files=FILES,
         steps=shell(1) + [Send("poweroff -f\n"), Expect(r"gnomon: guest linux .*off")]),
    Case("linux-pvh", conf=PVH, files=PVH_FILES, steps=[
        Expect(r"gnomon: guest linux starts"), Expect(r"Linux 6\.1\S* on 1 CPU"), Expect(r"linux# ")]),
]
