#!/usr/bin/env python3
"""
Instructions of the mmu's paths, counted on the host by valgrind's callgrind: what one call of each takes, how that
grows with guest memory, and how much memory the mmu itself takes. `make bench-host`, and a part of `make bench`.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import subprocess

from report import Report

FLAGS = "-std=gnu11 -O2 -g -fno-stack-protector -DGNOMON_HOST_TEST -I.".split()
SUPPORT = "tests/unit/support/{}.c"
BASE = ["hv/base/failure.c", "hv/base/format.c"]

# Program: what it is made of beside mmu/ and BASE.
PROGRAMS = {
    "mmu_count": ["tests/unit/mmu_world.c"] + [SUPPORT.format(s) for s in ("phys", "trace", "panic")],
    "mmu_growth": [SUPPORT.format(s) for s in ("panic", "trace")],
    "mirror_count": [SUPPORT.format(s) for s in ("phys", "percpu", "log", "clock", "panic", "trace")]
                    + [f"hv/base/{s}.c" for s in ("frame", "frame_init", "map_ram")]
                    + [f"tdx/{s}.c" for s in ("sept", "seamcall", "status", "module", "module_memory", "tdmr")],
}

# What, program, its case, the function that is counted, its calls for each of N, target.
CALLS = [
    ("EPT fault, nothing to do", "mmu_count", "spurious", "mmu_fault", 1, None),
    ("EPT fault 2M, table present", "mmu_count", "fresh_2m", "mmu_fault", 1, None),
    ("EPT fault 4K, table present", "mmu_count", "warm_4k", "mmu_fault", 1, None),
    ("EPT fault 4K, with a new table, a spare at hand", "mmu_count", "cold_4k", "mmu_fault", 1, None),
    ("EPT fault 4K, mean of 512 in a row, filling of tables included", "mmu_count", "all_4k", "mmu_fault", 512, None),
    ("MMIO hit", "mmu_count", "mmio_hit", "mmu_mmio_hit", 1, None),
    ("gpa_read of 8 bytes", "mmu_count", "read_8", "gpa_read", 1, None),
    ("guest_walk, 4-level", "mmu_count", "walk_4", "guest_walk", 1, None),
    ("private fault 4K, table present, without the TDX module", "mirror_count", "fault_4k", "mmu_fault", 1, 600),
    ("the same for a page that is being accepted", "mirror_count", "accept_4k", "mmu_mirror_accept", 1, 600),
    ("private fault 4K, with a new table, a spare at hand", "mirror_count", "fault_4k_cold", "mmu_fault", 1, None),
    ("private 2M page that is being accepted", "mirror_count", "accept_2m", "mmu_mirror_accept", 1, None),
]

SIZES = {"1 GiB": 1, "16 GiB": 16, "256 GiB": 256, "4 TiB": 4096}
GROWTH = 1.05  # more than that between the sizes is growth; less is where addresses fall

# What, case of mmu_growth, the function that is counted, two values of N, target.
GROWING = [
    ("EPT fault, pages in a row", "ept_dense", "mmu_fault", 8, 40, None),
    ("EPT fault, pages all over memory", "ept_spread", "mmu_fault", 8, 40, None),
    ("EPT: deletion of a slot, 1024 pages mapped", "ept_zap", "mmu_slot_delete", 1, 3, None),
    ("shadow fault, pages in a row", "fault_dense", "mmu_shadow_fault", 8, 40, None),
    ("shadow fault, pages all over memory", "fault_spread", "mmu_shadow_fault", 8, 40, None),
    ("  of it the question for pages, skipped", "fault_dense", "unsync_try", 8, 40, None),
    ("  of it the question for pages, by the hash", "search", "unsync_try", 8, 40, None),
    ("shadow: CR3 load that changes nothing", "load", "mmu_shadow_load", 8, 40, None),
    ("shadow: CR3 load that syncs a table of 8 entries", "sync_8", "mmu_shadow_load", 8, 40, 2000),
    ("shadow: CR3 load that syncs one of 256 entries", "sync_256", "mmu_shadow_load", 8, 40, 2000),
    ("shadow: deletion of a slot, 1024 pages mapped", "zap", "mmu_slot_delete", 1, 3, None),
]

# What, case, target in percent of guest memory.
METADATA = [("EPT", "ept_metadata", 0.01, 0.01), ("shadow", "metadata", 0.1, 0.3)]
ALL_PAGES = 1 << 18  # of 1 GiB


class Programs:
    """The programs, built into a folder."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            objects = list(pool.map(self._compile, sorted(glob.glob("mmu/*.c")) + BASE))
        for name, sources in PROGRAMS.items():
            self._cc(f"tests/bench/{name}.c", *sources, *objects, "-lpthread", "-o", self._path(name))

    def _path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _cc(*arguments):
        subprocess.run(["cc", *FLAGS, *arguments], check=True)

    def _compile(self, source):
        name = self._path(os.path.basename(source)[:-1] + "o")
        self._cc("-mgeneral-regs-only", "-c", source, "-o", name)
        return name

    def numbers(self, program, *arguments):
        """What it prints."""
        done = subprocess.run([self._path(program), *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True)
        return list(map(int, done.stdout.split()))

    def counted(self, function, program, *arguments):
        """Instructions inside a function, all calls together; in mirror_count without the TDX module's."""
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--toggle-collect={function}",
                    "--toggle-collect=module_answer", self._path(program), *map(str, arguments)]
        done = subprocess.run(valgrind, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return int(re.search(r"Collected : *(\d+)", done.stderr).group(1))

    def each(self, function, few, many, *call):
        """The same for one of N: what many of them take more than few."""
        return (self.counted(function, *call, many) - self.counted(function, *call, few)) // (many - few)


def _report_calls(report, programs, pool):
    report.title("The mmu's paths on the host, instructions of one call, by callgrind")
    counts = [pool.submit(programs.each, function, 8, 40, program, case)
              for _, program, case, function, _, _ in CALLS]
    for (what, _, _, _, calls, most), count in zip(CALLS, counts):
        each = count.result() // calls
        report.line(f"{what:<66}{each:>8,}  {report.target(what, each, most) if most else ''}".rstrip())


def _row(report, what, figures, rest):
    report.line(f"{what:<50}" + "".join(f"{figure:>10,}" for figure in figures) + f"  {rest}")


def _head(report, what):
    report.line(f"{what:<50}" + "".join(f"{size:>10}" for size in SIZES))


def _report_growth(report, programs, pool):
    report.title("The same with more guest memory")
    _head(report, "")
    counts = [[pool.submit(programs.each, function, few, many, "mmu_growth", case, gib) for gib in SIZES.values()]
              for _, case, function, few, many, _ in GROWING]
    for (what, *_, most), row in zip(GROWING, counts):
        figures = [count.result() for count in row]
        grows = max(figures) > figures[0] * GROWTH
        verdict = f"(target: does not grow, {report.verdict(what.strip() + ', growth', not grows)})"
        _row(report, what, figures, verdict + (f" {report.target(what, max(figures), most)}" if most else ""))


def _share(report, what, used, gib, most):
    share = 100 * used / (gib << 30)
    return f"{share:.4f} % (target: {most} %, {report.verdict(what, share < most)})"


def _report_metadata(report, programs):
    report.title("Metadata of the mmu: all bytes but the tables themselves")
    _head(report, "bytes per GiB of guest memory")
    for kind, case, idle, mapped in METADATA:
        used, tables = {}, {}
        for gib in SIZES.values():
            used[gib], tables[gib] = programs.numbers("mmu_growth", case, gib, 0)
        what = f"{kind}, nothing mapped"
        worst = max(used, key=lambda gib: used[gib] / gib)
        _row(report, what, [used[gib] // gib for gib in used],
             f"at most {_share(report, 'metadata: ' + what, used[worst], worst, idle)}; tables {tables[worst]:,} bytes")
    for kind, case, idle, mapped in METADATA:
        used, tables = programs.numbers("mmu_growth", case, 1, ALL_PAGES)
        what = f"{kind}, each page mapped once by 4K"
        _row(report, what, [used], f"{_share(report, 'metadata: ' + what, used, 1, mapped)}; tables {tables:,} bytes, "
             f"{100 * tables / (1 << 30):.3f} %")


def _report_questions(report, programs):
    report.title("The fast skip where no page shadows a table")
    asked = sum(programs.counted(function, "mmu_growth", "ept_dense", 1, 40) for function in ("unsync_try", "unsync_try_run"))
    report.line(f"40 faults of the EPT: {asked} instructions for questions, since it asks none "
                f"{report.target('questions of the EPT', asked, 0)}")
    for what, case, share in (("frames without a reason against large pages", "flat_whole", 1),
                              ("frames with an initial count", "flat_edges", 0)):
        calls, skips = programs.numbers("mmu_growth", case, 1, 24)
        one = programs.each("unsync_try", 8, 24, "mmu_growth", case, 1)
        run = programs.each("unsync_try_run", 8, 24, "mmu_growth", case, 1) / 512
        report.line(f"a guest without paging, whose pages are direct as the EPT's are, in {what}:")
        report.line(f"  asked {calls:,}, skipped {skips:,} (target: {calls * share:,}, "
                    f"{report.verdict('fast skip in ' + what, skips == calls * share)}); {one} instructions alone, "
                    f"{run:.1f} in a run of 512")


def _report_random_tables(report, test):
    """The unit test places page tables at random, and judges by two standard deviations."""
    report.title("The fast skip where page tables lie at random, lambda in a 2M frame and k together")
    report.line("Target: the share of frames without one is e^-(lambda/k) within two standard deviations, and each call there "
                "is skipped, no other.")
    done = subprocess.run([test], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in re.findall(r"^lambda .*$", done.stdout, re.MULTILINE):
        report.line(line)
    report.line(f"{report.verdict('fast skip where page tables lie at random', done.returncode == 0)}")


def report_all(report, build):
    programs = Programs(os.path.join(build, "mmu-count"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        _report_calls(report, programs, pool)
        _report_growth(report, programs, pool)
    _report_metadata(report, programs)
    _report_questions(report, programs)
    _report_random_tables(report, os.path.join(build, "host/tests/unit/test_shadow_skip"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    build = parser.parse_args().build
    report = Report(os.path.join(build, "bench-host.txt"))
    report_all(report, build)
    report.summary()


if __name__ == "__main__":
    main()
