"""Debian's gdb at a guest, over the network: what it shows, and that the guest has noticed nothing."""
import os

from case import Case, Expect, Inside, Send

ELF = os.path.join(os.environ.get("BUILD", "build"), "tests/guests/debugged.elf.64")

CONF = """\
{head}net = 192.0.2.50/24
[vm debugged]
kernel = /guests/debugged
memory = 64M
{keys}"""

ADDRESS = r"net: the host has the address 192\.0\.2\.50/24"
WAITS = r"NEXT debugged: waits for go = 1"

# In this order, with anything between.
SHOWN = "(?s)" + ".*".join([
    r"vCPU 0 on CPU 0", r"Breakpoint 1, 0x0*100010 in sequence", r"in sequence", r"\$1 = 0x100012",
    r"Breakpoint 2, 0x\w+ in sequence", r"ud2", r"\$2 = 0x1", r"Breakpoint 3, ", r"cli", r"\$3 = 0x80000001",
    r"\$4 = 1", r"cli", r"\$5 = 1", r"\$6 = 1", r"\$7 = 7", r"\$8 = 1", r"Old value = 0\s+New value = 5", r"\$9 = 5",
    r"Value = 5", r"in look", r"atchpoint 9", r"in check_flags", r"Breakpoint 10, check_registers", r"#1 .* in guest_main",
    r"Inferior 1 \(Remote target\) detached"])

SHOWN_THREADS = "(?s)" + ".*".join([
    r"vCPU 0 on CPU 0", r"vCPU 1 on CPU 1", r"Thread 1 .*hit Breakpoint 1, 0x0*100010 in sequence", r"\$1 = 1", r"\$2 = 1",
    r"Thread 2 .*hit Temporary breakpoint 2", r"Thread 1 .*hit Hardware watchpoint 3",
    r"Old value = 0\s+New value = 5", r"Thread 1 .*hit Breakpoint 4, check_registers", r"vCPU 1 on CPU 1",
    r"Inferior 1 \(Remote target\) detached"])


def debugged(name, script="debugged", shown=SHOWN, head="", keys="", **more):
    return Case(name, [
        Expect(f"(?s){ADDRESS}.*{WAITS}|{WAITS}.*{ADDRESS}"),
        Send("\x1d"), Expect(r"console: monitor"),
        Send("gdb debugged open 192.0.2.1 1234\n"), Expect(r"port 1234 waits for gdb from 192\.0\.2\.1"),
        Inside(["gdb", "-batch", "-nx", "-x", f"tests/boot/gdb/{script}.gdb", ELF], shown, 300),
        Expect(r"gdb: guest debugged goes on without a debugger"),
        Expect(r"guest debugged has stopped: debug exit with value "),
        Expect(r"DONE debugged: 2[0-9] passed, 0 failed"), Expect(r"> "),
        Send("gdb\n"), Expect(r"guest debugged: port 1234 for 192\.0\.2\.1, waits for gdb"),
        Send("gdb debugged close\n"), Expect(r"> "), Send("gdb\n"), Expect(r"no guest has a port for gdb"),
        Send("audit\n"), Expect(r"its own memory only"),
    ], conf=CONF.format(head=head, keys=keys), files={"/guests/debugged": "tests/guests/debugged.elf"},
        never=[r"FAIL \w", r"the network has stopped"], **more)


CASES = [
    debugged("gdb-debugged", host={"network": True}),
    debugged("gdb-debugged-shadow", by_name=True, head="disable = vid\n", keys="mmu = shadow\n",
             host={"network": True}),
    debugged("gdb-debugged-2cpu", "threads", SHOWN_THREADS, by_name=True, keys="vcpus = 2\n",
             host={"network": True, "cpu": "corei7_skylake_x", "count": 2}),
]
