#!/usr/bin/env python3
"""
`make bench`: what a Linux boot and each kind of exit cost, in instructions of the emulator (its TSC counts
one per instruction), as a table on the terminal and in bench.txt of the build folder.
"""
import argparse
import collections
import concurrent.futures
import os
import re
import signal

import host_count
import linux
import memory
import net
import paths
import td
import work
from measure import Case, Run, RunFailed, bochs_is_debugger, bochs_program, conf, stop_all
from report import Report

# Operation of the guest cost: (what it is, most ticks its exits may take, KVM's ticks seen from inside)
TARGETS = {
    "cpuid": ("CPUID", None, 1115), # has one by its path
    "port-read": ("port read in the hypervisor (UART)", 180, 1416),
    "port-write": ("port write (UART)", 180, None), "absent-port-read": ("port without device", 180, 3878),
    "msr-read": ("MSR read", 180, None), "msr-write": ("MSR write", 180, None),
    "ioapic-read": ("I/O APIC read, decoded", 500, 4294), "ioapic-write": ("I/O APIC write, decoded", 500, 4294),
    "lapic-read": ("local APIC read", 500, 4294), "lapic-write": ("local APIC write", 500, 4294),
    "self-ipi": ("IPI to itself", None, None), "timer-one-shot": ("timer, one-shot", 500, None),
    "timer-deadline": ("timer, TSC-deadline: write and expiry", 500, 7729),
    "ipi-to-other": ("IPI to another vCPU and back", None, None),
    "touch-page": ("first touch of a page", 350, 7940),
    "touch-region": ("first touch of a 2 MiB region", None, None),
}

# Operation of paths: most instructions of its usual exit, with all features on, without what spares it, or under shadow.
PATH_TARGETS = {
    "CPUID": 130, "port read (UART)": 180, "port write (UART)": 180, "port read (absent)": 180, "MSR read": 180,
    "MSR write": 180, "I/O APIC read": 500, "I/O APIC write": 500, "local APIC read": 500, "timer, TSC-deadline": 500,
    "first touch, page": 300, "CR3 load, same root": 300, "CR3 load, known root": 300,
    "CR3 load, no flush": 300, "CR3 load, syncs 1": 2000, "CR3 load, syncs 256": 2000,
}

# Without these a guest's local APIC is emulated access by access, and its memory mapped by 4K.
PLAIN = ("virt-apic-access", "apic-register", "vid", "virt-x2apic", "tpr-shadow", "ept-2m", "ept-1g")


def percent(part, whole):
    return f"{100 * part / whole:.2f} %"


def report_boot(report, title, bare, guests):
    report.title(title)
    names = ["bare"] + [name for name, _ in guests]
    boots = [bare] + [boot for _, boot in guests]

    def row(what, values):
        report.line(f"{what:<44}" + "".join(f"{value:>18}" for value in values))

    row("", names)
    row("power-on to GRUB's configuration", [f"{b.grub:,}" for b in boots])
    row("power-on to kernel entry, without clearing", [f"{b.entry - b.cleared:,}" for b in boots])
    row("  against bare", ["" if b is bare else f"{100 * (b.entry - b.cleared) / bare.entry - 100:+.1f} %"
                           for b in boots])
    row("clearing of the guest's memory", ["" if b is bare else f"{b.cleared:,}" for b in boots])
    row("kernel entry to init", [f"{b.init:,}" for b in boots])
    row("  against bare", ["" if b is bare else f"{100 * b.init / bare.init - 100:+.1f} %" for b in boots])
    row("exits to power-off", ["" if b is bare else f"{b.exit_count():,}" for b in boots])
    row("root-mode instructions, stubs included", ["" if b is bare else f"{b.root_ticks():,}" for b in boots])
    row("  share of entry to init (target: < 0.8 %)",
        [""] + [f"{percent(b.root_ticks(), b.init)}, "
                + report.verdict(f"{title}, {name}: share of root mode", b.root_ticks() < 0.008 * b.init)
                for name, b in guests])


