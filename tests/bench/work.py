"""Programs of a Linux guest on EPT and on shadow paging, side by side and beside KVM in the same emulator."""
import re

from linux import HOST_MEMORY, KVM_LINE, MEMORY
from measure import Case, Run, conf, exits

# Job of tests/linux/work.c: (what it is, KVM's ticks on EPT and on shadow paging)
JOBS = {
    "touch-64m-by-4k": ("touch 64 MiB by 4K", 64.9e6, 185.6e6),
    "touch-64m-by-2m-first": ("touch 64 MiB by 2M, first", 48.0e6, 48.4e6),
    "touch-64m-by-2m-again": ("touch 64 MiB by 2M, again", 25.1e6, 25.5e6),
    "touch-one-page-in-512-regions": ("one page in each of 512 2M regions", 6.26e6, 28.5e6),
    "map-touch-unmap-16-pages-x100": ("mmap, touch, munmap 16 pages, x100", 9.88e6, 26.4e6),
    "mprotect-2m-x20": ("mprotect of 2 MiB x20", 2.17e6, 8.79e6),
    "mprotect-2m-x20-touched": ("mprotect of 2 MiB x20, touched", 4.45e6, 19.7e6),
    "fork-exit-16m": ("fork+wait, 16 MiB", 1.96e6, 2.47e6),
    "fork-write-16m": ("fork+wait, 16 MiB, copy-on-write", 29.8e6, 71.3e6),
    "fork-exec": ("fork+exec", 745e3, 2291e3),
    "pipe-ping-pong-x100": ("pipe ping-pong, x100", 11454e2, 14335e2),
    "page-fault-signal": ("page fault + signal", 6779, 12131),
    "threads-20": ("20 threads", 943e3, 966e3),
    "churn": ("random mmap, mprotect, munmap", None, None),
}

COLUMNS = ["ept", "shadow", "shadow, no skip"]


class Outcome:
    """One power-on: {job: ticks}, the table of exits and the counters of shadow paging."""

    def __init__(self, run, stubs):
        self.boot = int(re.search(r"WORK begun (\d+)", run.text()).group(1))
        self.jobs = {name: int(ticks) for name, ticks in re.findall(r"WORK (\S+) (\d+)\s", run.text()) if name in JOBS}
        _, table = exits(run.monitor("exits"))
        self.exits = stubs.added(table)
        self.counters = run.monitor("mmu")


def measure(build, name, kernel, stubs, mmu, skip=True):
    vm = f"kernel = /guests/vmlinuz\ninitrd = /guests/initrd\nmmu = {mmu}\nautostart = no\n"
    # Bochs leaves the IDT-vectoring field stale when a page fault exits while a virtual interrupt is delivered.
    case = Case("", [], conf=conf("linux", vm, KVM_LINE, MEMORY, ("rdrand", "vid")),
                files={"/guests/vmlinuz": kernel, "/guests/initrd": "linux/initrd.bench"})
    with Run(build, name, case, memory=HOST_MEMORY) as run:
        run.expect(r"CPUs run\s+(gnomon: watch: .*\s+)?> $")
        run.command("vm start linux")
        if not skip:
            run.expect(r"console: guest linux")
            run.command("\x1dmmu skip linux off")
            run.expect(r"console: monitor[^>]*> [^>]*> ")
            run.command("\x1d")
        run.expect(r"WORK done")
        run.expect(r"gnomon: guest linux has stopped: .*\n[^>]*> $")
        return Outcome(run, stubs)


def _excess(kvm_ept, kvm_shadow, ept, shadow):
    """What shadow paging adds to EPT, relatively, as a part of what it adds in KVM: the programs are not KVM's own."""
    return f"{(shadow / ept - 1) / (kvm_shadow / kvm_ept - 1):.2f}" if kvm_ept else ""


def report(out, outcomes):
    """outcomes: {column: Outcome}"""
    columns = [column for column in COLUMNS if column in outcomes]
    out.title("Programs of a Linux guest: median ticks, seen from inside; KVM's (of programs like these) in the same "
              "emulator; what shadow paging adds to EPT as a part of what it adds there (target: 0.5)")
    out.line(f"{'':<38}" + "".join(f"{column:>18}" for column in columns)
             + f"{'ratio':>8}{'KVM ept':>14}{'KVM shadow':>14}{'ratio':>8}{'excess':>8}")
    rows = [("kernel entry to first program", [outcomes[c].boot for c in columns], None, None)]
    rows += [(JOBS[job][0], [outcomes[c].jobs[job] for c in columns], *JOBS[job][1:]) for job in JOBS]
    for what, ticks, kvm_ept, kvm_shadow in rows:
        kvm = (f"{kvm_ept:>14,.0f}{kvm_shadow:>14,.0f}{kvm_shadow / kvm_ept:>8.2f}" if kvm_ept else " " * 36)
        out.line(f"{what:<38}" + "".join(f"{t:>18,}" for t in ticks) + f"{ticks[1] / ticks[0]:>8.2f}" + kvm
                 + f"{_excess(kvm_ept, kvm_shadow, ticks[0], ticks[1]):>8}")
    for column in columns:
        out.title(f"Exits of boot and programs, {column}: root-mode instructions in all and each, stubs included")
        for reason, (count, ticks) in sorted(outcomes[column].exits.items(), key=lambda item: -item[1][1]):
            out.line(f"{reason:<28}{count:>10,}{ticks:>16,}{ticks // count:>8,}")
    for column in columns[1:]:
        out.title(f"Shadow pages, {column}")
        for line in outcomes[column].counters.splitlines()[1:-1]:
            out.line(line.rstrip())
