"""The tiny guests of tests/guests, one after the other in one power-on: each reports PASS and FAIL lines itself."""
from case import Case, Expect, Send

# (kernel, further keys) or, where a kernel has more than one VM, (kernel, further keys, name of the VM)
ONE_CPU = [
    ("exits", ""), ("io", ""), ("mmio", ""), ("apic", ""), ("paging", ""), ("clock", ""), ("ept", "memory = 160M\ncmdline = memory=160\n"),
    ("cost", ""),
]
# Bochs leaves the IDT-vectoring field stale when delivering a virtual interrupt takes an EPT violation.
EVENTS = [("inject", ""), ("wild", "")]
TWO_CPUS = [("smp", "vcpus = 2\n"), ("exits", "vcpus = 2\n"), ("cost", "vcpus = 2\n")]
# What shadow paging has to get right, and EPT as well.
PAGING = [("perm", ""), ("selfmap", ""), ("pcid", ""), ("pg32", ""), ("pae", ""), ("lm", "")]
# Under shadow paging the table guests walk tables of their own; all the others must not notice.
SHADOW = [(kernel, "mmu = shadow\n" + (more or "cmdline = real=no\n"))
          for kernel, more in PAGING + EVENTS + ONE_CPU if kernel != "ept"]
# The same on a CPU that has nothing else.
BY_HOST = [(kernel, "cmdline = real=no\n")
           for kernel in ("perm", "selfmap", "inject", "exits", "apic", "mmio", "paging")]
REAL_MODE = [("paging", "mmu = shadow\n", "real")]
REAL_MODE_STEPS = [
    Send("mmu selfmap\n"), Expect(r"mapped 4K [1-9]\d*, 2M [1-9]", 60), Expect(r"> "),
    Send("vm start real\n"), Expect(r"PASS paging.pdptes-loaded-again"),
    Expect(r"guest real has stopped: vCPU 0 is to run in real mode"), Expect(r"> "),
]
MAILBOX = [("smp", "vcpus = 2\nwakeup = mailbox\n", "mailbox")]


def vm(name, kernel, more):
    memory = "" if "memory" in more else "memory = 64M\n"
    return f"[vm {name}]\nkernel = /guests/{kernel}\nautostart = no\n{memory}{more}"


def conf(vms, head=""):
    return head + "\n".join(vm((*name, kernel)[0], kernel, more) for kernel, more, *name in vms)


def files(vms):
    return {f"/guests/{kernel}": f"tests/guests/{kernel}.elf" for kernel, *_ in vms}


READY = [Expect(r"CPUs run"), Expect(r"\s> ")]


def in_turn(vms):
    steps = []
    for kernel, _, *name in vms:
        vm_name = (*name, kernel)[0]
        steps += [Send(f"vm start {vm_name}\n"), Expect(rf"DONE {kernel}: [1-9]\d* passed, \d+ failed", 300),
                  Expect(rf"gnomon: guest {vm_name} has stopped: debug exit with value "), Expect(r"> ")]
    return steps


def each_in_turn(vms):
    return READY + in_turn(vms)


# Two at once on one CPU, each with a pattern of its own, and one that never gives the CPU back.
ISOLATION = [("fpu", "cmdline = pattern=1\n", "one"), ("fpu", "cmdline = pattern=2\n", "two"), ("spin", "", "busy")]
ISOLATION_STEPS = [
    Send("vm start busy\n"), Expect(r"NEXT spin: for ever"), Send("\x1d"), Expect(r"console: monitor"),
    Send("vm start one\n"), Expect(r"> "), Send("vm start two\n"),
    Expect(r"guest (one|two) has stopped: debug exit with value 0 "),
    Expect(r"guest (one|two) has stopped: debug exit with value 0 "),
]

# Interrupts off and exits all the time: the operator gets through all the same.
SPIN = [("spin", "cmdline = how=exits\n")]
SPIN_STEPS = [
    Send("vm start spin\n"), Expect(r"NEXT spin: for ever"), Send("\x1d"), Expect(r"console: monitor"),
    Send("vm stop spin\n"), Expect(r"guest spin has stopped: stopped by the operator"),
]
# On every CPU, and without exits: what waits for its vCPUs gets its answer all the same.
SPIN_ALL = [("spin", "vcpus = 2\n")]
SPIN_ALL_STEPS = [
    Expect(r"NEXT spin: for ever"), Send("\x1d"), Expect(r"console: monitor"),
    Send("regs\n"), Expect(r"vCPU 0, running: cs:rip"), Expect(r"vCPU 1, running: cs:rip"), Expect(r"> "),
    Send("trace on\n"), Expect(r"the trace is on"), Expect(r"> "),
    Send("mmu dirty spin on\n"), Expect(r"> "), Send("mmu dirty spin off\n"), Expect(r"> "),
    Send("trace 1 5\n"), Expect(r"\d+ \+\d+ spin/1 exit \S[^\r]*, rip [1-9a-f][0-9a-f]+, [^\r]*\d+ ticks\s"), Expect(r"> "),
    Send("trace off\n"), Expect(r"the trace is off"), Expect(r"> "),
    Send("audit\n"), Expect(r"guest spin: \d+ frames looked at, 0 with a wrong owner"), Expect(r"> "),
    Send("vm stop spin\n"), Expect(r"guest spin has stopped: stopped by the operator"),
]