def report_exits(report, name, boot):
    report.title(f"Exits of {name}: root-mode instructions in all and each, stubs included")
    for reason, (count, ticks) in sorted(boot.exits.items(), key=lambda item: -item[1][1]):
        report.line(f"{reason:<28}{count:>10,}{ticks:>16,}{ticks // count:>8,}")


def run_cost(build, name, vcpus=1, disable=()):
    """{operation: median ticks} of the guest cost."""
    vm = f"kernel = /guests/cost.elf\nvcpus = {vcpus}\n"
    case = Case("", [], conf=conf("cost", vm, disable=disable),
                files={"/guests/cost.elf": "tests/guests/cost.elf"})
    with Run(build, name, case, memory=512, count=vcpus) as run:
        run.expect(r"gnomon: guest cost has stopped: .*\n[^>]*> $")
        if re.search(r"FAIL \w", run.text()):
            raise RunFailed(f"{name}: the guest reports a failure (see {run.folder}/serial.log)")
        return {operation: int(median) for operation, median in re.findall(r"\bCOST (\S+) (\d+) ", run.text())}


def report_cost(report, title, runs):
    """runs: [(column, {operation: median})]"""
    report.title(title)
    report.line(f"{'operation':<44}" + "".join(f"{column:>18}" for column, _ in runs) + f"{'target':>8}{'KVM':>8}")
    operations = list(dict.fromkeys(operation for _, table in runs for operation in table))
    for operation in operations:
        what, target, kvm = TARGETS.get(operation, (operation, None, None))
        cells = "".join(f"{table.get(operation, ''):>18}" for _, table in runs)
        verdict = f"  {report.verdict(f'{what}, seen from inside', runs[0][1][operation] <= target)}" if target else ""
        report.line(f"{what:<44}{cells}{target or '':>8}{kvm or '':>8}{verdict}")


def report_paths(report, build, title, traced):
    report.title(title)
    report.line(f"{'operation':<21}{'left at':<8}{'exits':>6}{'each':>6}{'target':>8}"
                + "".join(f"{k:>15}" for k in paths.KINDS))
    hv_symbols = paths.symbols(os.path.join(build, "gnomon.elf"))
    shown = set()
    for what, found in traced.items():
        if not found:
            report.line(f"{what:<21}no exit")
        for many, one in paths.usual(found, shown):
            report.line(f"{what:<21}{one.cause:<8}{many:>6}{len(one.instructions):>6}{PATH_TARGETS.get(what, ''):>8}"
                        + "".join(f"{one.count(kind):>15}" for kind in paths.KINDS))
            shares = ", ".join(f"{name} {count}" for name, count in paths.by_function(one, hv_symbols)[:10])
            report.line(f"{'':<8}{shares}")


def report_path_targets(report, traced):
    report.title("The usual exit of each operation against its target")
    for what, most in PATH_TARGETS.items():
        lengths = collections.Counter(len(one.instructions) for one in traced.get(what, ()))
        if lengths:
            usual = lengths.most_common(1)[0][0]
            report.line(f"{what:<44}{usual:>6}  {report.target(f'{what}, stub to VMRESUME', usual, most)}")


def in_debian_bochs(build):
    """
    The traces, and what two CPUs cost: Debian's Bochs has the debugger, and Bochs 3.0 delivers vector 255 where a
    posted-interrupt notification comes late. BOCHS may name another for all the rest.
    """
    chosen = bochs_program()
    if not bochs_is_debugger(chosen):
        os.environ["BOCHS"] = "bochs"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(paths.trace, build, "paths"), pool.submit(paths.trace, build, "paths-plain", PLAIN),
                pool.submit(paths.trace, build, "paths-shadow", paths.SHADOW, paths.SHADOW_OPERATIONS),
                pool.submit(run_cost, build, "cost-2", vcpus=2), pool.submit(net.measure_two, build)]
        results = [one.result() for one in jobs]
    os.environ["BOCHS"] = chosen
    return results


