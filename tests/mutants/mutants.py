#!/usr/bin/env python3
"""Proves that the tests see what they are for: changes a line of the source, builds a test with it, and wants
the test to fail. The changes are listed in tests/mutants/*.txt:

    = name: what is wrong then
    test shadow_random
    file mmu/unsync.c
    - text that stands exactly once in the file, to the character but for white space at the ends of lines
    + what replaces it

A block may have several files, and several - and + lines each. `quick` after the test's name puts it among those
that `make test` tries. `env NAME=VALUE` sets a variable for the test.
"""
import argparse
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys

TIMEOUT = 600  # seconds for one test; one that does not end by then has been caught too, and is told apart
ENVIRONMENT = {"MMU_TEST_SEED": "1", "MMU_TEST_STEPS": "30000", "MMU_TEST_NO_SHRINK": "1",
               "CMOCKA_TEST_ABORT": "1"}  # the first failure ends it, with whatever locks it holds


class Mutant:
    def __init__(self, title, home):
        self.home = home  # the list that it is in
        self.name, _, self.what = (part.strip() for part in title.partition(":"))
        self.test, self.quick, self.env, self.changes = None, False, {}, []

    def take(self, line):
        word, _, rest = line.partition(" ")
        if word == "test":
            self.test, *marks = rest.split()
            self.quick = "quick" in marks
        elif word == "env":
            name, _, value = rest.partition("=")
            self.env[name] = value
        elif word == "file":
            self.changes.append((rest.strip(), [], []))
        elif word in ("-", "+"):
            if word == "-" and self.changes[-1][2]:  # another place in the same file
                self.changes.append((self.changes[-1][0], [], []))
            self.changes[-1][1 if word == "-" else 2].append(rest)
        else:
            sys.exit(f"{self.name}: what is {line!r}?")


def read_list(path):
    mutants = []
    for line in path.read_text().splitlines():
        if line.startswith("= "):
            mutants.append(Mutant(line[2:], path.stem))
        elif line.strip() and not line.startswith("#"):
            mutants[-1].take(line.rstrip())
    return mutants


class Misfit(Exception):
    pass


def mutate(text, old, new):
    """Replaces the lines old, leading white space aside, by new."""
    pattern = r"\n".join(r"[ \t]*" + re.escape(line.strip()) + r"[ \t]*" for line in old)
    found = re.findall(f"(?m)^{pattern}$", text)
    if len(found) != 1:
        raise Misfit(f"the text to change stands there {len(found)} times:\n" + "\n".join(old))
    return text.replace(found[0], "\n".join(new), 1)


class Bench:
    def __init__(self, args):
        self.host = pathlib.Path(args.build) / "host"
        self.home = pathlib.Path(args.build) / "mutants"
        self.cc, self.cflags = args.cc.split(), args.cflags.split()
        self.support = self.host / "support.a"

    def prepare(self, tests):
        targets = [str(self.host / f"tests/unit/test_{test}") for test in sorted(tests)]
        subprocess.run(["make", "--no-print-directory", *targets], check=True, stdout=subprocess.DEVNULL)

    def sources(self, test):
        source = pathlib.Path(f"tests/unit/test_{test}.c")
        words = re.match(r"/\* sources: (.*?) *\*/", source.read_text()).group(1).split()
        names = [str(source)]
        for word in words:
            names += sorted(glob.glob(word + "*.c")) if word.endswith("/") else [word]
        return [name for name in names if "-" + name not in words and not name.startswith("-")]

    def reads(self, source, names):
        """Whether the source is, or includes, one of these: by the list that the compiler left."""
        return bool(names & set((self.host / (source[:-2] + ".d")).read_text().split()))

    def compile(self, source, tree, to):
        path = tree / source if (tree / source).exists() else pathlib.Path(source)
        command = self.cc + [f"-I{tree}"] + self.cflags + ["-w", "-Wno-error", "-c", str(path), "-o", str(to)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise Misfit(done.stdout)

    def build(self, mutant):
        """Returns the program."""
        tree = self.home / re.sub(r"\W+", "-", mutant.name)
        shutil.rmtree(tree, ignore_errors=True)
        for name, old, new in mutant.changes:
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            text = target.read_text() if target.exists() else pathlib.Path(name).read_text()
            target.write_text(mutate(text, old, new))
        changed = {name for name, _, _ in mutant.changes}
        objects = []
        for source in self.sources(mutant.test):
            built = self.host / (source[:-2] + ".o")
            if self.reads(source, changed):
                built = tree / (source.replace("/", "-")[:-2] + ".o")
                self.compile(source, tree, built)
            objects.append(str(built))
        program = tree / "test"
        link = self.cc + ["-fsanitize=address,undefined", "-o", str(program), *objects, str(self.support), "-lcmocka"]
        link += [str(library) for library in [self.host / "mbedtls.a"] if library.exists()]
        subprocess.run(link, check=True)
        return program

    def outcome(self, mutant, program):
        env = {**os.environ, **ENVIRONMENT, **mutant.env}
        try:
            done = subprocess.run([program], env=env, timeout=TIMEOUT, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return "caught by" if done.returncode else "not seen by"
        except subprocess.TimeoutExpired:
            return f"hung for {TIMEOUT} s in"

    def try_mutant(self, mutant):
        try:
            program = self.build(mutant)
        except Misfit as misfit:
            print(f"FAIL {mutant.name}: {misfit}", flush=True)
            return False
        outcome = self.outcome(mutant, program)
        caught = outcome != "not seen by"
        print(f"{'ok  ' if caught else 'FAIL'} {mutant.name}: {outcome} {mutant.test} ({mutant.what})", flush=True)
        shutil.rmtree(program.parent)
        return caught


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--cc", required=True)
    parser.add_argument("--cflags", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help="those that have this in their name or are in the list of this name")
    args = parser.parse_args()

    lists = sorted(pathlib.Path("tests/mutants").glob("*.txt"))
    mutants = [m for path in lists for m in read_list(path)]
    mutants = [m for m in mutants if (m.quick or not args.quick) and (not args.only or args.only in m.name or args.only == m.home)]
    bench = Bench(args)
    bench.prepare({m.test for m in mutants})
    caught = sum([bench.try_mutant(m) for m in mutants])
    print(f"mutants: {caught} caught, {len(mutants) - caught} not")
    return 0 if caught == len(mutants) else 1


raise SystemExit(main())
