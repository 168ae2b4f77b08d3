#!/usr/bin/env python3
"""
Runs the boot cases of tests/boot/cases/*.py, two at a time: each file has a list CASES.
    run.py --build build [--verbose] [--jobs N] [NAME...]      NAME: a case, or a prefix of some
"""
import argparse
import concurrent.futures
import importlib.util
import os
import pathlib
import signal
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from case import run_case  # noqa: E402  (found through the path above)


def load_cases():
    cases = []
    for path in sorted((HERE / "cases").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"cases_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cases += module.CASES
    names = [case.name for case in cases]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        sys.exit(f"boot cases with the same name: {', '.join(sorted(doubled))}")
    return sorted(cases, key=lambda case: not case.long)


def choose(cases, names):
    if not names:
        return [case for case in cases if not case.by_name]
    exact = {case.name for case in cases}
    chosen = [case for case in cases
              if any(case.name == name or (name not in exact and case.name.startswith(name)) for name in names)]
    if not chosen:
        sys.exit(f"no such boot case; there are: {', '.join(case.name for case in cases)}")
    return chosen


def report(case, why, text, seconds, verbose):
    print(f"{'FAIL' if why else 'ok  '} {case.name} ({seconds:.0f} s){': ' + why if why else ''}", flush=True)
    if why or verbose:
        lines = text.splitlines()
        for line in lines if verbose else lines[-40:]:
            print(f"     | {line}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()

    os.chdir(HERE.parent.parent)
    if args.list:
        print("\n".join(case.name for case in load_cases()))
        return 0
    cases = choose(load_cases(), args.names)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        runs = {pool.submit(run_case, case, args.build, stop): case for case in cases}
        for run in concurrent.futures.as_completed(runs):
            why, text, seconds = run.result()
            passed, failed = passed + (why is None), failed + (why is not None)
            report(runs[run], why, text, seconds, args.verbose)

    if not args.names:
        results = pathlib.Path(args.build) / "results"
        results.mkdir(parents=True, exist_ok=True)
        (results / "boot").write_text(f"{passed} {failed}\n")
    print(f"boot: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
