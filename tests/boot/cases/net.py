"""The host's network: a card, addresses, who answers. Each case makes a network of its own (network.py)."""
from case import Case, Command, Expect, Inside, Send
from network import LEASE, TAP

LINK_LOCAL = "fe80::5054:ff:fe67:6e01"  # of the card's address

# One guest computes with a result that is looked at, another never gives the CPU back.
BOCHS = """\
net = dhcp
[vm one]
kernel = /guests/fpu
cmdline = pattern=1
memory = 64M
autostart = no
[vm busy]
kernel = /guests/spin
memory = 64M
autostart = no
"""
GUESTS = {f"/guests/{name}": f"tests/guests/{name}.elf" for name in ("fpu", "spin")}

CASES = [
    Case("net-qemu", [
        Expect(r"vt-d: 1 unit"),
        Expect(r"nic: .* link at 1000 Mbit/s"),
        # In either order: the one waits for a server, the other for nobody's protest.
        Expect(rf"(?s)(?=.*net: the host has the address {LEASE}/24 \(DHCP\))"
               rf"(?=.*net: the host has the address {LINK_LOCAL}/64 \(link-local\))", 120),
        Inside(["busybox", "ping", "-c", "3", LEASE], r"3 packets received"),
        Inside(["busybox", "ping", "-c", "3", "-s", "4000", LEASE], r"3 packets received"),
        Inside(["busybox", "ping6", "-c", "3", "-I", TAP, LINK_LOCAL], r"3 packets received"),
        Command("set_link net off"),
        Expect(r"nic: no link any more"),
        Command("set_link net on"),
        Expect(r"nic: link at 1000 Mbit/s"),
        Inside(["busybox", "ping", "-c", "3", LEASE], r"3 packets received"),
        Send("net\n"),
        Expect(r"link up, 1000 Mbit/s, full duplex, 2 changes"),
        Expect(rf"address {LEASE}/24 \(DHCP\)"),
        Expect(r"gateway 192\.0\.2\.1"),
        Expect(r"0 of an IP version that is off, 0 to be sent"),
    ], conf="net = dhcp\nipv6 = auto\n", machine="qemu", host=dict(network=True), never=[r"the network has stopped"]),
    Case("net-bochs", [
        Expect(r"nic: 82540EM .* link at 1000 Mbit/s"),
        Expect(rf"net: the host has the address {LEASE}/24 \(DHCP\)", 120),
        Send("vm start busy\n"), Expect(r"NEXT spin: for ever"), Send("\x1d"), Expect(r"console: monitor"),
        Inside(["busybox", "ping", "-c", "5", "-W", "10", LEASE], r"5 packets received"),
        Send("vm start one\n"), Expect(r"guest one starts"),
        Inside(["busybox", "ping", "-c", "20", "-i", "0.2", "-W", "10", LEASE], r"(19|20) packets received"),
        Expect(r"guest one has stopped: debug exit with value 0 ", 300),
        Send("net\n"), Expect(r"0 to be sent; 0 pauses in floods"),
    ], conf=BOCHS, files=GUESTS, host=dict(network=True), never=[r"the network has stopped"]),
]
