#!/usr/bin/python3
"""
Takes the controls of controls.py out, one at a time, in a copy of the tree, and shows that it still builds and that the
named test fails: `make check-mutants`. First all named tests must pass in the copy as it is. Arguments: parts of names,
to try these alone.
"""
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from controls import CONTROLS  # noqa: E402
from scratch import Scratch  # noqa: E402

PATIENCE = 300  # seconds for one test
PASSED, FAILED = "passed", "failed"


def environment():
    """Nothing that would lead tests to other binaries than those of the copy."""
    return {name: value for name, value in os.environ.items() if name not in ("UNPACKER", "BUILD", "MAKEFLAGS")}


def run(scratch, command, patience=PATIENCE):
    """(exit status or None where it took too long, output)"""
    try:
        done = subprocess.run(command, cwd=scratch.folder, env=environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=patience, check=False)
    except subprocess.TimeoutExpired as late:
        return None, f"no end within {patience} s\n{late.stdout or ''}"
    return done.returncode, done.stdout.decode(errors="replace")


def run_unit(scratch, program, test):
    status, out = run(scratch, [f"build/unit/{program}"])
    if f"[  FAILED  ] {test}\n" in out:
        return FAILED, out
    return (PASSED if f"[       OK ] {test}\n" in out else f"{test} did not run, status {status}"), out


def run_e2e(scratch, test):
    status, out = run(scratch, [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/e2e/{test}"])
    if status == 1 and f"FAILED tests/e2e/{test}" in out:
        return FAILED, out
    return (PASSED if status == 0 and "1 passed" in out else f"the test did not run to its end, status {status}"), out


def run_test(scratch, name):
    """("passed", "failed" or what kept it from running, output)"""
    kind, _, rest = name.partition(":")
    return run_unit(scratch, *rest.split(":")) if kind == "unit" else run_e2e(scratch, rest)


def target_of(control):
    kind, _, rest = control.test.partition(":")
    return [f"build/unit/{rest.split(':')[0]}"] if kind == "unit" else []


def failing_e2e(scratch, tests):
    """Those that fail as the tree is; all in one run of pytest."""
    if not tests:
        return []
    status, out = run(scratch, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                                *(f"tests/e2e/{test}" for test in tests)], patience=len(tests) * PATIENCE)
    failing = [test for test in tests if f"FAILED tests/e2e/{test}" in out or f"ERROR tests/e2e/{test}" in out]
    if failing or status != 0:
        print(out[-6000:], flush=True)
    assert failing or status == 0, "the named tests do not run to their end as the tree is"
    return failing


def check_baseline(scratch, controls, everything):
    """As it is, everything builds and every named test passes: else its failure would prove nothing."""
    built, said = scratch.make(*everything, *sorted({target for control in controls for target in target_of(control)}))
    assert built, said
    names = sorted({control.test for control in controls})
    wrong = [name for name in names if name.startswith("unit:") and run_test(scratch, name)[0] != PASSED]
    wrong += [f"e2e:{test}" for test in failing_e2e(scratch, [name[4:] for name in names if name.startswith("e2e:")])]
    for name in wrong:
        print(f"fails without any change: {name}", flush=True)
    return wrong


def try_control(scratch, control, everything):
    """None, or what is wrong."""
    try:
        put_back = scratch.exchange(control.file, control.text, control.replacement)
    except (AssertionError, OSError) as problem:
        return str(problem)
    try:
        built, said = scratch.make(*everything, *target_of(control))
        if not built:
            return f"does not build without it: {said[-1500:]}"
        verdict, out = run_test(scratch, control.test)
        return None if verdict == FAILED else f"SURVIVED, the test's verdict: {verdict}\n{out[-1500:]}"
    finally:
        put_back()


def try_all(scratch, controls, everything=("all",)):
    """Prints a line for each control; returns how many were not noticed. everything: what must still build beside the
    named tests."""
    broken = set(check_baseline(scratch, controls, everything))
    missed = 0
    width = max(len(control.name) for control in controls)
    for control in controls:
        started = time.monotonic()
        wrong = "its test fails without any change" if control.test in broken else try_control(
            scratch, control, everything)
        missed += wrong is not None
        print(f"{'noticed' if wrong is None else 'MISSED':8} {control.name:{width}}  {control.file}  {control.test}  "
              f"{time.monotonic() - started:.0f} s", flush=True)
        if wrong is not None:
            print(wrong, flush=True)
    return missed


def sample(count, seed):
    """Of those that unit tests notice: these need no engine and build in seconds."""
    return random.Random(seed).sample([control for control in CONTROLS if control.test.startswith("unit:")], count)


def main():
    chosen = [control for control in CONTROLS if len(sys.argv) == 1 or any(part in control.name for part in sys.argv[1:])]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="restore-mutants-") as folder:
        missed = try_all(Scratch(folder), chosen)
    print(f"{len(chosen)} controls in {time.monotonic() - started:.0f} s")
    print(f"{len(chosen) - missed} passed, {missed} failed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
