#!/usr/bin/python3
"""Runs the benchmarks against other tools, side by side on the same data; see README.md.

    bench.py [--quick] [--scale X] [--rounds N] [CASE ...]

Writes build/bench/bench.json, bench.svg and details.json. Cases: list unpack download memory restore. BENCH_FULL=1 adds
what takes long to prepare.
"""
import argparse
import os
import pathlib
import re
import signal
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"), str(HERE.parent / "stack")]
import big_stack  # noqa: E402
import case_download  # noqa: E402
import case_list  # noqa: E402
import case_memory  # noqa: E402
import case_restore  # noqa: E402
import case_unpack  # noqa: E402
import disk  # noqa: E402
import harness  # noqa: E402
import report  # noqa: E402
import storage  # noqa: E402

CASES = {"list": case_list, "memory": case_memory, "unpack": case_unpack, "download": case_download,
         "restore": case_restore}
WITH_ARCHIVE = {"unpack", "download", "restore"}
GIB = 1 << 30
PHASE = re.compile(r"Phase (\d): .*?([\d.]+) s$", re.M)


class Bench:
    """What the cases share."""

    def __init__(self, options):
        self.everything = os.environ.get("BENCH_FULL") == "1"
        self.rounds = options.rounds or (2 if options.quick else 3)
        self.memory_sizes = (256,) if options.quick else (1024, 10240)
        self.report = report.Report()
        self.archive = None
        self.failed = []

    @staticmethod
    def told(found):
        """A measurement with what the product's own summary says of its phases."""
        values = {name: getattr(found, name) for name in ("wall", "downtime", "cpu", "memory", "by_process")}
        values = {name: round(value, 2) if isinstance(value, float) else value for name, value in values.items()}
        values["phases"] = {number: float(seconds) for number, seconds in PHASE.findall(found.output)}
        print("    ", values, flush=True)
        return values


def run_case(bench, name):
    print(f"{name}:", flush=True)
    start = time.monotonic()
    try:
        CASES[name].run(bench)
    except Exception:  # the others are worth having nevertheless
        traceback.print_exc()
        bench.failed.append(name)
    print(f"  ({time.monotonic() - start:.0f} s)", flush=True)


def run_cases(bench, names, scale):
    for name in (name for name in CASES if name in names and name not in WITH_ARCHIVE):
        run_case(bench, name)
    rest = [name for name in CASES if name in names and name in WITH_ARCHIVE]
    if rest:
        print(f"the stack, {big_stack.FILE_BYTES * scale / 1e6:.0f} MB of files:", flush=True)
        with big_stack.running(scale) as bench.archive:
            for name in rest:
                run_case(bench, name)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="all of them if none is named")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, under 5 minutes")
    parser.add_argument("--scale", type=float, help="size of the stack's data; 1: 1.6 GB in 20,000 files, 300 MB of dumps")
    parser.add_argument("--rounds", type=int)
    return parser.parse_args()


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(options)
    with disk.mounted((10 if options.quick else 48) * GIB):
        storage.make_bucket()
        try:
            run_cases(bench, options.cases or list(CASES), options.scale or (0.1 if options.quick else 1.0))
        finally:
            storage.remove_bucket()
            bench.report.write(harness.ROOT / "build" / "bench")
            bench.report.show()
    if bench.failed:
        sys.exit(f"bench: failed: {', '.join(bench.failed)}")


if __name__ == "__main__":
    main()
