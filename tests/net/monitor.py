#!/usr/bin/env python3
"""Gnomon's monitor over TCP: monitor.py ADDRESS [PORT], for a person at a terminal or with commands on its input.

The key is net_key of the host's gnomon.conf, from the environment (GNOMON_KEY) or asked for. It never leaves this
program: the host sends a nonce, and what is answered is an HMAC-SHA-256 under the key.
"""
import getpass
import hashlib
import hmac
import os
import select
import socket
import sys
import termios

PREFIX = b"gnomon monitor "


def read_line(connection):
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError(line.decode(errors="replace") or "the host closed the connection")
        line += byte
    return line


def challenge(connection):
    """The nonce out of the greeting, or an error with what the host says instead."""
    while True:
        line = read_line(connection)
        if line.startswith(b"nonce "):
            return line.split()[1]
        if line.startswith(b"after a wrong answer"):
            raise ConnectionError(line.decode().strip())


def log_in(connection, key, echo):
    """Shows the key; the connection is then a command line."""
    answer = hmac.new(key.encode(), PREFIX + challenge(connection), hashlib.sha256).hexdigest()
    connection.sendall(answer.encode() + (b" echo" if echo else b"") + b"\n")
    line = read_line(connection)
    if not line.startswith(b"welcome"):
        raise ConnectionError(line.decode(errors="replace").strip())
    return line


def relay(connection, source):
    """Until the host closes: what comes to the output, what is typed to the host."""
    sources = [connection, source]
    while True:
        for ready in select.select(sources, [], [])[0]:
            data = connection.recv(4096) if ready is connection else os.read(source, 4096)
            if ready is connection and not data:
                return
            if ready is connection:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            elif data:
                connection.sendall(data)
            else:
                sources.remove(source)
                connection.sendall(b"exit\n")


def keys_as_typed(terminal):
    """Every key goes to the host, which echoes it; lines on output stay as they are."""
    mode = termios.tcgetattr(terminal)
    mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    key = os.environ.get("GNOMON_KEY") or getpass.getpass("net_key: ")
    terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(terminal) if terminal is not None else None
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 2323), 10) as connection:
            sys.stdout.write(log_in(connection, key, terminal is not None).decode())
            sys.stdout.flush()
            connection.settimeout(None)
            if terminal is not None:
                keys_as_typed(terminal)
            relay(connection, sys.stdin.fileno())
    except (OSError, ConnectionError) as error:
        sys.exit(str(error))
    finally:
        if before:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


if __name__ == "__main__":
    main()
