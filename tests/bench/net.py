"""
What the host's network costs: instructions for a packet and a scrape, and the time that a computing guest loses to them.
The guest steady takes the same number of instructions in every run; what it takes more is what it lost. It has no timer,
so that it leaves guest mode only at the end of its time slices and for what is measured.
"""
import collections
import http.client
import re
import socket
import threading
import time

from measure import Case, Run, conf, exits
from network import LEASE, PREFIX, why_not

SECOND = 100_000_000  # ticks, as many as instructions in a second of the machine
ROUNDS = 4000         # of the guest: some five seconds of the machine
ROUNDS_TWO = 600      # the same where two CPUs are emulated
PORT = 80
NETWORK = f"net = {LEASE}/24\nhttp_port = {PORT}\n"
DISCARD = 9           # a UDP port that is closed
FLOOD = 2000
PAYLOAD = 64

WORK = re.compile(r"work: (\d+) turns, (\d+) ticks; of them services (\d+), frames received (\d+), sent (\d+)")
CARD = re.compile(r"^(sent|received) (\d+) frames", re.MULTILINE)


class Look:
    """The monitor's counters of the network at one moment, or what was added between two."""

    def __init__(self, answer=None, values=None):
        self.values = values
        if answer:
            names = ("turns", "ticks", "services", "receiving", "sending")
            self.values = dict(zip(names, map(int, WORK.search(answer).groups())))
            self.values.update({name: int(frames) for name, frames in CARD.findall(answer)})

    def __sub__(self, before):
        return Look(values={name: value - before.values[name] for name, value in self.values.items()})

    def __getitem__(self, name):
        return self.values[name]


class Phase:
    """One run of the guest, with something going on beside it."""

    def __init__(self, run, beside=None, network=True):
        before, table = Look(run.monitor("net")) if network else None, self._exits(run)
        over = threading.Event()
        run.command("vm start steady")
        run.expect(r"NEXT steady")
        busy = threading.Thread(target=beside, args=(run.machine, over)) if beside else None
        if busy:
            busy.start()
        run.expect(r"STEADY sum .*[\s\S]*PASS steady\.ticks[\s\S]*gnomon: guest steady has stopped: .*\n[^>]*> $")
        over.set()
        if busy:
            busy.join()
        self.ticks = int(re.findall(r"STEADY sum \w+, rounds \d+, TSC (\d+)", run.text())[-1])
        self.net = Look(run.monitor("net")) - before if network else None
        self.exits = sum((self._exits(run) - table).values())

    @staticmethod
    def _exits(run):
        answer = run.monitor("exits")
        return collections.Counter({reason: count for reason, (count, _) in exits(answer)[1].items()}
                                   if "exit reason" in answer else {})

    def lost(self, quiet):
        return self.ticks - quiet.ticks


# ---- what goes on beside the guest ----

def _flood(address):
    def send(machine, over):
        line = machine.network.socket(kind=socket.SOCK_DGRAM)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for number in range(FLOOD):
            if over.is_set():
                break
            line.sendto(bytes(PAYLOAD), (address, DISCARD))
            if number % 20 == 19:
                time.sleep(0.02)
        line.close()
    return send


