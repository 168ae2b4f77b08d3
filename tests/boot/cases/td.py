"""Trust domains on the software TDX module: tiny guests that prove its ABI, how TDs end, Debian's kernel."""
from case import Case, Expect, Same, Send

# A TD needs what this model has: RDRAND, and a TSC that can be told to it as a multiple of 25 MHz.
HOST = {"cpu": "corei7_skylake_x"}
TWO = {"cpu": "corei7_skylake_x", "count": 2}


def vm(name, kernel, more=""):
    return f"[vm {name}]\ntype = td\nkernel = /guests/{kernel}\nautostart = no\nmemory = 64M\n{more}\n"


def files(*kernels):
    return {f"/guests/{kernel}": f"tests/guests/td/{kernel}" for kernel in kernels}


def start(name, *patterns):
    return [Send(f"vm start {name}\n")] + [Expect(pattern, 300) for pattern in patterns] + [Expect(r"> ")]


def proof(name):
    """The shim's line, the guest's sum, its end."""
    return start(name, r"TD shim: accepted 3\d pages of 2M and \d+ of 4K, had \d+; enters the kernel",
                 rf"DONE {name}: [1-9]\d* passed, 0 failed",
                 rf"gnomon: guest {name} has stopped: debug exit with value 0 ")


READY = [Expect(r"protects them from this host[^>]*\s> ")]
AUDIT = [Send("audit\n"), Expect(r"its own memory only"), Expect(r"> ")]
# While the second of two TDs runs and has the console: most of the machine's memory is out of the hypervisor's map.
AUDIT_BESIDE = [
    Send("\x1d"), Expect(r"console: monitor[^>]*> "), Send("audit\n"),
    Expect(r"hypervisor: \d+ pages mapped, 0 of a TD or the TDX module; \d+ in windows; other CPUs told \d{2,} times"),
    Expect(r"guest linux: [1-9]\d{4,} frames looked at, 0 with a wrong owner"), Expect(r"its own memory only"),
    Expect(r"> "), Send("\x1d\x1d"), Expect(r"console: guest linux"),
]

MEM = [Send("mem\n"), Expect(r"largest free run"), Expect(r"> ")]

# How a TD ends that did not switch itself off.
ENDS = (vm("abi", "tdabi", "cmdline = td=yes") + vm("tdwild", "tdwild") + vm("power", "power") + vm("elf", "elf"))
ENDS_FILES = files("tdabi", "tdwild", "power") | {"/guests/elf": "tests/guests/power.elf"}

# Nothing but what every VMX has: #VE, interrupts and the TSC's rate are the module's own work.
BY_SOFTWARE = "disable = vid ept-ve tsc-scaling\n"

# Bochs delivers a virtual interrupt behind an injected #VE although IF is 0, which costs a kernel that takes
# interrupts all the time its life sooner or later: docs/architecture.md, "Where Bochs differs from the SDM".
NO_VID = "disable = vid\n"
LINUX_FILES = {"/guests/vmlinuz": "guests/vmlinuz-td", "/guests/initrd": "linux/initrd"}


def linux_conf(vcpus, more=""):
    return (f"[vm linux]\ntype = td\nkernel = /guests/vmlinuz\ninitrd = /guests/initrd\nautostart = no\n"
            f"cmdline = console=ttyS0 cryptomgr.notests quiet\nmemory = 512M\nvcpus = {vcpus}\n{more}")


def typed(command, *patterns):
    return [Send(command + "\n")] + [Expect(pattern, 300) for pattern in patterns] + [Expect(r"linux# ", 300)]


def linux_up(cpus):
    """From the shim to a shell: a TD by the kernel's own word, on all its CPUs."""
    return [
        Expect(r"TD shim: accepted \d+ pages of 2M and \d+ of 4K"),
        Expect(rf"Linux 6\.12\S* on {cpus} CPU", 1200),
        Expect(r"linux# "),
    ] + typed("grep -c -w tdx_guest /proc/cpuinfo; dmesg | grep tdx:", rf"\n{cpus}\s", r"tdx: Guest detected")


def linux(cpus):
    return [Send("vm start linux\n")] + linux_up(cpus)


