"""
Machines without COM1, in QEMU: a UART on a PCI card, one that ACPI names, only a screen. And a panic before
the hypervisor knows anything of its machine.
"""
import os

from case import Case, Expect, Screen, Send

EMPTY = "loglevel = info\n"
ALIVE = [Send("help\n"), Expect(r"audit")]
ERROR = "ff6050"  # drivers/fbcon.c
INFO = "d0d0d0"


def misled(build):
    """
    The hypervisor, as if it had been handed another boot_info: the magic number in its code is changed, not the
    first, by which the loader tells.
    """
    magic, other = b"\x01\xaaGNOMON", b"\x02\xaaGNOMON"
    with open(os.path.join(build, "gnomon.elf"), "rb") as file:
        before, told, code = file.read().partition(magic)
    return before + told + code.replace(magic, other)


CASES = [
    Case("console-pci", conf=EMPTY, machine="qemu", host={"serial": "pci"}, steps=[
        Expect(r"gnomon: Gnomon hypervisor"),  # what the ring held before the card was found
        Expect(r"console: serial line at I/O port [0-9a-f]+h \(PCI 00:\w+\.\d\), polled; screen of \d+ x \d+"),
    ] + ALIVE),
    Case("console-spcr", conf=EMPTY, machine="qemu", host={"serial": "spcr"}, steps=[
        Expect(r"gnomon: Gnomon hypervisor"),
        Expect(r"console: serial line at I/O port 2e0h \(ACPI SPCR\), by interrupt; screen of \d+ x \d+"),
    ] + ALIVE),
    Case("console-screen", conf=EMPTY, machine="qemu", host={"serial": "none"}, steps=[
        Screen(r"gnomon: cpu: 1 of 1 CPUs run"),
        Screen(r"gnomon: console: serial line none; screen of \d+ x \d+", INFO),
        Screen(r"gnomon: CPU 0 runs no guests: this CPU has no VMX", ERROR),
    ]),
    Case("panic-early", conf=EMPTY, machine="qemu", files={"/gnomon/gnomon.elf": misled}, panics=True, steps=[
        Expect(r"gnomon: PANIC on CPU 0\s+gnomon: gnomon.efi and the hypervisor's file are of different builds"),
        Expect(r"gnomon: the machine has stopped"),
    ]),
]