# Nothing but an NMI brings out the second: Bochs takes no interrupt there, and the timer is off. What the guest's
# memory needs is done all the same, and what only the vCPU could tell is given up on.
SPIN_OTHER = [("spin", "vcpus = 2\ncmdline = how=others\n")]
SPIN_OTHER_STEPS = [
    Expect(r"NEXT spin: for ever"), Send("\x1d"), Expect(r"console: monitor"),
    Send("regs\n"), Expect(r"vCPU 0, halted: cs:rip"), Expect(r"vCPU 1(, running: cs:rip| has not answered for 500 ms)"),
    Expect(r"> "), Send("mmu dirty spin on\n"), Expect(r"> "), Send("mmu dirty spin off\n"), Expect(r"> "),
    Send("audit\n"), Expect(r"guest spin: \d+ frames looked at, 0 with a wrong owner"), Expect(r"> "),
]

# Looked at from another CPU, the vCPU being in the guest all the time: what it writes to is in each result.
def logged(name):
    show = [Send(f"mmu dirty {name} show\n"), Expect(r"16384 pages: 6[0-3]\d written to"), Expect(r"> ")]
    return [
        Send(f"vm start {name}\n"), Expect(r"NEXT spin: for ever"), Send("\x1d"), Expect(r"console: monitor"),
        Send(f"mmu dirty {name} on\n"), Expect(r"> "),
        Send(f"mmu dirty {name} show\n"), Expect(r"16384 pages: \d+ written to"), Expect(r"> "),
        *show * 3, Send("audit\n"), Expect(r"its own memory only"),
        Send(f"mmu dirty {name} off\n"), Expect(r"> "),
        Send(f"mmu dirty {name} show\n"), Expect(r"not logged"), Send("audit\n"), Expect(r"its own memory only"),
    ]


def dirty_log(name, features, after, more=""):
    vms = [("spin", "cpu = 1\ncmdline = how=writes\n" + more)]
    return Case("guests-dirty-log-" + name, conf=conf(vms, f"disable = {features}\n"), files=files(vms),
                steps=READY + logged("spin") + after, host={"cpu": "corei7_skylake_x", "count": 2})


# Large pages that are not executable, on a CPU that would not ask for it: code runs, and later they are large again.
NX_HUGE = [("ept", "memory = 160M\ncmdline = memory=160\npremap = yes\nnx_huge = on\n"), ("io", "premap = yes\n")]
NX_STEPS = in_turn(NX_HUGE) + [
    Send("caps\n"), Expect(r"large EPT pages with nx_huge = auto: executable\s"), Expect(r"> "),
    Send("mmu io\n"), Expect(r"large leafs split 0, [^\r]*; large pages are executable\s"), Expect(r"> "),
    Send("mmu ept\n"), Expect(r"mapped 4K [1-9]\d*, 2M [1-9]", 60),
    Expect(r"large leafs split [1-9]\d*, made large again 0, rights given back [1-9]"),
    Expect(r"large pages are not executable"), Expect(r"> "),
    Send("mmu recover ept\n"), Expect(r"> "), Send("mmu recover ept\n"), Expect(r"> "),
    Send("mmu ept\n"), Expect(r"made large again [1-9]"), Expect(r"> "), Send("audit\n"), Expect(r"its own memory only"),
]

# Ways in which a guest ends, and what the log must say.
ENDS = [
    ("debugexit", "cmdline = value=42\n", r"guest debugexit has stopped: debug exit with value 42 "),
    ("power", "", r"guest power has stopped: .*off"),
    ("triple", "", r"guest triple has stopped: .*triple fault"),
    ("reset", "cmdline = how=all\n", r"guest reset has stopped: debug exit with value 0 "),
]
END_VMS = [(kernel, more) for kernel, more, _ in ENDS]


def ends():
    steps = []
    for kernel, _, sentence in ENDS:
        steps += [Send(f"vm start {kernel}\n"), Expect(sentence, 300), Expect(r"> ")]
    return steps


# Every optional feature of VMX is off in one of these; a feature that needs it is off with it.
OFF = ["vpid vid", "ept-ad apic-register", "preemption-timer virt-x2apic", "ept-2m tpr-shadow",
       "virtual-nmi virt-apic-access pml posted-interrupts ept-1g"]
OFF_VMS = [("inject", ""), ("apic", ""), ("mmio", ""), ("paging", ""), ("ept", "memory = 128M\n")]


