"""The stick's own image: GRUB's menu, the files of all sample guests, from a USB stick and from a disk."""
from case import Case, Expect

LOADED = [
    Expect(r"Gnomon: Linux"),
    Expect(r"gnomon: Gnomon is being loaded"),
    Expect(r"gnomon: option start=linux"),
    Expect(r"gnomon: reading /guests/vmlinuz, \d+ KiB 10% 20% 30% 40% 50% 60% 70% 80% 90% 100%"),
    Expect(r"gnomon: reading /guests/initrd, \d+ KiB"),
    Expect(r"gnomon: reading /guests/memtest, \d+ KiB"),
    Expect(r"gnomon: asking the firmware for CPUs"),
    Expect(r"gnomon: building page tables"),
    Expect(r"gnomon: leaving the firmware's boot services"),
    Expect(r"gnomon: entering the hypervisor"),
]

CASES = [
    Case("stick-usb", long=True, steps=LOADED, host={"disk": "ehci"}),
    Case("stick-qemu", steps=LOADED, machine="qemu"),
]
