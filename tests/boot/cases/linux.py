"""Debian's unmodified kernel to a shell, and out of it again. Few: each takes a minute in Debian's Bochs."""
import threading

import gdb_linux
import net_clients
from case import Call, Case, Expect, Send

FILES = {"/guests/vmlinuz": "guests/vmlinuz", "/guests/initrd": "linux/initrd"}

# What `work check` prints (tests/linux/work.c), whatever maps the guest's memory.
CHECKS = [
    ("touch-64m-by-4k", 11913333772788965376), ("touch-64m-by-2m-first", 11913333772788965376),
    ("touch-64m-by-2m-again", 11913333772788965376), ("touch-one-page-in-512-regions", 6259294540061868288),
    ("map-touch-unmap-16-pages-x100", 9605518321261462304), ("mprotect-2m-x20", 0),
    ("mprotect-2m-x20-touched", 7252713179490028032), ("fork-exit-16m", 92), ("fork-write-16m", 113),
    ("fork-exec", 42), ("pipe-ping-pong-x100", 984), ("page-fault-signal", 17), ("threads-20", 0),
    ("threads-20-at-once", 0), ("threads-20-touching", 8640), ("churn", 408),
]

# Memory and processes of every kind, a pipeline of many programs, and a kernel module.
WORK = ([Send("work check\n")] + [Expect(rf"CHECK {name} {value}\s") for name, value in CHECKS] + [
    Expect(r"CHECK done\s+linux# "),
    Send("for i in $(seq 40); do echo $i | sed s/^/n/ | tr n m; done | sort | md5sum\n"),
    Expect(r"18466e6a1ab4a452f6736b2bc94ff696"), Expect(r"linux# "),
    Send("insmod /bin/dummy.ko && ls /sys/class/net && rmmod dummy && echo unloaded\n"),
    Expect(r"dummy0"), Expect(r"unloaded\s+linux# "),
])


def conf(vcpus, head="", more=""):
    # The kernel's self-tests of its crypto code are half of its boot; quiet saves console output.
    return (f"{head}[vm linux]\nkernel = /guests/vmlinuz\ninitrd = /guests/initrd\n"
            f"cmdline = console=ttyS0 cryptomgr.notests quiet\nmemory = 512M\nvcpus = {vcpus}\n{more}")


def shell(cpus):
    """Up to the prompt, and the proof that what is typed arrives and is carried out."""
    return [
        Expect(r"gnomon: guest linux starts"),
        Expect(rf"Linux 6\.1\S* on {cpus} CPU"),
        Expect(r"linux# "),
        Send("echo $((6 * 7)) $(uname -s)\n"),
        Expect(r"42 Linux"),
        Expect(r"linux# "),
    ]


# The kernel's other entry, of the ELF file in its payload: a second VM of the first case.
PVH = ("[vm pvh]\nkernel = /guests/vmlinux\ninitrd = /guests/initrd\nmemory = 256M\nautostart = no\n"
       "cmdline = console=ttyS0 cryptomgr.notests quiet\n")
PVH_FILES = {"/guests/vmlinux": "guests/vmlinux"}
PVH_STEPS = [Send("vm start pvh\n"), Expect(r"gnomon: guest pvh starts"),
             Send("\x1d"), Expect(r"console: guest linux"), Send("\x1d"), Expect(r"console: guest pvh"),
             Expect(r"Linux 6\.1\S* on 1 CPU"), Expect(r"linux# ")]

# Meanwhile somebody looks at the host over its network, and others mean no good: neither changes a sum.
NET = "net = dhcp\nhttp_port = 80\n"


def look_at(machine):
    """Scrapes and nuisance beside the guest; what came of it is in machine.seen."""
    def clients():
        port = machine.ports[80]
        net_clients.nuisance("127.0.0.1", [port], 60)
        net_clients.wait_for("127.0.0.1", port)
        machine.seen.append(net_clients.scrapes("127.0.0.1", port, 60) or net_clients.pages("127.0.0.1", port))

    machine.seen = []
    machine.looking = threading.Thread(target=clients, daemon=True)
    machine.looking.start()


def looked_at(machine):
    """All clients are served, and the counters that they saw say that the guest has been running."""
    machine.looking.join(300)
    if machine.seen != [None]:
        return f"clients beside the guest: {machine.seen or 'not done'}"
    samples = net_clients.parse_metrics(net_clients.get("127.0.0.1", machine.ports[80], "/metrics")[2])
    exits = sum(value for key, value in samples.items() if key.startswith("gnomon_vcpu_exits_total"))
    return None if exits > 1000 and samples['gnomon_guest_running{guest="linux"}'] == 1 else f"{exits} exits"