def without(features):
    """Bochs leaves the IDT-vectoring field stale for virtual interrupts: inject is left out while they are on."""
    vms = OFF_VMS if "vid" in features or "tpr-shadow" in features else OFF_VMS[1:]
    return Case("guests-without-" + features.replace(" ", "-"), conf=conf(vms, f"disable = {features}\n"),
                files=files(vms), steps=each_in_turn(vms), never=[r"FAIL \w"], host={"cpu": "corei7_skylake_x"})


# A longer storm, several guests at once and on both kinds of page tables; the hypervisor's books are right behind it.
WILD = [("wild", f"{kind}cmdline = rounds=20000 seed={n}\n", f"wild{n}") for n, kind in enumerate(("", "mmu = shadow\n") * 3)]
WILD_STEPS = [*(Expect(r"guest wild\d has stopped: debug exit with value 0 ", 600) for _ in WILD), Expect(r"> "),
              Send("audit\n"), Expect(r"its own memory only"), Expect(r"> ")]

# The model that asks for measures against leaks: they are taken at every exit, and between guests.
GUARDED = [("exits", ""), ("cost", "")]
GUARDED_STEPS = each_in_turn(GUARDED) + [
    Send("caps\n"), Expect(r"verw +used"), Expect(r"rsb-fill +used"), Expect(r"ibpb +used"), Expect(r"spec-ctrl +used"),
]

CASES = [
    Case("guests-1cpu", conf=conf(ONE_CPU), files=files(ONE_CPU), steps=each_in_turn(ONE_CPU), never=[r"FAIL \w"]),
    Case("guests-events", conf=conf(EVENTS, "disable = vid\n"), files=files(EVENTS), steps=each_in_turn(EVENTS),
         never=[r"FAIL \w"]),
    Case("guests-2cpu", conf=conf(TWO_CPUS + MAILBOX), files=files(TWO_CPUS), steps=each_in_turn(TWO_CPUS + MAILBOX),
         host={"cpu": "corei7_skylake_x", "count": 2}, never=[r"FAIL \w"]),
    Case("guests-paging", conf=conf(PAGING + NX_HUGE), files=files(PAGING + NX_HUGE),
         steps=each_in_turn(PAGING) + NX_STEPS, host={"cpu": "corei7_icelake_u"}, never=[r"FAIL \w"]),
    # Without virtual-interrupt delivery: there Bochs leaves the IDT-vectoring field stale.
    Case("guests-shadow", long=True, conf=conf(SHADOW, "disable = vid\n"), files=files(SHADOW), steps=each_in_turn(SHADOW),
         host={"cpu": "corei7_icelake_u"}, never=[r"FAIL \w"]),
    Case("guests-shadow-no-vpid", conf=conf(SHADOW[:4] + REAL_MODE, "disable = vid vpid ept\n"),
         files=files(SHADOW[:4] + REAL_MODE), steps=each_in_turn(SHADOW[:4]) + REAL_MODE_STEPS, never=[r"FAIL \w"]),
    Case("guests-without-ept", conf=conf(BY_HOST), files=files(BY_HOST), steps=each_in_turn(BY_HOST),
         host={"cpu": "core2_penryn_t9600"}, never=[r"FAIL \w"]),
    Case("guests-without-unrestricted", conf=conf(BY_HOST), files=files(BY_HOST), steps=each_in_turn(BY_HOST),
         host={"cpu": "corei5_lynnfield_750"}, never=[r"FAIL \w"]),
    Case("guests-guarded", conf=conf(GUARDED + ISOLATION), files=files(GUARDED + ISOLATION),
         steps=GUARDED_STEPS + ISOLATION_STEPS, never=[r"FAIL \w"], host={"cpu": "tigerlake"}),
    Case("guests-wild", by_name=True, conf=conf(WILD, "disable = vid\n").replace("autostart = no\n", ""),
         files=files(WILD), steps=WILD_STEPS, never=[r"FAIL \w"], host={"cpu": "corei7_skylake_x"}),
    dirty_log("by-cpu", "vid", [Send("exits\n"), Expect(r"page-modification log full +\d"), Expect(r"> ")]),
    dirty_log("by-protection", "vid pml", []),
    dirty_log("shadow", "vid", [], "mmu = shadow\n"),
    Case("guests-spin-2cpu", conf=conf(SPIN_ALL).replace("autostart = no\n", ""), files=files(SPIN_ALL),
         steps=SPIN_ALL_STEPS, host={"cpu": "corei7_skylake_x", "count": 2}),
    Case("guests-spin-no-timer", files=files(SPIN_OTHER), steps=SPIN_OTHER_STEPS,
         conf=conf(SPIN_OTHER, "disable = preemption-timer\n").replace("autostart = no\n", ""),
         host={"cpu": "corei7_skylake_x", "count": 2}),
    Case("guests-ends", conf=conf(END_VMS + SPIN), files=files(END_VMS + SPIN), steps=READY + ends() + SPIN_STEPS,
         never=[r"FAIL \w"]),
] + [without(features) for features in OFF]
