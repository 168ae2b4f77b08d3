"""What cannot be done is refused in a sentence, and the hypervisor stays up for its monitor."""
from case import Case, Expect, Send

ALIVE = [Send("help\n"), Expect(r"audit")]


def refused(name, vm, sentence, files=None, **more):
    return Case(name, conf=f"[vm bad]\n{vm}", files=files or {}, steps=[Expect(sentence)] + ALIVE, **more)


CASES = [
    refused("refused-no-vmx", "kernel = /k\n", r"this CPU has no VMX", files={"/k": "guests/memtest"},
            machine="qemu"),
    refused("refused-missing-file", "kernel = /none\n", r"gnomon: guest bad .*/none"),
    refused("refused-corrupt-kernel", "kernel = /k\n", r"gnomon: guest bad does not start: .*/k",
            files={"/k": b"\x7fELF" + b"no kernel at all" * 100}),
    refused("refused-memory", "kernel = /k\nmemory = 8G\n", r"gnomon: guest bad does not start: .*8192 MiB",
            files={"/k": "guests/memtest"}),
    refused("refused-ept", "kernel = /k\nmmu = ept\n", r"it has no EPT: set mmu = shadow in \[vm bad\]",
            files={"/k": "guests/memtest"}, host={"cpu": "core2_penryn_t9600"}),
    refused("refused-sipi", "kernel = /k\nmmu = shadow\nvcpus = 2\nwakeup = sipi\n",
            r"guest bad does not start: .*wakeup = sipi starts vCPUs in real mode", files={"/k": "guests/memtest"},
            host={"cpu": "corei7_skylake_x", "count": 2}),
    refused("refused-vcpus", "kernel = /k\nvcpus = 4\n", r"gnomon: guest bad does not start: .*vCPU",
            files={"/k": "guests/memtest"}),
]
