"""One emulated machine: Bochs or QEMU with OVMF, its serial line in the hands of the test."""
import fcntl
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

from network import TAP, Network

OVMF = "/usr/share/ovmf/OVMF.fd"

# clock, time0 and vga are set so that two runs of one image execute the same instructions.
BOCHSRC = """\
display_library: {display}
memory: guest={memory}, host={memory}
cpu: model={cpu}, count={count}, ips=100000000, reset_on_triple_fault={reset_on_triple_fault}
romimage: file={firmware}, address=0xffe00000
vgaromimage: file=/usr/share/vgabios/vgabios.bin
pci: enabled=1, chipset=i440fx{slots}
{disk}
vga: extension=vbe, update_freq=5, realtime=0
com1: enabled=1, {com1}
port_e9_hack: enabled=1
clock: sync={sync}, time0=946684800
log: {log}
panic: action=report
info: action=ignore
error: action=ignore
boot: disk
{more}
"""

MAC = "52:54:00:67:6e:01"
BOCHS_CARD = """\
e1000: enabled=1, mac={mac}, ethmod=tuntap, ethdev=/dev/net/tun:{tap}, script=none
"""


def bochs_program():
    return os.environ.get("BOCHS") or "bochs"


def bochs_is_debugger(program):
    """Debian's build starts in its debugger, which must be told to go on."""
    text = subprocess.run([program, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, errors="replace").stdout
    return "-rc filename" in text


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    """
    Runs from start() to stop(). Output collects in self.output; write() types on the serial line. With the option
    network it has a card in a network of its own, self.network.
    """

    def __init__(self, folder, image, **options):
        self.folder = folder
        self.image = image
        self.options = options
        self.output = ""
        self.process = None
        self.line = None
        self.terminal = None
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._log = None
        self.network = Network(os.path.basename(folder)) if options.pop("network", False) else None

    def start(self):
        os.makedirs(self.folder, exist_ok=True)
        if self.network:
            self.network.open()
        self._log = open(os.path.join(self.folder, "serial.log"), "wb")
        self._launch()
        threading.Thread(target=self._read_line, daemon=True).start()

    def _spawn(self, command):
        """On a terminal of its own, which Bochs insists on; what it prints there is dropped."""
        self.terminal, slave = pty.openpty()
        if self.network:
            command = self.network.prefix() + command

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal,
                                        env=dict(os.environ, TERM="xterm", LINES="30", COLUMNS="100"))
        os.close(slave)
        threading.Thread(target=self._drain_terminal, daemon=True).start()

    def _drain_terminal(self):
        try:
            while os.read(self.terminal, 4096):
                pass
        except OSError:
            pass

    def _connect(self, address, family):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            line = self.network.socket(family) if self.network else socket.socket(family)
            try:
                line.connect(address)
                return line
            except OSError:
                line.close()
                time.sleep(0.05)
        raise RuntimeError(f"the emulator did not open its serial line; see {self.folder}")

    def _read_line(self):
        while True:
            try:
                data = self.line.recv(4096)
            except OSError:
                data = b""
            if not data:
                break
            with self._lock:
                self.output += data.decode("utf-8", "replace")
                self._log.write(data)
                self._log.flush()
        self.ended.set()

    def write(self, text):
        """Types slowly enough for a UART without flow control behind an emulator that is not real time."""
        for char in text:
            self.line.sendall(char.encode())
            time.sleep(0.02)

    def text(self):
        with self._lock:
            return self.output

    def stop(self):
        if self.process and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.wait()
        if self.line:
            self.ended.wait(5)
            self.line.close()
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None
        if self.network:
            self.network.close()


