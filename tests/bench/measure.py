"""What the benches share: a run in Bochs from a stick of its own, and the monitor's table of exits."""
import contextlib
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "boot"))

from case import Case, Expect, Player, Send, make_stick  # noqa: E402  (found through the path above)
from machine import Bochs, bochs_is_debugger, bochs_program  # noqa: E402,F401

# One CPU model for all: KVM's figures were taken on it, and it has every feature Gnomon uses in Bochs.
CPU = "corei7_skylake_x"

MONITOR = r"\n\r?> $"


class RunFailed(Exception):
    """A run did not do what its bench needs: the text says what."""


class Run:
    """One power-on, in a folder of its own: `with Run(...) as run`, then expect() and monitor()."""

    running = []

    def __init__(self, build, name, case, **host):
        self.name = name
        self.folder = os.path.abspath(os.path.join(build, "bench", name))
        os.makedirs(self.folder, exist_ok=True)
        image = make_stick(case, os.path.abspath(build), self.folder)
        self.machine = Bochs(self.folder, os.path.abspath(image), cpu=CPU, **host)
        self.player = Player(self.machine, case, build)

    def __enter__(self):
        Run.running.append(self.machine)
        self.machine.start()
        return self

    def __exit__(self, *_):
        self.machine.stop()
        Run.running.remove(self.machine)

    def expect(self, pattern, seconds=900):
        why = self.player.play(Expect(pattern, seconds))
        if why:
            raise RunFailed(f"{self.name}: {why} (see {self.folder}/serial.log)")

    def command(self, text):
        """Types a line, for the monitor or the guest."""
        self.keys(text + "\n")

    def keys(self, text):
        self.player.play(Send(text))

    def monitor(self, command):
        """What the monitor answers to a command."""
        start = len(self.machine.text())
        self.player.play(Send(command + "\n"))
        self.player.position = start
        self.expect(MONITOR)
        return self.machine.text()[start:]

    @contextlib.contextmanager
    def aside(self, guest):
        """The console is the monitor's for a while, then this guest's again: of one guest, or of the next in turn."""
        self.keys("\x1d")
        self.expect(r"console: monitor[^>]*> $")
        yield
        self.keys("\x1d")
        self.expect(rf"console: guest {guest}")

    def text(self):
        return self.machine.text()


def stop_all(*_):
    """On a signal: no emulator stays behind."""
    for machine in list(Run.running):
        machine.stop()
    os._exit(1)


def exits(answer):
    """(ticks the guest's TSC is behind, {reason: (count, root ticks)}) from what `exits` prints."""
    behind = re.search(r"its TSC (\d+) behind", answer)
    if not behind:
        raise RunFailed(f"`exits` answers: {answer!r}")
    rows = re.findall(r"^  (\S.*?\S) +(\d+) +(\d+) +\d+", answer, re.MULTILINE)
    return int(behind.group(1)), {name: (int(count), int(ticks)) for name, count, ticks in rows}


def conf(vm, keys, cmdline="", memory=128, disable=()):
    """gnomon.conf for one guest; keys: further lines of its section."""
    return ("when_done = monitor\n" + (f"disable = {', '.join(disable)}\n" if disable else "")
            + f"[vm {vm}]\nmemory = {memory}M\nnx_huge = off\n" + (f"cmdline = {cmdline}\n" if cmdline else "") + keys)
