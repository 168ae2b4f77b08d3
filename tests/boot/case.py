"""What a boot case says: the stick, the machine, and what must appear on its serial line in which order."""
import dataclasses
import os
import re
import subprocess
import time

import screen
from machine import MACHINES

# Whatever a case expects, these must not appear.
NEVER = [r"gnomon: PANIC", r"broken invariant"]

# After this nothing more comes: waiting on would only take time.
LAST_LINE = r"Press a key to go back to the boot menu|gnomon: the machine has stopped"


@dataclasses.dataclass
class Expect:
    """The pattern must appear after what was matched before it; seconds of wall-clock time at most."""
    pattern: str
    seconds: float = 600


@dataclasses.dataclass
class Send:
    """Types the text on the serial line."""
    text: str


@dataclasses.dataclass
class Command:
    """Tells QEMU, in its own monitor's words."""
    text: str


@dataclasses.dataclass
class Screen:
    """A row of QEMU's screen must have the pattern, written in that colour (rrggbb) if one is given."""
    pattern: str
    colour: str = None
    seconds: float = 300


@dataclasses.dataclass
class Call:
    """A function of the case's own, given the machine: what it returns is why it failed, None when it went well."""
    function: object


@dataclasses.dataclass
class Inside:
    """Runs a command in the case's network, again and again until it succeeds and prints the pattern."""
    command: list
    pattern: str = ""
    seconds: float = 120


@dataclasses.dataclass
class Absent:
    """The pattern must not have appeared so far."""
    pattern: str


@dataclasses.dataclass
class Kept:
    """What the pattern's two or more groups captured so far must be the lines of a file; '#' begins a comment."""
    pattern: str
    path: str


@dataclasses.dataclass
class Same:
    """What the pattern's groups captured must be the same each time so far, of which there are two at least."""
    pattern: str


@dataclasses.dataclass
class Ended:
    """The emulated machine must switch itself off."""
    seconds: float = 300


@dataclasses.dataclass
class Case:
    name: str
    steps: list
    conf: str = None            # text of gnomon.conf; None: the stick is build/gnomon.img as it is
    # Path on the stick: file below the build folder, bytes, or a function that makes them, given that folder.
    files: dict = dataclasses.field(default_factory=dict)
    options: str = ""           # on the chainloader line; takes GRUB
    grub: bool = False          # GRUB as BOOTX64.EFI, else gnomon.efi itself
    machine: str = "bochs"
    host: dict = dataclasses.field(default_factory=dict)   # options of the machine class
    never: list = dataclasses.field(default_factory=list)
    by_name: bool = False       # takes long and shows little that others do not: runs when it is asked for
    long: bool = False          # starts before the others, so that it is not what all wait for at the end
    panics: bool = False        # on purpose

    def all_never(self):
        return self.never + ([] if self.panics else NEVER)


GRUB_CFG = """\
chainloader /gnomon/gnomon.efi {options}
boot
"""


def make_stick(case, build, folder):
    """The case's image: build/gnomon.img, or one of its own with just what it names."""
    if case.conf is None:
        return os.path.join(build, "gnomon.img")

    def written(name, data):
        path = os.path.join(folder, name)
        with open(path, "wb") as out:
            out.write(data)
        return path

    files = {"/gnomon.conf": written("gnomon.conf", case.conf.encode("latin-1")),
             "/gnomon/gnomon.elf": os.path.join(build, "gnomon.elf")}
    efi = os.path.join(build, "gnomon.efi")
    if case.grub or case.options:
        files["/EFI/BOOT/BOOTX64.EFI"] = os.path.join(build, "grub.efi")
        files["/gnomon/gnomon.efi"] = efi
        files["/gnomon/grub.cfg"] = written("grub.cfg", GRUB_CFG.format(options=case.options).encode())
    else:
        files["/EFI/BOOT/BOOTX64.EFI"] = efi
    for number, (path, source) in enumerate(case.files.items()):
        if source is None:
            files.pop(path)
        elif callable(source) or isinstance(source, bytes):
            files[path] = written(f"file{number}", source(build) if callable(source) else source)
        else:
            files[path] = os.path.join(build, source)
    image = os.path.join(folder, "stick.img")
    subprocess.run(["sh", "boot/make_stick.sh", image] + [f"{path}={file}" for path, file in files.items()],
                   check=True, stdout=subprocess.DEVNULL)
    return image