class Bochs(Machine):
    """
    options: cpu, count, memory (MiB), disk (ata0 or ehci), firmware, sync, reset_on_triple_fault, more (lines of
    the rc file), debugger (what Debian's build is told instead of to go on); forward: TCP ports of the machine,
    which has a network card then, to be reached on ports of this host's loopback: self.ports
    """

    def _network(self, forward):
        """The card's line of the rc file; the network behind it is Bochs's own, with DHCP."""
        self.ports = {port: free_port() for port in forward}
        if not forward:
            return ""
        script = os.path.join(self.folder, "slirp.conf")
        with open(script, "w") as out:
            out.write("# slirp config\ndhcpstart = 10.0.2.15\n")
            for port, here in self.ports.items():
                out.write(f"hostfwd = tcp:127.0.0.1:{here}-10.0.2.15:{port}\n")
        return f"e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp, script={script}\n"

    def _launch(self):
        option = dict(cpu="corei7_haswell_4770", count=1, memory=1024, disk="ata0", firmware=OVMF,
                      sync="none", reset_on_triple_fault=0, more="", debugger="c\n", forward=())
        option.update(self.options)
        option["more"] += self._network(option["forward"])
        option["slots"] = ", slot1=e1000" if option["forward"] else ""
        disks = {
            "ata0": f"ata0-master: type=disk, path={self.image}, mode=volatile",
            "ehci": f"usb_ehci: enabled=1, port1=disk:{self._own_copy(option['disk'])}",
        }
        port = free_port()
        rc = os.path.join(self.folder, "bochsrc")
        # The rate is shown once a second on a terminal that nobody reads: after five minutes Bochs waits for good.
        with open(rc, "w") as out:
            out.write(BOCHSRC.format(display='term, options="hideIPS"', log=os.path.join(self.folder, "bochs.log"),
                                     com1=f"mode=socket-server, dev=localhost:{port}",
                                     **dict(option, disk=disks[option["disk"]])))
            if self.network:
                out.write(BOCHS_CARD.format(mac=MAC, tap=TAP))
        program = bochs_program()
        command = [program, "-q", "-f", rc]
        if bochs_is_debugger(program):
            go = os.path.join(self.folder, "debugger")
            with open(go, "w") as out:
                out.write(option["debugger"])
            command += ["-rc", go]
        self._spawn(command)
        self.line = self._connect(("127.0.0.1", port), socket.AF_INET)

    def _own_copy(self, disk):
        """A stick is written to and locked by its machine: each run has its own."""
        if disk != "ehci":
            return ""
        copy = os.path.join(self.folder, "stick.run.img")
        if os.path.exists(copy + ".lock"):
            os.unlink(copy + ".lock")
        shutil.copyfile(self.image, copy)
        return copy


def spcr(port, irq):
    """The ACPI table without its header: a 16550 at an I/O port, 115200 baud."""
    address = struct.pack("<BBBBQ", 1, 8, 0, 1, port)
    return bytes(4) + address + struct.pack("<BBIBBBBBB", 1, irq, 0, 7, 0, 1, 0, 0, 0) + b"\xff" * 4 + bytes(12)


class Qemu(Machine):
    """
    options: cpu, count, memory (MiB), serial: where the line is, com1, a card on pci, a port that only the ACPI
    table spcr names, or none; forward: TCP ports of the machine, which has a network card then, to be reached on
    ports of this host's loopback: self.ports. Software emulation, no VMX.
    """

    def _card(self, forward):
        if self.network:
            # With VT-d there: it must not come between the card and its interrupts.
            return ["-device", "intel-iommu,intremap=on", "-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no",
                    "-device", f"e1000e,id=card,netdev=net,mac={MAC}"]
        self.ports = {port: free_port() for port in forward}
        if not forward:
            return ["-net", "none"]
        rules = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{port}" for port, here in self.ports.items())
        return ["-netdev", "user,id=net" + rules, "-device", "e1000e,netdev=net"]

    def _serial(self, kind, path):
        chardev = ["-chardev", f"socket,id=line,path={path},server=on,wait=on", "-serial"]
        if kind == "com1":
            return chardev + ["chardev:line"]
        if kind == "pci":
            return chardev + ["none", "-device", "pci-serial,chardev=line"]
        if kind == "none":
            return ["-serial", "none"]
        table = os.path.join(self.folder, "spcr.bin")
        with open(table, "wb") as out:
            out.write(spcr(0x2e0, 5))
        return chardev + ["none", "-device", "isa-serial,iobase=0x2e0,irq=5,chardev=line",
                          "-acpitable", f"sig=SPCR,rev=2,data={table}"]

    def command(self, text):
        """One command for QEMU's own monitor."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(os.path.join(self._sockets.name, "monitor"))
            line.settimeout(10)
            for words in (None, text):
                if words:
                    line.sendall(words.encode() + b"\n")
                answer = b""
                while not answer.endswith(b"(qemu) "):
                    answer += line.recv(4096)

    def _launch(self):
        option = dict(cpu="qemu64", count=1, memory=512, serial="com1", forward=())
        option.update(self.options)
        # The path of a UNIX socket is limited to about 100 characters; a build folder's is not.
        self._sockets = tempfile.TemporaryDirectory()
        path = os.path.join(self._sockets.name, "serial")
        self._spawn(["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", option["cpu"],
                     "-smp", str(option["count"]), "-m", str(option["memory"]), "-bios", OVMF,
                     "-drive", f"if=none,id=stick,format=raw,snapshot=on,file={self.image}",
                     "-device", "qemu-xhci", "-device", "usb-storage,drive=stick", *self._card(option["forward"]),
                     "-display", "none", "-no-reboot",
                     "-monitor", f"unix:{os.path.join(self._sockets.name, 'monitor')},server=on,wait=off",
                     *self._serial(option["serial"], path)])
        if option["serial"] == "none":
            self._connect(os.path.join(self._sockets.name, "monitor"), socket.AF_UNIX).close()
            self.line, self._nobody = socket.socketpair()
        else:
            self.line = self._connect(path, socket.AF_UNIX)

    def stop(self):
        if hasattr(self, "_nobody"):
            self._nobody.close()
        super().stop()
        if hasattr(self, "_sockets"):
            self._sockets.cleanup()


MACHINES = {"bochs": Bochs, "qemu": Qemu}
