"""The tiny guests of tests/guests, one after the other in one power-on: each reports PASS and FAIL lines itself."""
from case import Case, Expect, Send

# name of the VM: (kernel, further keys, how it ends)
ONE_CPU = [
    ("exits", ""), ("io", ""), ("mmio", ""), ("apic", ""), ("paging", ""), ("clock", ""), ("ept", "memory = 160M\ncmdline = memory=160\n"),
    ("cost", ""),
]
# Bochs leaves the IDT-vectoring field stale when delivering a virtual interrupt takes an EPT violation.
EVENTS = [("inject", "")]
TWO_CPUS = [("smp", "vcpus = 2\n"), ("exits", "vcpus = 2\n"), ("cost", "vcpus = 2\n")]


def vm(name, kernel, more):
    memory = "" if "memory" in more else "memory = 64M\n"
    return f"[vm {name}]\nkernel = /guests/{kernel}\nautostart = no\n{memory}{more}"


def conf(vms, head=""):
    return head + "\n".join(vm(kernel, kernel, more) for kernel, more in vms)


def files(vms):
    return {f"/guests/{kernel}": f"tests/guests/{kernel}.elf" for kernel, _ in vms}


def each_in_turn(vms):
    steps = [Expect(r"CPUs run\s+> ")]
    for kernel, _ in vms:
        steps += [Send(f"vm start {kernel}\n"), Expect(rf"DONE {kernel}: [1-9]\d* passed, \d+ failed", 60),
                  Expect(rf"gnomon: guest {kernel} has stopped: debug exit with value "),
                  Expect(r"> ")]
    return steps


CASES = [
    Case("guests-1cpu", conf=conf(ONE_CPU), files=files(ONE_CPU), steps=each_in_turn(ONE_CPU), never=[r"FAIL \w"]),
    Case("guests-events", conf=conf(EVENTS, "disable = vid\n"), files=files(EVENTS), steps=each_in_turn(EVENTS),
         never=[r"FAIL \w"]),
    Case("guests-2cpu", conf=conf(TWO_CPUS), files=files(TWO_CPUS), steps=each_in_turn(TWO_CPUS),
         host={"cpu": "corei7_skylake_x", "count": 2}, never=[r"FAIL \w"]),
]