class Player:
    """Goes through a case's steps on a running machine."""

    def __init__(self, machine, case, build):
        self.machine = machine
        self.build = build
        self.case = case
        self.position = 0

    def play(self, step):
        """None when the step went well, else why not."""
        if isinstance(step, Send):
            self.machine.write(step.text)
            return None
        if isinstance(step, Command):
            self.machine.command(step.text)
            return None
        if isinstance(step, Call):
            return step.function(self.machine)
        if isinstance(step, Absent):
            found = re.search(step.pattern, self.machine.text())
            return f"must not appear: {found.group(0)!r}" if found else None
        if isinstance(step, Kept):
            return self._compare(step)
        if isinstance(step, Screen):
            return self._look(step)
        if isinstance(step, Inside):
            return self._run_inside(step)
        if isinstance(step, Same):
            found = re.findall(step.pattern, self.machine.text())
            return None if len(found) > 1 and len(set(found)) == 1 else f"not the same, or not twice: {found}"
        if isinstance(step, Ended):
            return None if self.machine.ended.wait(step.seconds) else "the machine is still on"
        return self._expect(step)

    def _run_inside(self, step):
        deadline = time.monotonic() + step.seconds
        while True:
            status, text = self.machine.network.run(step.command, max(1, deadline - time.monotonic()))
            if status == 0 and re.search(step.pattern, text):
                return None
            if time.monotonic() > deadline or self.machine.ended.is_set():
                return f"{' '.join(step.command)} ended with {status}: {text[-2000:]}"
            time.sleep(1)

    def _look(self, step):
        deadline = time.monotonic() + step.seconds
        font = screen.load_font(self.build)
        picture = os.path.join(self.machine.folder, "screen.ppm")
        while True:
            self.machine.command(f"screendump {picture}")
            why = screen.find(picture, font, step.pattern, step.colour)
            if not why or time.monotonic() > deadline:
                return why
            time.sleep(2)

    def _compare(self, step):
        with open(step.path) as kept:
            wanted = {line.split("#")[0].strip() for line in kept} - {""}
        found = {" ".join(filter(None, groups)) for groups in re.findall(step.pattern, self.machine.text())}
        differences = [f"{line!r} is new" for line in sorted(found - wanted)]
        differences += [f"{line!r} is no longer so" for line in sorted(wanted - found)]
        return f"{step.path} says otherwise: {'; '.join(differences)}" if differences else None

    def _expect(self, step):
        deadline = time.monotonic() + step.seconds
        while True:
            over = self.machine.ended.is_set() or time.monotonic() > deadline
            text = self.machine.text()
            found = re.compile(step.pattern).search(text, self.position)
            if found:
                self.position = found.end()
                return None
            for pattern in self.case.all_never():
                bad = re.search(pattern, text)
                if bad:
                    return f"{bad.group(0)!r} appeared while waiting for {step.pattern!r}"
            if re.search(LAST_LINE, text):
                return f"{step.pattern!r} did not appear before the last line there can be"
            if over:
                ending = "the machine stopped" if self.machine.ended.is_set() else f"not within {step.seconds} s"
                return f"{step.pattern!r} did not appear: {ending}"
            time.sleep(0.1)


def make_host(case, build):
    """
    Options of the machine. With a stick of the case's own Bochs has the firmware that is quicker (firmware.py); the
    image that users get starts by Debian's own.
    """
    quicker = case.machine == "bochs" and case.conf is not None
    own = {"firmware": os.path.abspath(os.path.join(build, "ovmf.fd"))} if quicker else {}
    return {**own, **case.host}


def run_case(case, build, stop_requested):
    """Returns (why it failed or None, serial text, seconds)."""
    folder = os.path.abspath(os.path.join(build, "boot", case.name))
    os.makedirs(folder, exist_ok=True)
    begun = time.monotonic()
    machine = None
    why = None
    try:
        image = os.path.abspath(make_stick(case, build, folder))
        machine = MACHINES[case.machine](folder, image, **make_host(case, build))
        machine.start()
        player = Player(machine, case, build)
        for step in case.steps + [Absent(pattern) for pattern in case.all_never()]:
            why = "interrupted" if stop_requested.is_set() else player.play(step)
            if why:
                break
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        why = str(error)
    finally:
        if machine:
            machine.stop()
    return why, machine.text() if machine else "", time.monotonic() - begun
