"""Clients of Gnomon's services for boot cases: well-behaved ones and others. Each function returns why it failed, or None."""
import http.client
import importlib.util
import os
import random
import re
import socket
import subprocess
import sys
import time

MONITOR = os.path.join(os.path.dirname(__file__), "..", "net", "monitor.py")
SLOW_COMMANDS = 20  # `log`, some 4 KB each

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"({NAME})(\{{{LABEL}(?:,{LABEL})*\}})? (\d+(?:\.\d+)?)\Z")
HEAD = re.compile(rf"# (HELP|TYPE) ({NAME}) (.+)\Z")


def get(host, port, path, method="GET"):
    """(status, headers, body) over a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode("utf-8")
    finally:
        connection.close()


def parse_metrics(text):
    """Samples by name with labels; ValueError for what Prometheus' text format does not allow."""
    samples, kinds, family = {}, {}, None
    for line in text.splitlines():
        head, sample = HEAD.match(line), SAMPLE.match(line)
        if head:
            family = head.group(2)
            if head.group(1) == "TYPE":
                if family in kinds or head.group(3) not in ("counter", "gauge"):
                    raise ValueError(f"wrong TYPE: {line}")
                kinds[family] = head.group(3)
        elif not sample or sample.group(1) != family or family not in kinds:
            raise ValueError(f"no sample of the family before it: {line}")
        else:
            key = sample.group(1) + (sample.group(2) or "")
            if key in samples:
                raise ValueError(f"twice: {key}")
            samples[key] = float(sample.group(3))
    if not text.endswith("\n") or not samples:
        raise ValueError("no samples, or no end of the last line")
    return samples


def pages(host, port):
    """Every page, as a browser asks for them, and what is refused."""
    status, headers, body = get(host, port, "/")
    if status != 200 or "<h2>Guests</h2>" not in body or not body.endswith("</html>\n"):
        return f"the page: {status}, {body[-60:]!r}"
    if get(host, port, "/", "HEAD")[2]:
        return "HEAD was answered with a body"
    if get(host, port, "/none")[0] != 404 or get(host, port, "/", "POST")[0] != 405:
        return "what there is not was not refused"
    return None


def scrapes(host, port, count):
    """So many scrapes on as few connections as the server allows; counters must not go back."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    before = {}
    for _ in range(count):
        connection.request("GET", "/metrics")
        samples = parse_metrics(connection.getresponse().read().decode())
        for key, value in before.items():
            if "_total" in key and samples.get(key, 0) < value:
                return f"{key} went from {value} to {samples.get(key)}"
        before = samples
    connection.close()
    return None


def wait_for(host, port):
    """Until a place on the server is free again: at most 15 seconds of the machine's time."""
    for _ in range(120):
        try:
            return pages(host, port)
        except OSError:
            time.sleep(1)
    return "no page for two minutes"


def nuisance(host, ports, count):
    """Connections that say nothing, half of something, or anything: left open, closed, reset. Nobody waits for them."""
    chance = random.Random(1)
    left = []
    for number in range(count):
        try:
            client = socket.create_connection((host, ports[number % len(ports)]), 5)
            client.settimeout(1)
            kind = number // len(ports) % 4
            if kind == 1:
                client.sendall(b"GET / HTTP/1.1\r\nHo")
            elif kind == 2:
                client.sendall(chance.randbytes(2000))
            elif kind == 3:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            if kind == 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
            else:
                left.append(client)
        except OSError:
            pass  # refused or put off: as it should be while all places are taken
    for client in left:
        client.close()


def monitor(host, port, key, commands):
    """What a session answers to the commands, by the client that people have; retried while answers are held back."""
    for _ in range(20):
        run = subprocess.run([sys.executable, MONITOR, host, str(port)], input=commands.encode(),
                             env=dict(os.environ, GNOMON_KEY=key), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=120)
        if run.returncode == 0 or b"wrong answer\n" in run.stderr:
            break
        time.sleep(3)
    return run.stdout.decode(errors="replace") + run.stderr.decode(errors="replace")


def slow_session(host, port, key):
    """A session that has asked for more than all buffers on its way hold, and takes nothing of it. catch_up() goes on."""
    spec = importlib.util.spec_from_file_location("monitor_client", MONITOR)
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect((host, port))
    client.log_in(connection, key, False)
    connection.sendall(b"log\n" * SLOW_COMMANDS + b"exit\n")
    return connection


def catch_up(connection):
    """All of it must come, to the end."""
    said = b""
    with connection:
        while True:
            more = connection.recv(65536)
            if not more:
                break
            said += more
    logs = said.count(b"Gnomon hypervisor, image")
    return None if logs == SLOW_COMMANDS else f"{logs} of {SLOW_COMMANDS} logs, {len(said)} bytes, then {said[-100:]!r}"