class Scraper:
    """Scrapes over one connection, as Prometheus does, a second of the machine's time after the other."""

    def __init__(self):
        self.uptimes = []
        self.bytes = 0

    def _scrape(self, connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        self.bytes = len(text)
        self.uptimes.append(float(re.search(r"^gnomon_uptime_seconds (\S+)$", text, re.MULTILINE).group(1)))

    def __call__(self, machine, over):
        connection = http.client.HTTPConnection(LEASE, PORT, timeout=60)
        connection.sock = machine.network.socket()
        connection.sock.connect((LEASE, PORT))
        began = time.monotonic()
        self._scrape(connection)
        pause = 0.5
        while not over.wait(pause):
            self._scrape(connection)
            speed = (self.uptimes[-1] - self.uptimes[0]) / (time.monotonic() - began)
            pause = max(0.05, (self.uptimes[-1] + 1 - self.uptimes[0]) / speed - (time.monotonic() - began)) \
                if len(self.uptimes) > 1 and speed else 0.5
        connection.close()

    def per_second(self):
        return (len(self.uptimes) - 1) / (self.uptimes[-1] - self.uptimes[0])


# ---- the runs ----

def _case(head, rounds, more=""):
    keys = f"kernel = /guests/steady.elf\nautostart = no\ncmdline = hz=0 rounds={rounds}\n{more}"
    return Case("", [], conf=head + conf("steady", keys), files={"/guests/steady.elf": "tests/guests/steady.elf"})


def _quiet(build, name, rounds, more="", **host):
    with Run(build, name, _case("", rounds, more), memory=512, **host) as run:
        run.expect(r"CPUs run\s+(gnomon: watch: .*\s+)?> $")
        return Phase(run, network=False)


def measure(build):
    """({what: Phase}, the Scraper, what the monitor says of memory), guest and monitor on one CPU; None: not here."""
    if why_not():
        return None
    phases = {"no network": _quiet(build, "net-quiet", ROUNDS)}
    scraper = Scraper()
    with Run(build, "net", _case(NETWORK, ROUNDS), memory=512, network=True) as run:
        run.expect(rf"http: a page and /metrics on port {PORT}")
        phases["idle"] = Phase(run)
        phases["scraped"] = Phase(run, scraper)
        phases["received"] = Phase(run, _flood(f"{PREFIX}.255"))
        phases["answered"] = Phase(run, _flood(LEASE))
        memory = run.monitor("mem")
    return phases, scraper, memory


def measure_two(build):
    """{what: Phase} with the guest on a CPU that is not the monitor's; None: not here."""
    if why_not():
        return None
    phases = {"no network": _quiet(build, "net-quiet-2", ROUNDS_TWO, "cpu = 1\n", count=2)}
    with Run(build, "net-2", _case(NETWORK, ROUNDS_TWO, "cpu = 1\n"), memory=512, network=True, count=2) as run:
        run.expect(rf"http: a page and /metrics on port {PORT}")
        phases["idle"] = Phase(run)
        phases["received"] = Phase(run, _flood(f"{PREFIX}.255"))
    return phases


# ---- the report ----

def _row(out, what, value, target=""):
    out.line(f"{what:<66}{value:>14}{target:>22}")


def _packets(out, phases):
    quiet, received, answered = phases["no network"], phases["received"], phases["answered"]
    alone = received.lost(quiet) / received.net["received"]
    both = answered.lost(quiet) / answered.net["received"]
    _row(out, f"a UDP datagram of {PAYLOAD} bytes received and dropped, interrupt to guest", f"{alone:,.0f}")
    _row(out, "  card and lwIP alone", f"{received.net['receiving'] / received.net['received']:,.0f}")
    _row(out, "a datagram received and answered (port unreachable)", f"{both:,.0f}")
    _row(out, "  more than one that is dropped: a packet sent", f"{both - alone:,.0f}")
    _row(out, "  handing it to the card alone", f"{answered.net['sending'] / answered.net['sent']:,.0f}")


def _scrapes(out, phases, scraper):
    quiet, idle, scraped = phases["no network"], phases["idle"], phases["scraped"]
    many = len(scraper.uptimes)
    each = (scraped.lost(quiet) - idle.lost(quiet)) / many
    _row(out, f"a scrape of {scraper.bytes:,} bytes ({many} of them, {scraper.per_second():.2f} a second)", f"{each:,.0f}")
    _row(out, "  making the text and calls of services", f"{scraped.net['services'] / many:,.0f}")
    _row(out, "  frames received / sent", f"{scraped.net['received'] / many:.1f} / {scraped.net['sent'] / many:.1f}")
    slower = 100 * (each / SECOND + idle.lost(quiet) / quiet.ticks)
    _row(out, "guest's slow-down with a scrape every second", f"{slower:.3f} %",
         f"< 0.5 %, {out.verdict('slow-down by a scrape a second', slower < 0.5)}")
    _row(out, "guest's slow-down with the network idle", f"{100 * idle.lost(quiet) / quiet.ticks:.4f} %")
    _row(out, f"  exits in {quiet.ticks / SECOND:.1f} s more than without a network, monitor's CPU",
         f"{idle.exits - quiet.exits}",
         f"one a second, {out.verdict('exits for an idle network', idle.exits - quiet.exits <= quiet.ticks / SECOND)}")


def _others(out, two):
    quiet = two["no network"]
    for what, name in (("idle", "the network idle"), ("received", "packets received")):
        same = two[what].exits <= 1.01 * quiet.exits
        _row(out, f"  guest's exits on another CPU, {name} / without network", f"{two[what].exits:,} / {quiet.exits:,}",
             f"the same, {out.verdict(f'exits on another CPU with {name}', same)}")
        _row(out, "  its time", f"{two[what].ticks:,} / {quiet.ticks:,}")


def report(out, measured, two):
    out.title("The network, in instructions: what a computing guest on the monitor's CPU loses to it (target)")
    if not measured:
        out.line(f"not measured: {why_not()}")
        return
    phases, scraper, _ = measured
    _packets(out, phases)
    _scrapes(out, phases, scraper)
    _others(out, two)
