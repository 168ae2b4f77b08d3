"""Programs of a Linux guest on EPT and on shadow paging, side by side and beside KVM in the same emulator."""
import math
import re

from linux import HOST_MEMORY, KVM_LINE, MEMORY
from measure import Case, Run, conf, exits

# Job of tests/linux/work.c: (what it is, KVM's ticks on EPT and on shadow paging)
JOBS = {
    "begun": ("kernel entry to first program", 1476e6, 1634e6),
    "touch-64m-by-4k": ("first touch by 4K, 64 MiB", 64.9e6, 185.6e6),
    "touch-64m-by-2m-first": ("first touch by 2M, 64 MiB", 48.0e6, 48.4e6),
    "touch-64m-by-2m-again": ("touch by 2M again, 64 MiB", 25.1e6, 25.5e6),
    "touch-one-page-in-512-regions": ("one page in each of 512 2M regions", 6.26e6, 28.5e6),
    "map-touch-unmap-16-pages-x100": ("mmap, touch, munmap 16 pages, x100", 9.88e6, 26.4e6),
    "mprotect-2m-x20": ("mprotect of 2 MiB x20", 2.17e6, 8.79e6),
    "mprotect-2m-x20-touched": ("mprotect of 2 MiB x20, touched", 4.45e6, 19.7e6),
    "fork-exit-16m": ("fork+exit, 16 MiB", 1.96e6, 2.47e6),
    "fork-write-16m": ("fork+exit, 16 MiB, copy-on-write", 29.8e6, 71.3e6),
    "fork-exec": ("fork+exec", 745e3, 2291e3),
    "pipe-ping-pong-x100": ("context switches: pipe ping-pong, x100", 11454e2, 14335e2),
    "page-fault-signal": ("page fault + signal", 6779, 12131),
    "threads-20": ("20 threads, each after the other", 943e3, 966e3),
    "threads-20-at-once": ("20 threads at once", None, None),
    "threads-20-touching": ("20 threads, each maps and touches 64 KiB", None, None),
    "churn": ("random mmap, mprotect, munmap", None, None),
}
EXCESS = 0.5  # of what KVM's shadow paging adds to its EPT, each relatively

# Exits that memory is the cause of; those of time and of the console go on while the guest waits to be looked at.
MEMORY_EXITS = ("exception or NMI", "control register", "INVLPG", "INVPCID", "EPT violation")
# Of these: KVM's exits and root-mode instructions of each, under shadow paging; target for each.
KVM_EXITS = {"exception or NMI": (615112, 4444, 1000), "control register": (25189, 17498, None),
             "INVLPG": (58596, 1997, None)}

# Of guest memory: bytes for all but the tables themselves.
METADATA = {"ept": 0.0001, "shadow": 0.003}
PAGE = 4096

COLUMNS = ["ept", "shadow", "shadow, no skip"]
FRAMES = r"2M frames (\d+), without a page table (\d+); page tables in the others (\d+), sum of squares (\d+)"


class Frames:
    """The guest's whole 2M frames, and where the page tables lie that are shadowed."""

    def __init__(self, counts):
        self.frames, self.free, self.tables, squares = counts
        self.mean = self.tables / self.frames
        # In a frame that has any; and where clusters lie independently, their size weighted by it: variance over mean.
        self.k = self.tables / (self.frames - self.free) if self.tables else 1
        self.weighted = squares / max(self.tables, 1) - self.mean

    def share(self):
        return self.free / self.frames

    def predicted(self):
        return math.exp(-self.mean / self.k)

    def deviations(self):
        """How many standard deviations the share is off."""
        p, clusters = self.predicted(), self.mean / self.k
        return (self.share() - p) / math.sqrt(p * (1 - (1 + clusters) * p) / self.frames)


class Job:
    """Ticks of one run, root-mode instructions of one run for memory, and the frames after the last."""

    def __init__(self, ticks, root, frames):
        self.ticks, self.root, self.frames = ticks, root, frames


class Outcome:
    """One power-on: {name: Job}, the table of exits and the counters of shadow paging."""

    def __init__(self, run, jobs, stubs):
        self.jobs = jobs
        _, table = exits(run.monitor("exits"))
        self.exits = stubs.added(table)
        answer = run.monitor("mmu")
        self.counters = dict((name, int(n)) for name, n in counters(answer))
        self.tables, self.metadata = _memory(answer, self.counters)


