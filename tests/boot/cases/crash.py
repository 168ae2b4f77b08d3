"""Crashes on purpose: hangs that the watch sees, NMIs from outside, panics whose report is hit by more faults."""
import re
import socket
import threading
import time

from case import Call, Case, Expect
from machine import free_port
from network import LINK_LOCAL, OWN_LINK_LOCAL

LOG_PORT = free_port()


def report_sent(host, *lines):
    """How a report's datagrams read: from its head on, some lines in their order, and its end."""
    return ([rf'<130>1 - {re.escape(host)} gnomon - panic \[meta sequenceId="1"\] PANIC on CPU 0$'] +
            [rf"<130>.*\] {line}" for line in lines] +
            [r"<130>.*\] \| .*watch", r"<130>.*\] the panic was on CPU 0: ", r"<130>.*\] the machine has stopped$"])


class Collector:
    """Takes the datagrams that a machine sends to LOG_PORT: of its own network, or of this host."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.datagrams = []

    def listen(self, machine):
        self.datagrams = []
        if machine.network:
            line = machine.network.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            line.bind(("::", LOG_PORT))
        else:
            line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            line.bind(("127.0.0.1", LOG_PORT))
        line.settimeout(1)
        threading.Thread(target=self._receive, args=(machine, line), daemon=True).start()

    def _receive(self, machine, line):
        with line:
            while not machine.ended.is_set():
                try:
                    self.datagrams.append(line.recv(2048).decode("utf-8", "replace"))
                except TimeoutError:
                    pass

    def check(self, _):
        """The lines of the report that matter, in their order."""
        deadline = time.monotonic() + 30
        while True:
            missing = list(self.wanted)
            for datagram in list(self.datagrams):
                if missing and re.search(missing[0], datagram):
                    missing.pop(0)
            if not missing:
                return None
            if time.monotonic() > deadline:
                return f"no datagram has {missing[0]!r}; there are: {self.datagrams}"
            time.sleep(0.2)


BY_IPV6 = Collector(report_sent(LINK_LOCAL, r"page fault at 0h \(not mapped, write\)", r"  cr0 \w+ cr2 ",
                                r"CPU 1 runs vCPU 0 of guest spin"))
BY_IPV4 = Collector(report_sent("10.0.2.15", r"stack overflow: rsp \w+ is in a guard page$", r"  cr0 \w+ cr2 ",
                                r"  at \w+ overflow\+"))

REPORT_ENDS = [
    Expect(r"gnomon: the log's last lines:"),
    Expect(r"gnomon: \| .*watch: .*watch"),
    Expect(r"gnomon: the panic was on CPU 0: "),
    Expect(r"gnomon: the machine has stopped"),
]


def crash(name, conf, steps, files, **more):
    """The build of tests/boot/crash."""
    return Case(name, steps, conf=conf, files={"/gnomon/gnomon.elf": "provoke/crash.elf", **files}, panics=True, **more)


CASES = [
    # In Bochs, where CPU 1 has a guest as well, which is in the guest all the time. The report goes out by IPv6 too.
    crash("crash-two-cpus", f"watchdog = 1\nnet = 192.0.2.50/24\nipv6 = auto\nsyslog = [{OWN_LINK_LOCAL}]:{LOG_PORT}\n[vm spin]\nkernel = /k\nmemory = 16M\ncpu = 1\n", [
        Call(BY_IPV6.listen),
        Expect(r"gnomon: watch: CPUs watch each other, 1 s", 300),
        Expect(r"gnomon: watch: CPU 1 has not come back for \d+ s:\r\n"
               r"gnomon: CPU 1 runs hang, at [0-9a-f]{16} hang\+\w+\r\n"
               r"gnomon:   \?  [0-9a-f]{16} hang_a_while\+"),
        Expect(r"gnomon: watch: CPU 1 is back"),
        Expect(r"gnomon: an NMI from outside: where every CPU is\r\n"
               r"gnomon: CPU 0 runs panic, at [0-9a-f]{16} nmi_and_panic\+"),
        Expect(r"gnomon: CPU 1 runs vCPU 0 of guest spin, in the guest at rip [0-9a-f]+\r\n"),
        # Later, with the log's lock held; a report, an output and an invariant are broken too.
        Expect(r"gnomon: PANIC on CPU 0\r\ngnomon: page fault at 0h \(not mapped, write\)"),
        Expect(r"gnomon: another fault in the registers, whose rest is lost: page fault at 0h"),
        Expect(r"gnomon:   cr0 \w+ cr2 0 cr3 "),
        Expect(r"gnomon:   at [0-9a-f]{16} broken_sink\+\w+"),
        Expect(r"gnomon:   \?  [0-9a-f]{16} nmi_and_panic\+"),
        Expect(r"gnomon: CPU 1 runs vCPU 0 of guest spin, in the guest at rip "),
        Expect(r"gnomon: guest spin is running"),
        Expect(r"gnomon: another fault in the broken report, whose rest is lost: page fault at 8h"),
        Expect(r"gnomon: another fault in the wrong report, whose rest is lost: broken invariant at .*: nowhere"),
    ] + REPORT_ENDS + [
        Call(BY_IPV6.check),
    ], {"/k": "tests/guests/spin.elf"}, host={"cpu": "corei7_skylake_x", "count": 2, "network": True}),
    # In QEMU, with a network to which the panic sends its report past lwIP.
    crash("crash-one-cpu", f"watchdog = 1\nnet = dhcp\nsyslog = 10.0.2.2:{LOG_PORT}\n", [
        Call(BY_IPV4.listen),
        Expect(r"gnomon: watch: CPU 0 is watched by the PIT's NMI, 1 s", 120),
        Expect(r"gnomon: watch: CPU 0 had not come back for 1 s:\r\ngnomon: CPU 0 runs overflow, at \w+ hang\+"),
        Expect(r"gnomon: watch: CPU 0 has not come back for \d s, and no other CPU has said so:\r\n"
               r"gnomon: CPU 0 runs overflow, at \w+ hang\+"),
        Expect(r"gnomon: watch: CPU 0 is back"),
        Expect(r"gnomon: stack overflow: rsp \w+ is in a guard page"),
        Expect(r"gnomon:   at \w+ overflow\+"),
        Expect(r"gnomon:   \?  \w+ overflow\+"),
    ] + REPORT_ENDS + [
        Call(BY_IPV4.check),
    ], {}, machine="qemu", host={"forward": (514,)}),
]
