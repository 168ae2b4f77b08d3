#!/usr/bin/env python3
"""Runs the host tests (unit, fuzz, models, checks), two at a time, and sums up what passed."""
import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import tempfile

TIMEOUT = 600  # seconds for one program
WORKERS = 2


def run(command, cwd=None):
    """Returns (exit status, output); a program that hangs counts as failed."""
    try:
        done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, timeout=TIMEOUT, errors="replace")
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        return -1, (expired.stdout or b"").decode(errors="replace") + f"\nstopped after {TIMEOUT} s\n"
    except OSError as error:
        return -1, f"{error}\n"


def run_program(path):
    """A cmocka program: its own counts. One that ends badly has failed at least once."""
    if not pathlib.Path(path).exists():
        return path, 0, 1, "was not built\n"
    status, output = run([path])
    passed = sum(map(int, re.findall(r"\[  PASSED  \] (\d+) test", output)))
    failed = sum(map(int, re.findall(r"\[  FAILED  \] (\d+) test", output)))
    if status != 0 and failed == 0:
        failed = 1
    if status == 0 and passed == 0:
        failed = 1
        output += "no test ran\n"
    return path, passed, failed, output


def build_model(source, defines, folder):
    # What is wrong is seen to be wrong after few steps: there compiling takes longest.
    commands = (["spin", *defines, "-a", str(source)],
                ["gcc", "-O0" if defines else "-O2", "-w", "-o", "pan", "pan.c"])
    return all(run(command, cwd=folder)[0] == 0 for command in commands)


def run_model(path):
    """Verifies a Promela model: every named claim by itself, or the assertions when there is none; then that
    each version of it that a line "wrong: NAME" defines breaks an assertion."""
    source = pathlib.Path(path).resolve()
    text = source.read_text()
    claims = re.findall(r"^ltl\s+(\w+)", text, re.MULTILINE) or [None]
    passed = failed = 0
    output = ""
    with tempfile.TemporaryDirectory() as folder:
        if not build_model(source, [], folder):
            return path, 0, len(claims), "does not build\n"
        for claim in claims:
            status, found = run(["./pan", "-m1000000"] + (["-a", "-N", claim] if claim else []), cwd=folder)
            good = status == 0 and "errors: 0" in found and "max search depth too small" not in found
            passed, failed = passed + good, failed + (not good)
            output += found
        for wrong in re.findall(r"^ \* wrong: (\w+)", text, re.MULTILINE):
            seen = build_model(source, ["-D" + wrong], folder) and \
                "errors: 1" in run(["./pan", "-m1000000"], cwd=folder)[1]
            passed, failed = passed + seen, failed + (not seen)
            output += "" if seen else f"{wrong} is not seen to be wrong\n"
    return path, passed, failed, output


def run_check(path):
    status, output = run(["make", "--no-print-directory", path])
    return path, int(status == 0), int(status != 0), output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--tests", nargs="*", default=[])
    parser.add_argument("--models", nargs="*", default=[])
    args = parser.parse_args()

    # What takes longest begins first, so that nothing long is alone at the end.
    jobs = [(run_check, target) for target in ("mutants-quick", "check-clang", "check")]
    jobs += [(run_model, m) for m in args.models] + [(run_program, t) for t in args.tests]
    total_passed = total_failed = 0
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for path, passed, failed, output in pool.map(lambda job: job[0](job[1]), jobs):
            print(f"{'FAIL' if failed else 'ok  '} {path}: {passed} passed, {failed} failed", flush=True)
            if failed:
                print(output, flush=True)
            total_passed, total_failed = total_passed + passed, total_failed + failed

    results = pathlib.Path(args.build) / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "unit").write_text(f"{total_passed} {total_failed}\n")
    print(f"host: {total_passed} passed, {total_failed} failed")
    return 1 if total_failed else 0


raise SystemExit(main())
