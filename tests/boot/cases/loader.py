"""gnomon.efi: its steps, in order, up to the entry of the hypervisor, and its refusals in words."""
from case import Case, Expect

ENTERED = [
    Expect(r"gnomon: Gnomon is being loaded"),
    Expect(r"gnomon: reading gnomon.conf, "),
    Expect(r"gnomon: reading /gnomon/gnomon.elf, \d+ KiB"),
    Expect(r"gnomon: asking the firmware for CPUs"),
    Expect(r"gnomon: building page tables"),
    Expect(r"gnomon: leaving the firmware's boot services"),
    Expect(r"gnomon: entering the hypervisor"),
]


def refusal(name, conf, sentence, **more):
    return Case(name, conf=conf, machine="qemu",
                steps=[Expect(sentence), Expect(r"gnomon: Gnomon cannot start\. Press a key")], **more)


CASES = [
    Case("loader-qemu", conf="# no vm\n", machine="qemu", steps=ENTERED),
    Case("loader-grub-options", conf="[vm a]\nkernel = /a\n", machine="qemu", options="start=none loglevel=debug",
         files={"/a": b"x"}, steps=[
             Expect(r"gnomon: option start=none"),
             Expect(r"gnomon: option loglevel=debug"),
             Expect(r"gnomon: reading /a, 1 KiB"),
             Expect(r"gnomon: entering the hypervisor"),
         ]),
    refusal("loader-wrong-key", "[vm a]\nkernel = /a\nmemroy = 1G\n",
            r"gnomon: gnomon\.conf:3: there is no key memroy; a vm has kernel, initrd"),
    refusal("loader-wrong-option", "[vm a]\nkernel = /a\n", r"gnomon: option: start: gnomon\.conf has no vm \"b\"",
            options="start=b"),
    refusal("loader-no-conf", "# no vm\n", r"gnomon: there is no gnomon\.conf in the root of the stick",
            files={"/gnomon.conf": None}),
    refusal("loader-no-hypervisor", "# no vm\n", r"gnomon: there is no file /gnomon/gnomon\.elf on the stick",
            files={"/gnomon/gnomon.elf": None}),
    refusal("loader-corrupt-hypervisor", "# no vm\n", r"gnomon: /gnomon/gnomon\.elf cannot be used: it is no 64-bit",
            files={"/gnomon/gnomon.elf": b"MZ" * 100}),
    Case("loader-missing-file", conf="[vm a]\nkernel = /guests/none\n", machine="qemu", steps=[
        Expect(r"gnomon: gnomon\.conf:1: vm a: there is no file /guests/none on the stick"),
        Expect(r"gnomon: entering the hypervisor"),
    ]),
]