CASES = [
    # With all memory mapped up front: then there is no EPT violation at all, where large pages are executable.
    Case("linux-1cpu-haswell-poweroff", long=True, conf=conf(1, head=NET, more="premap = yes\nnx_huge = off\n") + PVH,
         host={"forward": [80, gdb_linux.PORT]}, files=FILES | PVH_FILES,
         steps=shell(1) + gdb_linux.STEPS + [Call(look_at)] + WORK + [
                           Call(looked_at), Send("poweroff -f\n"), Expect(r"gnomon: guest linux .*off"), Expect(r"> "),
                           Send("exits\n"), Expect(r"CPUID +\d+[^>]*\n\r?> ")] + PVH_STEPS, never=[r"EPT violation +\d"]),
    # All memory in large pages, then logged page by page under load, the CPU logging what is written again, then in
    # large pages again. Without virtual-interrupt delivery, which meets protected pages: there Bochs leaves the
    # IDT-vectoring field stale.
    Case("linux-dirty-log", long=True, conf=conf(1, head="disable = vid\n", more="premap = yes\n"), files=FILES,
         host={"cpu": "corei7_skylake_x"}, steps=shell(1) + [
        Send("\x1d"), Expect(r"console: monitor"), Send("mmu dirty linux on\n"), Expect(r"> "),
        Send("mmu dirty linux show\n"), Expect(r"pages: \d+ written to"), Expect(r"> "),
        Send("\x1d"), Expect(r"console: guest linux"),
        Send("dd if=/dev/zero of=/tmp/zeros bs=1M count=16; echo $((7 * 6)) written\n"), Expect(r"42 written"),
        Send("\x1d"), Expect(r"console: monitor"),
        Send("mmu dirty linux show\n"), Expect(r"pages: [4-9]\d{3} written to"), Expect(r"> "),
        Send("audit\n"), Expect(r"every guest reaches its own memory only"),
        Send("mmu dirty linux off\n"), Expect(r"> "),
        Send("mmu dirty linux show\n"), Expect(r"not logged"), Expect(r"> "),
        Send("audit\n"), Expect(r"every guest reaches its own memory only"),
        Send("\x1d"), Expect(r"console: guest linux"), Send("echo $((8 * 6)) $(uname -s)\n"), Expect(r"48 Linux"),
    ]),
    Case("linux-2cpu-skylake-reset", long=True, conf=conf(2), files=FILES, host={"cpu": "corei7_skylake_x", "count": 2},
         steps=shell(2) + [Send("reboot -f\n"), Expect(r"gnomon: guest linux .*reset"),
                           Expect(r"Linux 6\.1\S* on 2 CPU")]),
    # No EPT: every page table of Linux is shadowed. The same work as above with the same results.
    Case("linux-shadow-penryn", long=True, conf=conf(1), files=FILES, host={"cpu": "core2_penryn_t9600"},
         steps=shell(1) + WORK + [Send("poweroff -f\n"), Expect(r"gnomon: guest linux .*off"), Expect(r"> "),
                                  Send("mmu\n"), Expect(r"accesses by them +\d{2,}[^>]*bytes of metadata"),
                                  Send("audit\n"),
                                  Expect(r"its own memory only")]),
    # The second vCPU comes through the wakeup mailbox. Without virtual-interrupt delivery: there Bochs leaves the
    # IDT-vectoring field stale.
    Case("linux-shadow-2cpu", long=True, conf=conf(2, head="disable = vid\n", more="mmu = shadow\n"), files=FILES,
         host={"cpu": "corei7_skylake_x", "count": 2},
         steps=shell(2) + WORK + [Send("\x1d"), Expect(r"> "), Send("audit\n"), Expect(r"its own memory only")]),
    # gdb again, where the kernel's page tables are shadowed, and where two vCPUs stop and go.
    Case("linux-gdb-shadow", by_name=True, conf=conf(1, head="net = dhcp\n"), files=FILES,
         host={"cpu": "core2_penryn_t9600", "forward": [gdb_linux.PORT]}, steps=shell(1) + gdb_linux.STEPS + WORK),
    Case("linux-gdb-2cpu", by_name=True, conf=conf(2, head="net = dhcp\n"), files=FILES,
         host={"cpu": "corei7_skylake_x", "count": 2, "forward": [gdb_linux.PORT]},
         steps=shell(2) + gdb_linux.STEPS + WORK),
]