def measure_programs(pool, build, kernel, stubs):
    return {"ept": pool.submit(work.measure, build, "work-ept", kernel, stubs, "ept"),
            "shadow": pool.submit(work.measure, build, "work-shadow", kernel, stubs, "shadow"),
            "shadow, no skip": pool.submit(work.measure, build, "work-no-skip", kernel, stubs, "shadow", False)}


def report_all(report, build, kernel):
    traced, plain, shadow, cost_two, net_two = in_debian_bochs(build)
    stubs = paths.Stubs(traced, paths.symbols(os.path.join(build, "gnomon.elf")))
    report.line("All figures are instructions: Bochs's TSC counts one for each, and charges nothing for TLB misses,")
    report.line("page walks and the transitions themselves. Gnomon's own account of an exit, between two RDTSCs,")
    report.line(f"leaves out {stubs.short}, or {stubs.long} when an event is delivered on the way back: added below.")
    report_paths(report, build, "The way of an exit, all features on: kinds of exits in a trace, "
                 "instructions from stub to VMRESUME, by kind and by function", traced)
    report_paths(report, build, "The same without APIC virtualisation and large EPT pages", plain)
    report_paths(report, build, "The same under shadow paging", shadow)
    report_path_targets(report, {**shadow, **{what: traced[what] or plain[what] for what in traced}})

    line = linux.KVM_LINE
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        cost = pool.submit(run_cost, build, "cost")
        cost_plain = pool.submit(run_cost, build, "cost-plain", disable=PLAIN)
        bare_line = pool.submit(linux.boot_bare, build, "bare-line", kernel, line)
        guest_line = pool.submit(linux.boot_guest, build, "linux-line", kernel, line, stubs)
        guest_premap = pool.submit(linux.boot_guest, build, "linux-premap", kernel, line, stubs, premap=True)
        guest_rdrand = pool.submit(linux.boot_guest, build, "linux-rdrand", kernel, line, stubs, hidden=())
        bare = pool.submit(linux.boot_bare, build, "bare", kernel, "")
        guest = pool.submit(linux.boot_guest, build, "linux", kernel, "", stubs)
        programs = measure_programs(pool, build, kernel, stubs)
        network = pool.submit(net.measure, build)
        domain = pool.submit(td.measure, build, "td", os.path.join(os.path.abspath(build), "guests/vmlinuz-td"))
        domain_memory = pool.submit(td.measure_memory, build, "td-memory")

    report_cost(report, "Seen from inside, median ticks of an operation (guest cost, untrapped RDTSC)", [
        ("all features", cost.result()), ("no APICv, 4K", cost_plain.result()), ("2 vCPUs", cost_two)])
    guests = [("guest", guest_line.result()), ("guest, premap", guest_premap.result()),
              ("guest, RDRAND", guest_rdrand.result())]
    report_boot(report, "Linux, KVM's kernel line", bare_line.result(), guests)
    report_boot(report, "Linux, no option at all", bare.result(), [("guest", guest.result())])
    for name, boot in guests[:2] + [("guest without any option", guest.result())]:
        report_exits(report, name, boot)
    work.report(report, {column: outcome.result() for column, outcome in programs.items()})
    td.report(report, *domain.result())
    td.report_memory(report, domain_memory.result())
    net.report(report, network.result(), net_two)
    memory.report(report, build, network.result())
    violations = guests[1][1].exits.get("EPT violation", (0, 0))[0]
    report.line()
    report.line(f"EPT violations with all memory mapped up front: {violations} "
                f"{report.target('EPT violations with premap', violations, 0)}")
    host_count.report_all(report, build)
    report.summary()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--kernel", required=True, help="bzImage that is booted")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, stop_all)
    signal.signal(signal.SIGINT, stop_all)
    os.makedirs(os.path.join(args.build, "bench"), exist_ok=True)
    report_all(Report(os.path.join(args.build, "bench.txt")), args.build, os.path.abspath(args.kernel))


if __name__ == "__main__":
    try:
        main()
    except RunFailed as failure:
        raise SystemExit(f"make bench: {failure}")
