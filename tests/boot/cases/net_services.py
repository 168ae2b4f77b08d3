"""
The services of the network, as seen from another machine, on QEMU's e1000e: the page, metrics, the monitor with its key
and without, the log by syslog; and what clients do that mean no good. There are no guests: QEMU has no VMX.
"""
import re
import socket

import net_clients
from case import Call, Case, Expect, Send

KEY = "c0ffee00c0ffee00"
HTTP, MONITOR = 80, 2323

# The collector: what the host sends to 10.0.2.2 arrives here. It holds its port from now on.
COLLECTOR = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
COLLECTOR.bind(("127.0.0.1", 0))
COLLECTOR.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

CONF = f"""\
net = dhcp
net_key = {KEY}
monitor_port = {MONITOR}
http_port = {HTTP}
syslog = 10.0.2.2:{COLLECTOR.getsockname()[1]}
[vm one]
kernel = /guests/vmlinuz
autostart = no
"""

MESSAGE = re.compile(r"<13[1245]>1 (?:-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) \S+ gnomon - - "
                     r'\[meta sequenceId="(\d+)"\](?:\[timeQuality tzKnown="0" isSynced="0"\])? (.*)\Z')


def syslog(machine):
    """From the first line on, in order, without a gap."""
    del machine
    COLLECTOR.settimeout(20)
    lines = []
    while not any("http: a page" in line for line in lines):
        try:
            message = MESSAGE.match(COLLECTOR.recv(2048).decode("ascii"))
        except OSError:
            return f"the collector got {len(lines)} lines, the last {lines[-1:]}"
        if not message or int(message.group(1)) != len(lines) + 1:
            return f"no message, or out of order: {message}"
        lines.append(message.group(2))
    return None if lines[0].startswith("Gnomon hypervisor") else f"the log began with {lines[0]!r}"


def metrics(machine, count):
    return net_clients.scrapes("127.0.0.1", machine.ports[HTTP], count)


def pages(machine):
    return net_clients.pages("127.0.0.1", machine.ports[HTTP])


def nuisance(machine, count):
    net_clients.nuisance("127.0.0.1", [machine.ports[HTTP], machine.ports[MONITOR]], count)


def session(machine, key, commands, pattern):
    said = net_clients.monitor("127.0.0.1", machine.ports[MONITOR], key, commands)
    return None if re.search(pattern, said, re.S) else f"{commands!r} was answered with {said!r}"


def served_again(machine):
    return net_clients.wait_for("127.0.0.1", machine.ports[HTTP])


def call(function, *arguments):
    return Call(lambda machine: function(machine, *arguments))


CASES = [
    Case("net-services", conf=CONF, machine="qemu", host={"forward": [HTTP, MONITOR]},
         files={"/guests/vmlinuz": "guests/vmlinuz"}, steps=[
             Expect(r"monitor: on port 2323 for who has net_key"),
             Expect(r"http: a page and /metrics on port 80"),
             call(syslog), call(pages), call(metrics, 100),
             call(session, KEY, "vm\nmem\nexit\n", r"welcome.*one +off.*network +\d+ KiB"),
             call(session, "c0ffee00c0ffee01", "vm\n", r"wrong answer"),
             Expect(r"monitor: wrong answer from 10\.0\.2\.2; the next one is taken in 2 s"),
             call(nuisance, 100), call(served_again), call(metrics, 10),
             call(session, KEY, "vm start one\nexit\n", r"guest one cannot run: this host has no usable VMX"),
             call(session, KEY, "console one open 10.0.2.2 4000\nconsole\nconsole one close\n",
                  r"port 4000 is open for one connection from 10\.0\.2\.2.*waits for 10\.0\.2\.2"),
             Send("mem\n"), Expect(r"network +\d+ KiB"), Expect(r"> "),
         ]),
]
