"""memtest86+: a bzImage that cannot be relocated, with a console of its own on the serial line."""
from case import Case, Expect

CONF = """\
[vm memtest]
kernel = /guests/memtest
cmdline = console=ttyS0,115200
memory = 16M
"""

CASES = [
    # It draws a screen by cursor positions: the banner, the CPU, and the name of the test that runs.
    Case("memtest", conf=CONF, files={"/guests/memtest": "guests/memtest"}, steps=[
        Expect(r"gnomon: guest memtest starts"), Expect(r"Memtest86\+ v6"), Expect(r"MHz"),
        Expect(r"walking ones", 300), Expect(r"Status: Testing", 300)], never=[r"Errors: +[1-9]"]),
]
