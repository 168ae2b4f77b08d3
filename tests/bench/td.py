"""Linux as a trust domain on the software module beside the same kernel as a plain guest, and what a TD's memory costs:
calls of the module, ticks."""
import re

from linux import HOST_MEMORY, TICKS_PER_MS
from measure import Case, Run, RunFailed, exits

MEMORY = 512 # MiB
# Leafs that a teardown must not need: it gives the key back and takes the pages as they are.
PAGE_BY_PAGE = ("TDH.MEM.RANGE.BLOCK", "TDH.MEM.TRACK", "TDH.MEM.PAGE.REMOVE")
AUG = "TDH.MEM.PAGE.AUG"
RECLAIM = "TDH.PHYMEM.PAGE.RECLAIM"


def _vm(name, more=""):
    return (f"[vm {name}]\n{more}kernel = /guests/vmlinuz\ninitrd = /guests/initrd\nmemory = {MEMORY}M\n"
            "autostart = no\ncmdline = console=ttyS0 cryptomgr.notests quiet\n")


def _calls(run):
    """{leaf: (made, repeated, failed)} so far."""
    rows = re.findall(r"^  (TDH\.\S+) +(\d+) +(\d+) +(\d+)", run.monitor("tdx"), re.MULTILINE)
    return {leaf: tuple(map(int, counts)) for leaf, *counts in rows}


def _since(before, after):
    changed = {leaf: tuple(a - b for a, b in zip(counts, before.get(leaf, (0, 0, 0))))
               for leaf, counts in after.items()}
    return {leaf: counts for leaf, counts in changed.items() if any(counts)}


class Life:
    """One guest from its start to its power-off. The monitor gives a guest the console until it has been switched."""

    def __init__(self, run, name):
        before = _calls(run)
        run.command(f"vm start {name}")
        run.expect(r"linux# ")
        run.command("dmesg | grep 'as init process'")
        run.expect(r"\[ *[\d.]+\] Run /init as init process")
        self.init = round(float(re.findall(r"\[ *([\d.]+)\] Run /init", run.text())[-1]) * 1000 * TICKS_PER_MS)
        run.expect(r"linux# ")
        self.running, self.kept = self._look(run, before) if name == "td" else ({}, 0)
        run.command("poweroff -f")
        run.expect(rf"gnomon: guest {name} has stopped: .*\n[^>]*> $")
        _, self.exits = exits(run.monitor(f"exits {name}"))
        self.whole = _since(before, _calls(run))

    @staticmethod
    def _look(run, before):
        """The calls up to now, and the 2M frames that were split for good. The plain guest is asked first, so that two switches lead back to the TD."""
        run.command("\x1d")
        run.expect(r"console: monitor[^>]*> [^>]*> $")
        running = _since(before, _calls(run))
        kept = int(re.search(r"frames kept at 4K (\d+)", run.monitor("mmu td")).group(1))
        run.command("\x1d\x1d")
        run.expect(r"console: guest td")
        return running, kept

    def teardown(self):
        return _since(self.running, self.whole)


def measure(build, name, kernel):
    """(the TD's Life, the plain guest's, MiB accepted as 2M pages and as 4K pages)"""
    # Bochs delivers a virtual interrupt behind an injected #VE: docs/architecture.md.
    case = Case("", [], conf="disable = vid\n" + _vm("plain", "nx_huge = off\n") + _vm("td", "type = td\n"),
                files={"/guests/vmlinuz": kernel, "/guests/initrd": "linux/initrd"})
    with Run(build, name, case, memory=2 * HOST_MEMORY) as run:
        run.expect(r"protects them from this host[^>]*\s> $")
        plain, td = Life(run, "plain"), Life(run, "td")
        accepted = re.search(r"TD shim: accepted (\d+) pages of 2M and (\d+) of 4K", run.text())
        if not accepted:
            raise RunFailed(f"{name}: the shim does not say what it accepted")
        return td, plain, int(accepted.group(1)) * 2, int(accepted.group(2)) / 256


# Stages of the guest tdcost (tests/guests/td/tdcost.c): what one operation is.
OPERATIONS = {
    "cut-shared": "4K of a 2M page becomes shared", "4k-shared": "4K becomes shared, a table is there",
    "4k-private": "4K becomes private", "4k-accept": "4K is accepted",
    "2m-shared": "2M becomes shared", "2m-private": "2M becomes private", "2m-accept": "2M is accepted",
}
CAUSES = ("MapGPA (called)", "EPT violation") # what these make a TD leave for


class Operation:
    """What one stage took, all its operations together."""

    def __init__(self, times, ticks, calls, causes):
        self.times, self.ticks, self.calls, self.causes = times, ticks, calls, causes

    def root_ticks(self):
        return sum(ticks for _, ticks in self.causes.values())

    def calls_each(self):
        made = {leaf.removeprefix("TDH."): counts[0] / self.times for leaf, counts in self.calls.items()
                if leaf != "TDH.VP.ENTER"}
        return ", ".join(f"{leaf} {each:.4g}" for leaf, each in sorted(made.items(), key=lambda item: -item[1]))


