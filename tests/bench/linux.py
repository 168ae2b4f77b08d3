"""A Linux boot, bare by GRUB and as a guest: the TSC at GRUB, at the kernel's entry and at init."""
import dataclasses
import re

from measure import Case, Run, RunFailed, conf, exits

MEMORY = 640       # MiB, of the guest and of the bare machine alike
HOST_MEMORY = 1024
TICKS_PER_MS = 100000  # ips of the machine

# The line KVM was measured with: docs/performance.md.
KVM_LINE = ("console=ttyS0 nokaslr mitigations=off tsc=reliable tsc_early_khz=100000 lpj=400000 pci=off nowatchdog "
            "initcall_blacklist=i8042_init panic=-1 reboot=t quiet cryptomgr.notests")

# What `disable = rdrand` is to a guest: without it the bare kernel alone has its random numbers at once.
BARE_LINE = "clearcpuid=rdrand,rdseed"

GRUB_HEAD = "echo BENCH\nrdmsr 0x10\n"
GRUB_TAIL = "echo BOOT\nrdmsr 0x10\nboot\n"


@dataclasses.dataclass
class Boot:
    grub: int      # host TSC when GRUB has its configuration
    entry: int     # host TSC when the kernel is entered
    init: int      # ticks from there to init
    cleared: int = 0   # of the ticks to the kernel's entry, those spent on clearing the guest's memory
    exits: dict = None

    def root_ticks(self):
        return sum(ticks for _, ticks in self.exits.values())

    def exit_count(self):
        return sum(count for count, _ in self.exits.values())


def _stick(kernel, grub_cfg, conf_text):
    return Case("", [], conf=conf_text, grub=True, files={
        "/EFI/BOOT/BOOTX64.EFI": "bench/grub.efi",
        "/gnomon/grub.cfg": (GRUB_HEAD + grub_cfg + GRUB_TAIL).encode(),
        "/guests/vmlinuz": kernel,
        "/guests/initrd": "bench/initrd",
    })


def _grub_tsc(run, word):
    """The TSC that GRUB shows behind a word."""
    shown = rf"{word}[^0-9]*?0x([0-9a-f]+)\s"
    run.expect(shown)
    return int(re.findall(shown, run.text())[-1], 16)


def _init_tsc(run):
    run.expect(r"INIT \d+ ticks")
    return int(re.findall(r"INIT (\d+) ticks", run.text())[-1])


def boot_bare(build, name, kernel, line):
    """The kernel's entry is GRUB's `boot`: the kernel's own EFI stub counts as kernel."""
    grub_cfg = f"linux /guests/vmlinuz {line} {BARE_LINE}\ninitrd /guests/initrd\n"
    with Run(build, name, _stick(kernel, grub_cfg, ""), memory=MEMORY) as run:
        grub = _grub_tsc(run, "BENCH")
        entry = _grub_tsc(run, "BOOT")
        return Boot(grub=grub, entry=entry, init=_init_tsc(run) - entry)


def boot_guest(build, name, kernel, line, stubs, premap=False, hidden=("rdrand",)):
    """The guest's TSC is 0 at the kernel's entry, and the monitor knows the host's then. stubs: see paths.Stubs."""
    vm = "kernel = /guests/vmlinuz\ninitrd = /guests/initrd\n" + ("premap = yes\n" if premap else "")
    stick = _stick(kernel, "chainloader /gnomon/gnomon.efi\n", conf("linux", vm, line, MEMORY, hidden))
    with Run(build, name, stick, memory=HOST_MEMORY) as run:
        grub = _grub_tsc(run, "BENCH")
        init = _init_tsc(run)
        run.expect(r"gnomon: guest linux has stopped: .*\n[^>]*> $")
        behind, table = exits(run.monitor("exits"))
        cleared = re.search(r"cleared \d+ MiB in (\d+) ms", run.text())
        if not table:
            raise RunFailed(f"{name}: the guest made no exit")
        ticks = int(cleared.group(1)) * TICKS_PER_MS if cleared else 0
        return Boot(grub, behind, init, ticks, stubs.added(table))
