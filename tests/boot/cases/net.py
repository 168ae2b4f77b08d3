"""The host's network: a card, addresses, who answers. Each case makes a network of its own (network.py)."""
import net_clients
from case import Call, Case, Command, Expect, Inside, Send
from network import LEASE, LINK_LOCAL, TAP

KEY = "c0ffee00c0ffee00"

# One guest computes and counts its ticks, another never gives the CPU back.
BOCHS = f"""\
net = dhcp
net_key = {KEY}
monitor_port = 2323
http_port = 80
[vm steady]
kernel = /guests/steady
memory = 64M
autostart = no
[vm busy]
kernel = /guests/spin
memory = 64M
autostart = no
"""
GUESTS = {f"/guests/{name}": f"tests/guests/{name}.elf" for name in ("steady", "spin")}


def steady_sum():
    """What the guest steady must get each time."""
    value = 1
    for word in range(16384):
        value = (value << 5 | value >> 27) & 0xffffffff ^ word * 0x9e3779b9 & 0xffffffff
    return value


def clients(nuisances, scrapes):
    """Clients that mean no good, then good ones, while one holds a session and takes nothing: why it failed, or None."""
    def attend(machine):
        inside = machine.network.call
        slow = inside(net_clients.slow_session, LEASE, 2323, KEY)
        inside(net_clients.nuisance, LEASE, [80, 2323], nuisances)
        why = inside(net_clients.wait_for, LEASE, 80) or inside(net_clients.scrapes, LEASE, 80, scrapes)
        return why or net_clients.catch_up(slow)
    return Call(attend)


def beside_steady(nuisances, scrapes):
    """The guest runs, has the console, is looked at, and says at a key what came out."""
    return [
        Send("vm start steady\n"), Expect(r"guest steady starts"), Send("\x1d"), Expect(r"NEXT steady: rounds"),
        clients(nuisances, scrapes),
        Send("x"), Expect(rf"STEADY sum {steady_sum():x}, rounds \d\d+, TSC \d+, ticks \d\d+ of \d+"),
        Expect(r"PASS steady\.same-sum"), Expect(r"PASS steady\.ticks"),
        Expect(r"guest steady has stopped: debug exit with value 0 "),
    ]


# Turns remapping of interrupts on in VT-d's Global Command Register, as firmware may leave it.
GRUB_CFG = b"write_dword 0xfed90018 0x2000000\nchainloader /gnomon/gnomon.efi\nboot\n"

CASES = [
    Case("net-qemu", [
        Expect(r"vt-d: 1 unit"),
        Expect(r"vt-d: firmware left interrupt remapping on at fed90000: switched off"),
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
    ], conf="net = dhcp\nipv6 = auto\n", machine="qemu", host=dict(network=True), grub=True,
         files={"/EFI/BOOT/BOOTX64.EFI": "tests/grub.efi", "/gnomon/grub.cfg": GRUB_CFG}, never=[r"the network has stopped"]),
    Case("net-bochs", [
        Expect(r"nic: 82540EM .* link at 1000 Mbit/s"),
        Expect(rf"net: the host has the address {LEASE}/24 \(DHCP\)", 120), Expect(r"http: a page"),
        Send("vm start busy\n"), Expect(r"NEXT spin: for ever"), Send("\x1d"), Expect(r"console: monitor"),
        Inside(["busybox", "ping", "-c", "5", "-W", "10", LEASE], r"5 packets received"),
        Send("vm stop busy\n"), Expect(r"guest busy has stopped"),
    ] + beside_steady(8, 20) + [
        Send("net\n"), Expect(r"0 to be sent; 0 pauses in floods"),
    ], conf=BOCHS, files=GUESTS, host=dict(network=True), never=[r"the network has stopped"]),
    # The same at length.
    Case("net-scrapes", [
        Expect(r"http: a page and /metrics on port 80"),
        Send("\x1d"),
    ] + beside_steady(100, 1000) + [
        Send("net\n"), Expect(r"0 to be sent; 0 pauses in floods"),
    ], conf=BOCHS, files=GUESTS, host=dict(network=True), never=[r"the network has stopped"], by_name=True),
]
