"""What cannot be done is refused in a sentence, and the hypervisor stays up for its monitor."""
from case import Case, Command, Expect, Send

ALIVE = [Send("help\n"), Expect(r"audit")]


def refused(name, vm, sentence, files=None, **more):
    return Case(name, conf=f"[vm bad]\n{vm}", files=files or {}, steps=[Expect(sentence)] + ALIVE, **more)


# One after the other in one power-on: (VM, its keys, the sentence).
EACH = [
    ("missing", "kernel = /none\n", r"guest missing .*/none"),
    ("corrupt", "kernel = /corrupt\n", r"guest corrupt does not start: .*/corrupt"),
    ("large", "kernel = /k\nmemory = 8G\n", r"guest large does not start: .*8192 MiB"),
    ("many", "kernel = /k\nvcpus = 4\n", r"guest many does not start: .*vCPU"),
    ("sipi", "kernel = /k\nmemory = 64M\nmmu = shadow\nvcpus = 2\nwakeup = sipi\n",
     r"guest sipi does not start: .*wakeup = sipi starts vCPUs in real mode"),
]

CASES = [
    # The shipped hypervisor all the way: no guests, an NMI from outside that it survives, hardware that is faulty.
    Case("refused-no-vmx", conf="[vm bad]\nkernel = /k\n", files={"/k": "guests/memtest"}, machine="qemu", panics=True,
         steps=[Expect(r"this CPU has no VMX"),
                Expect(r"guest bad cannot run: this host has no usable VMX"),
                Command("nmi"), Expect(r"an NMI from outside: where every CPU is\r\ngnomon: CPU 0 runs ")] + ALIVE +
               [Send("vm start bad\n"), Expect(r"guest bad cannot run: this host has no usable VMX"),
                Command("mce 0 1 0xb200000000000135 0x5 0 0"),
                Expect(r"gnomon: PANIC on CPU 0\r\ngnomon: the hardware reports a machine check, MCG_STATUS 5h: bank 1 "
                       r"status b200000000000135h address 0h; the machine is faulty"),
                Expect(r"gnomon: guest bad is "), Expect(r"gnomon: the machine has stopped")]),
    refused("refused-ept", "kernel = /k\nmmu = ept\n", r"it has no EPT: set mmu = shadow in \[vm bad\]",
            files={"/k": "guests/memtest"}, host={"cpu": "core2_penryn_t9600"}),
    Case("refused-guests", conf="\n".join(f"[vm {name}]\n{keys}" for name, keys, _ in EACH),
         files={"/k": "guests/memtest", "/corrupt": b"\x7fELF" + b"no kernel at all" * 100},
         host={"cpu": "corei7_skylake_x", "count": 2},
         steps=[Expect("gnomon: " + sentence) for _, _, sentence in EACH] + ALIVE),
]
