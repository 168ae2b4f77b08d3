"""
The instructions of an exit, one by one: Bochs's debugger traces the guest `cost` around its operations,
and what runs between the exit stub's first instruction and VMRESUME is counted by kind and function.
"""
import bisect
import collections
import dataclasses
import os
import re
import subprocess

from measure import Case, Run, conf

TRACED = 2500   # instructions from the operation's fourth call on
SKIPPED = 3     # calls before it: the first ones find cold caches

# (function of tests/guests/cost.c, what it does)
OPERATIONS = [
    ("do_cpuid", "CPUID"), ("port_read", "port read (UART)"), ("port_write", "port write (UART)"),
    ("absent_port_read", "port read (absent)"), ("msr_read", "MSR read"), ("msr_write", "MSR write"),
    ("ioapic_mmio_read", "I/O APIC read"), ("ioapic_mmio_write", "I/O APIC write"),
    ("lapic_read", "local APIC read"), ("lapic_write", "local APIC write"), ("cr4_write", "CR4 write"),
    ("self_ipi", "IPI to itself"), ("one_shot_tick", "timer, one-shot"), ("deadline_tick", "timer, TSC-deadline"),
    ("touch_4k", "first touch, page"), ("touch_2m", "first touch, region"),
]

# Those that shadow paging makes exits of, in the guest's order.
SHADOW_OPERATIONS = [
    ("cr3_same", "CR3 load, same root"), ("cr3_switch", "CR3 load, known root"), ("do_invlpg", "INVLPG, no change"),
    ("page_fault", "page fault, guest's"), ("load_after_rewrite", "CR3 load, syncs 256"),
    ("load_after_remap", "CR3 load, syncs 1"), ("cr3_keep", "CR3 load, no flush"),
]
SHADOW = ("vid", "ept")  # what is disabled for them

# SDM volume 3A, "Serializing Instructions": those that are no VM entry or exit themselves.
SERIALISING = {"cpuid", "invd", "invept", "invlpg", "invvpid", "lgdt", "lidt", "lldt", "ltr", "wbinvd", "wrmsr",
               "rsm", "iret", "iretd", "iretq", "serialize"}
KINDS = {
    "vmread": {"vmread"}, "vmwrite": {"vmwrite"}, "serialising": SERIALISING | {"mov cr"},
    "rdmsr/wrmsr": {"rdmsr", "wrmsr"}, "invept/invvpid": {"invept", "invvpid"},
    "locked": {"lock"}, "xsave/xrstor": {"xsave", "xsaveopt", "xsaves", "xrstor", "xrstors", "fxsave", "fxrstor"},
}
LINE = re.compile(r"^\(0\)\.\[(\d+)\] \[0x[0-9a-f]+\] [0-9a-f]+:([0-9a-f]+) \(.*?\): (.*?)\s*;", re.MULTILINE)


@dataclasses.dataclass
class Exit:
    """One way from the exit stub to VMRESUME."""
    cause: str           # the guest's instruction before it
    instructions: list   # (address, text)

    def count(self, kind):
        return sum(1 for _, text in self.instructions if _is(text, KINDS[kind]))

    def outside(self):
        """Instructions that Gnomon's own account leaves out: up to its first RDTSC and from its last one on."""
        at = [i for i, (_, text) in enumerate(self.instructions) if text.startswith("rdtsc")]
        return len(self.instructions) - (at[-1] - at[0]) if len(at) > 1 else None


def _is(text, names):
    if "mov cr" in names and re.match(r"mov (cr[0-48]|dr\d),", text):
        return True
    return text.split()[0] in names


class Stubs:
    """
    What Gnomon's own account leaves out of each exit, from traced ones: the entry and exit stubs, and on
    the long way back, which delivers events, that too.
    """

    # Reasons after which there is something to deliver as a rule, or requests of others to take.
    LONG_WAY = {"external interrupt", "interrupt window", "HLT"}

    def __init__(self, traced, hv_symbols):
        outside = {True: [], False: []}
        for one in (one for exits in traced.values() for one in exits):
            if one.outside() is not None:
                outside["resume_slowly" in dict(by_function(one, hv_symbols))].append(one.outside())
        self.short, self.long = (sorted(found)[len(found) // 2] for found in (outside[False], outside[True]))

    def added(self, exits):
        """{reason: (count, ticks)} with what was left out."""
        return {reason: (count, ticks + count * (self.long if reason in self.LONG_WAY else self.short))
                for reason, (count, ticks) in exits.items()}


def symbols(elf):
    """[(address, name)] in order."""
    out = subprocess.run(["nm", "-n", elf], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [line.split() for line in out.splitlines()]
    return [(int(row[0], 16), row[2]) for row in rows if len(row) == 3]


def _script(guest_symbols, operations):
    """Debugger commands: stop in the guest first, for firmware has run at the same addresses before."""
    address = {name: at for at, name in guest_symbols}
    lines = ["vmexitbp", "c", "vmexitbp"]
    for number, (function, _) in enumerate(operations, 1):
        lines += [f"lb 0x{address[function]:x}"] + ["c"] * (SKIPPED + 1)
        lines += [f"d {number}", "trace on", f"s {TRACED}", "trace off"]
    return "\n".join(lines + ["q", ""])


def _split(instructions, stub):
    """The exits among the traced instructions; the last may be cut off and is dropped."""
    exits, current, before = [], None, ""
    for at, text in instructions:
        if at == stub:
            current = Exit(before.split()[0] if before else "", [])
        before = text
        if current is not None:
            current.instructions.append((at, text))
            if text.startswith("vmresume"):
                exits.append(current)
                current = None
    return exits


def usual(exits, shown):
    """The most frequent kinds of exits, told apart by cause and length, as [(how many, Exit)]; each kind once."""
    kinds = collections.Counter((e.cause, len(e.instructions)) for e in exits)
    fresh = [kind for kind, _ in kinds.most_common(3) if kind not in shown]
    shown.update(fresh)
    return [(kinds[kind], next(e for e in exits if (e.cause, len(e.instructions)) == kind)) for kind in fresh]


def by_function(one, hv_symbols):
    """[(function, instructions)] of one exit, most first."""
    addresses = [at for at, _ in hv_symbols]
    counts = collections.Counter(hv_symbols[bisect.bisect_right(addresses, at) - 1][1] for at, _ in one.instructions)
    return counts.most_common()


def trace(build, name, disable=(), operations=tuple(OPERATIONS)):
    """{operation: [Exit]} of the guest cost, traced by the debugger of Debian's Bochs."""
    elf = os.path.join(build, "tests/guests/cost.elf")
    stub = dict((n, at) for at, n in symbols(os.path.join(build, "gnomon.elf")))["vmx_exit_stub"]
    case = Case("", [], conf=conf("cost", "kernel = /guests/cost.elf\n", disable=disable),
                files={"/guests/cost.elf": "tests/guests/cost.elf"})
    log = os.path.abspath(os.path.join(build, "bench", name, "debugger.log"))
    run = Run(build, name, case, memory=512, debugger=_script(symbols(elf), operations), more=f"debugger_log: {log}")
    with run:
        run.machine.ended.wait(1200)
    with open(log, errors="replace") as lines:
        parts = lines.read().split("\ntrace on\n")[1:]
    return {what: _split([(int(at, 16), text) for _, at, text in LINE.findall(part)], stub)
            for (_, what), part in zip(operations, parts)}