def _counters(run, name):
    with run.aside(name):
        calls = _calls(run)
        causes = {cause: counts for cause, counts in exits(run.monitor(f"exits {name}"))[1].items() if cause in CAUSES}
    return calls, causes


def measure_memory(build, name):
    """{stage: Operation}"""
    case = Case("", [], conf="disable = vid\n[vm cost]\ntype = td\nkernel = /guests/tdcost\nautostart = no\nmemory = 64M\n",
                files={"/guests/tdcost": "tests/guests/td/tdcost"})
    found = {}
    with Run(build, name, case, memory=HOST_MEMORY) as run:
        run.expect(r"protects them from this host[^>]*\s> $")
        run.command("vm start cost")
        run.expect(r"STAGE none 0 0\s")
        calls, causes = _counters(run, "cost")
        for stage in OPERATIONS:
            run.keys("n")
            run.expect(rf"STAGE {stage} \d+ \d+\s")
            times, ticks = map(int, re.search(rf"STAGE {stage} (\d+) (\d+)", run.text()).groups())
            before, causes_before = calls, causes
            calls, causes = _counters(run, "cost")
            found[stage] = Operation(times, ticks, _since(before, calls), _since(causes_before, causes))
        run.keys("n")
        run.expect(r"DONE tdcost: \d+ passed, 0 failed")
    return found


def report_memory(out, found):
    out.title("Memory of a TD, mean of one operation: ticks seen from inside, root-mode instructions of its exits "
              "(the module's included, but not VP.ENTER's), calls of the module")
    out.line(f"{'operation':<38}{'ticks':>10}{'exits':>7}{'root':>10}  calls")
    for stage, one in found.items():
        count = sum(count for count, _ in one.causes.values())
        out.line(f"{OPERATIONS[stage]:<38}{one.ticks // one.times:>10,}{count / one.times:>7.3g}"
                 f"{one.root_ticks() // one.times:>10,}  {one.calls_each()}")
    for stage, each in (("4k-accept", 256), ("2m-accept", 0.5)):
        one = found[stage]
        out.line(f"{OPERATIONS[stage]}, for a MiB: {round(one.ticks / one.times * each):,} ticks, "
                 f"{sum(counts[0] for leaf, counts in one.calls.items() if leaf != 'TDH.VP.ENTER') / one.times * each:g} calls")


def report(out, td, plain, large, small):
    out.title(f"Linux as a TD of {MEMORY} MiB, one vCPU, on the software module: its calls from start to shell, and to its end")
    out.line(f"{'':<28}{'to the shell':>14}{'afterwards':>12}{'repeated':>10}{'failed':>10}")
    for leaf in sorted(td.whole, key=lambda leaf: -td.whole[leaf][0]):
        made, repeated, failed = td.whole[leaf]
        running = td.running.get(leaf, (0, 0, 0))[0]
        out.line(f"{leaf:<28}{running:>14,}{made - running:>12,}{repeated:>10,}{failed:>10,}")
    augs = td.running.get(AUG, (0, 0, 0))[0]
    out.line(f"accepted by the shim: {large} MiB as 2M pages, {small:.1f} MiB as 4K pages: "
             f"{percent(large, large + small)} as 2M (target: 95, "
             f"{out.verdict('TD memory accepted as 2M', large >= 0.95 * (large + small))}); {augs / (large + small):.1f} {AUG} for a MiB")
    out.line(f"2M frames that were split once and stay in 4K pages: {td.kept} of {MEMORY // 2}")
    after = td.teardown()
    piecemeal = sum(after.get(leaf, (0, 0, 0))[0] for leaf in PAGE_BY_PAGE)
    out.line(f"teardown: {after.get(RECLAIM, (0, 0, 0))[0] * 1024 // MEMORY:,} {RECLAIM} for a GiB, "
             f"{piecemeal} of block, track, remove {out.target('teardown page by page', piecemeal, 0)}")
    out.line(f"{'':<44}{'TD':>18}{'plain guest':>18}{'ratio':>8}")
    for what, values in (("power-on to init", (td.init, plain.init)),
                         ("exits", [sum(count for count, _ in life.exits.values()) for life in (td, plain)]),
                         ("root-mode instructions, stubs left out",
                          [sum(ticks for _, ticks in life.exits.values()) for life in (td, plain)])):
        out.line(f"{what:<44}{values[0]:>18,}{values[1]:>18,}{values[0] / values[1]:>8.2f}")


def percent(part, whole):
    return f"{100 * part / whole:.1f} %"
