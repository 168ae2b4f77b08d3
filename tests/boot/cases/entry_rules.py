"""Every rule of the entry checker tried on the emulated CPU by the provoking build, tests/boot/provoke."""
from case import Case, Expect, Kept

NOT_ENFORCED = (r"entry (?:(rule) (\S+ \d+): (entered|not possible|refused in another way)"
                r"|(state) (\S+): (refused|not possible))")


def provoke(model):
    """A rule that is enforced is in no list; a change in either direction fails."""
    return Case(f"entry-rules-{model}", conf="when_done = monitor\n", host={"cpu": model},
                files={"/gnomon/gnomon.elf": "provoke/gnomon.elf"}, steps=[
                    Expect(r"entry rules: [1-9]\d* refused", 300),
                    Kept(NOT_ENFORCED, f"tests/boot/entry_rules/{model}.txt"),
                ])


# The first knows most of VMX; the second looks at error codes, which the first has any event deliver.
CASES = [provoke("tigerlake"), provoke("corei7_skylake_x")]
