"""Debian's gdb at a Linux guest that runs its shell: steps to be put between others of a case."""
import re
import subprocess
import threading

from case import Call, Expect, Send

PORT = 1234
FUNCTION = "__x64_sys_newuname"

# In this order, with anything between.
SHOWN = "(?s)" + ".*".join([
    r"vCPU 0 on CPU 0", r"Breakpoint 1, 0x\w+ in ", r"\$1 = 1", r"=> 0x\w+:", r"\$2 = 1", r"rip +0xffffffff",
    r"Breakpoint 2, 0x\w+ in ", r"\$3 = 1", r'"Linux"', r"Hardware watchpoint 3",
    r"Old value = -38\s+New value = 0", r"\$4 = 1", r"rip +0xffffffff", r"detached"])


def debug(machine):
    """What gdb says to tests/boot/gdb/linux.gdb, while the shell is told to make the system call that it waits for."""
    address = re.findall(rf"\n([0-9a-f]{{16}}) T {FUNCTION}\r", machine.text())[-1]
    command = ["gdb", "-batch", "-nx", "-ex", "set pagination off", "-ex", "set confirm off",
               "-ex", "set remotetimeout 120", "-ex", "set architecture i386:x86-64",
               "-ex", f"set $function = 0x{address}",
               "-ex", f"target remote 127.0.0.1:{machine.ports[PORT]}", "-x", "tests/boot/gdb/linux.gdb"]
    said = ""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          errors="replace") as gdb:
        limit = threading.Timer(200, gdb.kill)
        limit.start()
        for line in gdb.stdout:
            if "vCPU 0" in line:
                machine.write("uname -s\n")
            said += line
        limit.cancel()
    return None if re.search(SHOWN, said) else f"gdb said: {said}"


# The guest's shell has its prompt; so it has afterwards.
STEPS = [
    Send(f"grep -m 1 ' {FUNCTION}$' /proc/kallsyms\n"), Expect(rf"[0-9a-f]{{16}} T {FUNCTION}\s+linux# "),
    Send("\x1d"), Expect(r"console: monitor"),
    Send(f"gdb linux open 10.0.2.2 {PORT}\n"), Expect(rf"port {PORT} waits for gdb from 10\.0\.2\.2"), Expect(r"> "),
    Send("\x1d"), Expect(r"console: guest linux"),
    Call(debug), Expect(r"gdb: guest linux goes on without a debugger"),
    Send("echo $((6 * 8)) $(uname -s)\n"), Expect(r"48 Linux\s+linux# "),
    Send("\x1d"), Expect(r"console: monitor"), Send("gdb linux close\n"), Expect(r"> "),
    Send("\x1d"), Expect(r"console: guest linux"),
]
