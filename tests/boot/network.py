"""
A network for one emulated machine: a namespace with a tap in it, made by the test and gone with it. The machine's
card is the other end of the tap; the test runs commands and opens sockets inside, as somebody at another machine would.
"""
import concurrent.futures
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile

PREFIX = "192.0.2"          # the namespace has .1, DHCP gives .50
LEASE = f"{PREFIX}.50"
LINK_LOCAL = "fe80::5054:ff:fe67:6e01"   # the machine's, of its card's address
OWN_LINK_LOCAL = "fe80::1"  # the namespace's, beside the one that its tap makes up
TAP = "tap0"
CLONE_NEWNET = 0x40000000

UDHCPD = """\
start {lease}
end {lease}
interface {tap}
lease_file {folder}/leases
pidfile {folder}/pid
option subnet 255.255.255.0
option router {prefix}.1
option lease 3600
"""


def why_not():
    """Why no network can be made here, or None."""
    if os.geteuid() != 0:
        return "network cases make a network namespace and a tap, which takes root; run the tests as root"
    if not os.path.exists("/dev/net/tun"):
        return "network cases need /dev/net/tun; load the kernel's module tun"
    for program in ("ip", "udhcpd"):
        if not shutil.which(program):
            return f"network cases need the program {program}; install the Debian packages iproute2 and udhcpd"
    return None


class Network:
    """From open() to close(). name must be the only one of its kind on this machine at a time."""

    def __init__(self, name):
        self.namespace = f"gnomon-{name}-{os.getpid()}"
        self._folder = None
        self._server = None

    def open(self):
        reason = why_not()
        if reason:
            raise RuntimeError(reason)
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        for command in (["tuntap", "add", TAP, "mode", "tap"], ["addr", "add", f"{PREFIX}.1/24", "dev", TAP],
                        ["link", "set", "lo", "up"], ["link", "set", TAP, "up"],
                        ["addr", "add", f"{OWN_LINK_LOCAL}/64", "dev", TAP, "nodad"]):
            subprocess.run(["ip", "-n", self.namespace] + command, check=True)
        self._serve_dhcp()

    def _serve_dhcp(self):
        self._folder = tempfile.TemporaryDirectory()
        folder = self._folder.name
        open(os.path.join(folder, "leases"), "w").close()
        with open(os.path.join(folder, "conf"), "w") as out:
            out.write(UDHCPD.format(lease=LEASE, tap=TAP, folder=folder, prefix=PREFIX))
        self._server = subprocess.Popen(self.prefix() + ["udhcpd", "-f", os.path.join(folder, "conf")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def prefix(self):
        """What comes before a command that is to run inside."""
        return ["ip", "netns", "exec", self.namespace]

    def run(self, command, seconds):
        """Runs a command inside; returns (its exit status, what it printed)."""
        try:
            done = subprocess.run(self.prefix() + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=seconds, errors="replace")
        except subprocess.TimeoutExpired as expired:
            return None, (expired.output or b"").decode("utf-8", "replace")
        return done.returncode, done.stdout

    def call(self, function, *arguments):
        """A function's result; sockets that it opens are inside: it runs in a thread of its own that goes there."""
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(self._call_inside, function, arguments).result()

    def _call_inside(self, function, arguments):
        with open(f"/run/netns/{self.namespace}") as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return function(*arguments)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        return self.call(socket.socket, family, kind)

    def close(self):
        if self._server:
            self._server.kill()
            self._server.wait()
        subprocess.run(["ip", "netns", "del", self.namespace], stderr=subprocess.DEVNULL)
        if self._folder:
            self._folder.cleanup()
