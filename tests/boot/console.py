#!/usr/bin/env python3
"""`make run`: the stick's image in Bochs, with its serial line in this terminal. Ctrl-\\ leaves."""
import argparse
import os
import pathlib
import select
import sys
import termios
import tty

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from machine import Bochs  # noqa: E402  (found through the path above)
from network import LEASE, PREFIX  # noqa: E402

LEAVE = b"\x1c"  # Ctrl-\
ADDRESS = "net: the host has the address"


def relay(machine, hint):
    """Keys to the serial line and the serial line to the screen, until one side ends. The hint comes when the host has
    its address: before that, the boot menu would clear it away."""
    shown = 0
    watched = [sys.stdin.fileno()]
    while not machine.ended.is_set():
        if select.select(watched, [], [], 0.05)[0]:
            keys = os.read(sys.stdin.fileno(), 1024)
            if LEAVE in keys:
                return
            if not keys:
                watched = []
            machine.write(keys.decode("latin-1"))
        text = machine.text()
        if len(text) > shown:
            os.write(sys.stdout.fileno(), text[shown:].encode("utf-8", "replace"))
            shown = len(text)
        if hint and ADDRESS in text and text.endswith("\n"):
            os.write(sys.stdout.fileno(), hint.replace("\n", "\r\n").encode())
            hint = None


def explain(network, key):
    """How to reach the host from another terminal."""
    inside = f"ip netns exec {network.namespace}"
    return (f"\n\nThe host is {LEASE} in a network of its own. As root, in another terminal:\n"
            f"  {inside} busybox ping {LEASE}\n"
            f"  {inside} curl http://{LEASE}/metrics\n"
            f"  {inside} env GNOMON_KEY={key} tests/net/monitor.py {LEASE} 2323\n"
            f"and after `gdb linux open {PREFIX}.1 1234` or `console linux open {PREFIX}.1 4000` in the monitor:\n"
            f"  {inside} gdb -ex 'target remote {LEASE}:1234'\n"
            f"  {inside} busybox nc {LEASE} 4000\n\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--cpu", default="corei7_haswell_4770")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--memory", type=int, default=1024)
    parser.add_argument("--disk", choices=["ehci", "ata0"], default="ehci")
    parser.add_argument("--network", action="store_true")
    args = parser.parse_args()

    folder = os.path.abspath(os.path.join(args.build, "run"))
    image = "gnomon-net.img" if args.network else "gnomon.img"
    machine = Bochs(folder, os.path.abspath(os.path.join(args.build, image)), cpu=args.cpu, count=args.count,
                    memory=args.memory, disk=args.disk, sync="slowdown", reset_on_triple_fault=1, network=args.network)
    print("Bochs starts; the firmware takes some twenty seconds, the guest a minute or two. Ctrl-\\ leaves.", flush=True)
    saved = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    try:
        machine.start()
        hint = explain(machine.network, pathlib.Path(args.build, "net_key").read_text()) if args.network else None
        if saved:
            tty.setraw(sys.stdin)
        relay(machine, hint)
    finally:
        if saved:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)
        machine.stop()
    print("\nBochs has ended.")


if __name__ == "__main__":
    main()