def counters(answer):
    """[(name, number)] of the counters of shadow paging; the two "skipped" get their callers' names."""
    caller, rows = "", []
    for name, number in re.findall(r" {2}([A-Za-z][\w ]*?) +(\d+)(?= {2}|\r?\n)", answer):
        caller = name if name.startswith("unsync asked") else caller
        rows.append((f"{caller}, skipped" if name == "skipped" else name, number))
    return rows


def _memory(answer, rows):
    """Bytes of tables and of all else that an address space takes."""
    tables, frames, records = map(int, re.search(r"tables (\d+) in (\d+) frames, slot records (\d+) frames", answer).groups())
    # Of 32 frames for the EPT's tables one is for their headers; shadow paging counts by itself.
    return tables * PAGE, rows.get("bytes of metadata", (frames // 32 + records) * PAGE)


def _memory_ticks(run, stubs):
    _, table = exits(run.monitor("exits"))
    return sum(ticks for reason, (_, ticks) in stubs.added(table).items() if reason in MEMORY_EXITS)


def _watch(run, stubs):
    """{name: Job}, while the guest waits after each of them for a line."""
    jobs, before = {}, 0
    for name in JOBS:
        run.expect(rf"WORK {name} \d+.*\n")
        found = re.search(rf"WORK {name} (\d+)(?: in (\d+) runs)?", run.text())
        with run.aside("linux"):
            root = _memory_ticks(run, stubs)
            frames = re.search(FRAMES, run.monitor("mmu"))
        jobs[name] = Job(int(found.group(1)), (root - before) // int(found.group(2) or 1),
                         Frames(list(map(int, frames.groups()))) if frames else None)
        before = root
        run.command("")
    return jobs


def measure(build, name, kernel, stubs, mmu, skip=True):
    vm = f"kernel = /guests/vmlinuz\ninitrd = /guests/initrd\nmmu = {mmu}\nautostart = no\n"
    # Bochs leaves the IDT-vectoring field stale when a page fault exits while a virtual interrupt is delivered.
    case = Case("", [], conf=conf("linux", vm, KVM_LINE, MEMORY, ("rdrand", "vid")),
                files={"/guests/vmlinuz": kernel, "/guests/initrd": "linux/initrd.bench"})
    with Run(build, name, case, memory=HOST_MEMORY) as run:
        run.expect(r"CPUs run\s+(gnomon: watch: .*\s+)?> $")
        run.command("vm start linux")
        run.expect(r"console: guest linux")
        if not skip:
            with run.aside("linux"):
                run.monitor("mmu skip linux off")
        jobs = _watch(run, stubs)
        run.expect(r"WORK done")
        run.expect(r"gnomon: guest linux has stopped: .*\n[^>]*> $")
        return Outcome(run, jobs, stubs)


# ---- what is printed ----

def _excess(kvm_ept, kvm_shadow, ept, shadow):
    """What shadow paging adds to EPT, relatively, as a part of what it adds in KVM: the programs are not KVM's own."""
    return (shadow / ept - 1) / (kvm_shadow / kvm_ept - 1)


def _report_programs(out, outcomes, columns):
    out.title("Programs of a Linux guest: median ticks seen from inside, and root-mode instructions of their exits for memory "
              "(mean)")
    out.line("KVM's are of programs like these in the same emulator. Excess: what shadow paging adds to EPT as a part of what")
    out.line(f"it adds in KVM (target: {EXCESS} for each program).")
    out.line(f"{'':<42}" + "".join(f"{column:>16}{'root':>14}" for column in columns)
             + f"{'ratio':>7}{'KVM ept':>15}{'KVM shadow':>15}{'ratio':>7}{'excess':>8}")
    for name, (what, kvm_ept, kvm_shadow) in JOBS.items():
        jobs = [outcomes[column].jobs[name] for column in columns]
        ept, shadow = jobs[0].ticks, jobs[1].ticks
        row = f"{what:<42}" + "".join(f"{j.ticks:>16,}{j.root:>14,}" for j in jobs) + f"{shadow / ept:>7.2f}"
        if kvm_ept:
            excess = _excess(kvm_ept, kvm_shadow, ept, shadow)
            row += (f"{kvm_ept:>15,.0f}{kvm_shadow:>15,.0f}{kvm_shadow / kvm_ept:>7.2f}{excess:>8.2f}  "
                    + out.verdict(f"excess of shadow paging: {what}", excess <= EXCESS))
        out.line(row)


def _report_exits(out, column, table):
    out.title(f"Exits of boot and programs, {column}: root-mode instructions in all and each, stubs included"
              + ("; KVM's exits and each" if column != "ept" else ""))
    for reason, (count, ticks) in sorted(table.items(), key=lambda item: -item[1][1]):
        row = f"{reason:<28}{count:>10,}{ticks:>16,}{ticks // count:>8,}"
        if column != "ept" and reason in KVM_EXITS:
            kvm_count, kvm_each, most = KVM_EXITS[reason]
            row += f"{kvm_count:>12,}{kvm_each:>8,}"
            row += f"  {out.target(f'mean page fault, {column}', ticks // count, most)}" if most else ""
        out.line(row)


def _report_skip(out, on, off):
    out.title("The unsync fast skip, on and off, over boot and programs")
    out.line(f"{'':<66}{'on':>14}{'off':>14}")

    def row(what, value):
        out.line(f"{what:<66}{value(on):>14}{value(off):>14}")

    def asked(outcome):
        return sum(outcome.counters[f"unsync asked {caller}"] for caller in ("by faults", "ahead"))

    for caller, what in (("by faults", "faults"), ("ahead", "entries made ahead of faults")):
        key = f"unsync asked {caller}"
        row(f"questions by {what}", lambda o: f"{o.counters[key]:,}")
        row("  skipped", lambda o: f"{100 * o.counters[key + ', skipped'] / max(o.counters[key], 1):.1f} %")
    row("searches of the hash", lambda o: f"{o.counters['hash searches']:,}")
    row("  pages looked at", lambda o: f"{o.counters['pages looked at']:,}")
    row("root-mode instructions of page faults, for each leaf asked about",
        lambda o: f"{o.exits['exception or NMI'][1] / max(asked(o), 1):,.1f}")


def _report_frames(out, jobs):
    out.title("2M frames of the guest without a shadowed page table, when each program has run (target: e^-(lambda/k) within "
              "two standard deviations)")
    out.line("lambda: page tables in a frame; k: in one that has any; weighted: variance over mean, which is k where all")
    out.line("clusters are of one size")
    out.line(f"{'':<42}{'frames':>8}{'tables':>8}{'lambda':>8}{'k':>7}{'weighted':>10}{'without':>9}{'e^-(l/k)':>10}"
             f"{'deviations':>12}")
    for name, (what, *_) in JOBS.items():
        f = jobs[name].frames
        out.line(f"{what:<42}{f.frames:>8}{f.tables:>8}{f.mean:>8.3f}{f.k:>7.2f}{f.weighted:>10.2f}{f.share():>9.3f}"
                 f"{f.predicted():>10.3f}{f.deviations():>+12.1f}")
    furthest = max((job.frames.deviations() for job in jobs.values()), key=abs)
    out.line(f"furthest off: {furthest:+.1f} deviations, {out.verdict('2M frames without a page table', abs(furthest) <= 2)}")


def _report_memory(out, outcomes):
    out.title(f"Memory of the mmu for that guest of {MEMORY} MiB, after all programs")
    for column, most in METADATA.items():
        share = outcomes[column].metadata / (MEMORY << 20)
        verdict = out.verdict(f"metadata for Linux, {column}", share < most)
        out.line(f"{column:<10}metadata {outcomes[column].metadata:>10,} bytes, {100 * share:.4f} % (target: {100 * most:g} %, "
                 f"{verdict}); tables {outcomes[column].tables:,} bytes")


def report(out, outcomes):
    """outcomes: {column: Outcome}"""
    columns = [column for column in COLUMNS if column in outcomes]
    _report_programs(out, outcomes, columns)
    for column in columns:
        _report_exits(out, column, outcomes[column].exits)
    on, off = (outcomes[column] for column in columns[1:])
    _report_skip(out, on, off)
    _report_frames(out, on.jobs)
    _report_memory(out, outcomes)
    out.title("Counters of shadow paging, fast skip on and off")
    for name in on.counters:
        out.line(f"{name:<40}{on.counters[name]:>14,}{off.counters[name]:>14,}")
