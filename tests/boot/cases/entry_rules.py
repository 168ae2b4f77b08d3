"""
What takes the provoking build, tests/boot/provoke: every rule of the entry checker tried on the emulated CPU, and
guests with memory above 4 GiB and with ROM.
"""
from case import Case, Expect, Kept, Send

NOT_ENFORCED = (r"entry (?:(rule) (\S+ \d+): (entered|not possible|refused in another way)"
                r"|(state) (\S+): (refused|not possible))")


CONF = "".join(f"[vm {mmu}]\nkernel = /guests/highmem\ncmdline = high=128\nmemory = 192M\nautostart = no\nmmu = {mmu}\n"
               for mmu in ("ept", "shadow"))


def highmem(name):
    return [Send(f"vm start {name}\n"), Expect(r"DONE highmem: [1-9]\d* passed, 0 failed", 300),
            Expect(rf"gnomon: guest {name} has stopped: debug exit with value 0 "), Expect(r"> ")]


def provoke(model, steps=()):
    """A rule that is enforced is in no list; a change in either direction fails."""
    return Case(f"entry-rules-{model}", conf=CONF, host={"cpu": model}, never=[r"FAIL \w"],
                files={"/gnomon/gnomon.elf": "provoke/gnomon.elf", "/guests/highmem": "tests/guests/highmem.elf"}, steps=[
                    Expect(r"entry rules: [1-9]\d* refused", 300),
                    Kept(NOT_ENFORCED, f"tests/boot/entry_rules/{model}.txt"),
                ] + list(steps))


# The first knows most of VMX; the second looks at error codes, which the first has any event deliver.
CASES = [provoke("tigerlake"), provoke("corei7_skylake_x", [
    Expect(r"> "), *highmem("ept"), *highmem("shadow"), Send("audit\n"), Expect(r"its own memory only")])]