LINUX_RESTART = [Send("reboot -f\n"), Expect(r"guest linux has stopped: .*reset")]
# All that was not accepted at the start, then more than there is: the kernel ends who asks for that, and goes on.
PRESSURE = (typed("grep Unaccepted /proc/meminfo", r"Unaccepted: +[1-9]") +
            typed("mkdir /m; mount -t tmpfs -o size=900m none /m; echo -1000 >/proc/$$/oom_score_adj") +
            typed("sh -c 'echo 1000 >/proc/$$/oom_score_adj; exec fallocate -l 800m /m/a'; echo $((8 * 6)) ended",
                  r"48 ended") +
            typed("rm -f /m/a; dmesg | grep -c 'Out of memory'; grep Unaccepted /proc/meminfo",
                  r"\n[1-9]\d*\s", r"Unaccepted: +0 kB"))
LINUX_OFF = [Send("poweroff -f\n"), Expect(r"guest linux has stopped: it powered itself off"), Expect(r"> ")]

CASES = [
    Case("td-guests", conf=vm("tdabi", "tdabi", "cmdline = td=yes") + vm("tdmem", "tdmem"),
         files=files("tdabi", "tdmem"), host=HOST, steps=READY + proof("tdabi") + AUDIT + proof("tdmem") + AUDIT, never=[r"FAIL \w"]),
    Case("td-ends", conf=ENDS, files=ENDS_FILES, host=HOST,
         steps=READY + start("power", r"guest power has stopped: it powered") +
         start("tdwild", r"NEXT tdwild: d0000000", r"guest tdwild has stopped: .*d0000000") +
         start("elf", r"guest elf has stopped: the guest gave up: error 1, the kernel is no bzImage") + AUDIT,
         never=[r"FAIL \w"]),
    # One power-on for what takes two CPUs.
    Case("td-2cpu", long=True, conf=NO_VID + vm("tdsmp", "tdsmp", "vcpus = 2") + linux_conf(2),
         files=files("tdsmp") | LINUX_FILES, host=TWO,
         steps=READY + proof("tdsmp") + linux(2) + AUDIT_BESIDE + LINUX_OFF + AUDIT, never=[r"FAIL \w"]),
    Case("td-by-software", by_name=True, files=files("tdabi", "tdmem"), host=HOST,
         conf=BY_SOFTWARE + vm("tdabi", "tdabi", "cmdline = td=yes") + vm("tdmem", "tdmem"),
         steps=READY + proof("tdabi") + proof("tdmem") + AUDIT, never=[r"FAIL \w"]),
    # The model that asks for measures against leaks: at every entry and exit of a TD, and from one TD to the next.
    Case("td-leaks", by_name=True, conf=vm("tdabi", "tdabi", "cmdline = td=yes") + vm("tdmem", "tdmem"),
         files=files("tdabi", "tdmem"), host={"cpu": "tigerlake"},
         steps=READY + proof("tdabi") + proof("tdmem") + AUDIT +
         [Send("caps\n"), Expect(r"verw +used"), Expect(r"rsb-fill +used"), Expect(r"ibpb +used"),
          Expect(r"spec-ctrl +used")], never=[r"FAIL \w"]),
    # A kernel to whom every #VE is injected, and nothing is done by the CPU that the module can do.
    Case("td-linux-by-software", by_name=True, conf=BY_SOFTWARE + linux_conf(1), files=LINUX_FILES, host=HOST,
         steps=READY + linux(1) + LINUX_OFF + AUDIT),
    Case("td-linux-by-software-2cpu", by_name=True, conf=BY_SOFTWARE + linux_conf(2), files=LINUX_FILES, host=TWO,
         steps=READY + linux(2) + LINUX_OFF + AUDIT),
    # Made, run and dismantled again and again: what a life keeps back, the last one would lack.
    Case("td-again", by_name=True, conf=vm("tdmem", "tdmem"), files=files("tdmem"), host=HOST,
         steps=READY + proof("tdmem") + MEM + proof("tdmem") * 9 + MEM + AUDIT +
         [Same(r"\n  free +(\d+) KiB"), Same(r"tdmem: tables, devices +(\d+) KiB"), Same(r"tdmem: memory +(\d+) KiB")],
         never=[r"FAIL \w", r"held by the module"]),
    # A restart is the end of one TD and the making of another.
    Case("td-linux-again", by_name=True, conf=NO_VID + linux_conf(1), files=LINUX_FILES, host=HOST,
         steps=READY + linux(1) + LINUX_RESTART + linux_up(1) + LINUX_OFF + AUDIT),
    Case("td-linux-lazy", by_name=True, conf=NO_VID + linux_conf(1, "lazy_accept = yes\n"), files=LINUX_FILES,
         host=HOST, steps=READY + linux(1) + PRESSURE + LINUX_OFF + AUDIT),
]
