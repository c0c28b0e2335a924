#!/usr/bin/python3
"""
Hostile, odd and broken archives through the real restore-unpacker in its sandbox: `make check-hostile`. First the
archives of tests/e2e/archive_cases.py, each with the verdict that it must get; then libarchive's test archives and
zstd's golden files, of Debian's source packages (corpora.sh), of which none may crash the unpacker, hang it over 5 s or
make it do what its sandbox forbids, and of which what is accepted must come out clean.
"""
import collections
import os
import pathlib
import random
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import corpora  # noqa: E402  (it puts tests/e2e on the path)
import archive_cases as cases  # noqa: E402
from unpacker_driver import INTEGRITY, MARIADB, POSTGRES, Unpacker  # noqa: E402

LONGEST = 5.0
WANTS = [cases.WANT, (8, POSTGRES, "app"), (9, MARIADB, "db")]
POLICY = {"sound": (cases.SOUND, cases.assert_sound), "packing": (cases.PACKINGS, cases.assert_packing),
          "hostile": (cases.HOSTILE, cases.assert_hostile), "packed": (cases.PACKED, cases.assert_packed)}


def policy_names():
    return [(group, name) for group, (members, _) in POLICY.items() for name in members]


def judge_policy(name):
    """(group, None), or what is wrong."""
    group, case = name
    try:
        seconds = POLICY[group][1](case).seconds
    except Exception:  # an archive that breaks the driver itself is a failure of this archive, not of the run
        return group, traceback.format_exc(limit=3)
    return group, None if seconds < LONGEST else f"took {seconds:.1f} s"


def run_within_time(archive):
    """(result, exit status); the process is killed once the time is up."""
    with Unpacker() as unpacker:
        result = unpacker.run(archive, WANTS, close=True, deadline=LONGEST)
        return result, unpacker.end() if result.unpacked else result.status


def unclean(result):
    """What is wrong with the tar that came out, or None."""
    for name, entry in cases.read_back(result.streams.get(7, cases.END)).items():
        if name.startswith(b"/") or b".." in name.split(b"/") or name.startswith(b".restore-"):
            return f"the name {name!r} came out"
        if entry[0] in (cases.CHAR, cases.BLOCK):
            return f"the device {name!r} came out"
    return None


def problem_of(case, result, status):
    if result.seconds >= LONGEST:
        return f"no end within {LONGEST} s"
    if status != 0:
        return f"the process ended with {status}: {result.log}"
    accepted = result.unpacked is not None and result.complete
    if not accepted and (not result.failed or result.failed["code"] != INTEGRITY):
        return f"neither accepted nor refused for its integrity: {result.failed}"
    if case.verdict != "any" and accepted != (case.verdict == "sound"):
        return f"must be {case.verdict}: {result.text}"
    return unclean(result) if accepted else None


def judge_case(case):
    """("accepted" or "refused", None or what is wrong)."""
    try:
        result, status = run_within_time(case.data)
        return ("accepted" if result.unpacked else "refused"), problem_of(case, result, status)
    except Exception:
        return "refused", traceback.format_exc(limit=3)


def sample(directory, count, seed):
    every = list(corpora.libarchive_cases(directory)) + list(corpora.zstd_cases(directory))
    return random.Random(seed).sample(every, count)


class Tally:
    def __init__(self):
        self.groups, self.passed, self.failed = collections.Counter(), 0, 0

    def count(self, group, name, wrong):
        self.groups[group] += 1
        self.passed += wrong is None
        self.failed += wrong is not None
        if wrong is not None:
            print(f"WRONG: {name}: {wrong}", flush=True)


def run_corpus(pool, tally, label, every):
    every = list(every)
    for case, (verdict, wrong) in zip(every, pool.map(judge_case, every, chunksize=4)):
        tally.count(f"{label}, {verdict}", case.name, wrong)


def main():
    started = time.monotonic()
    directory = corpora.fetch()
    tally = Tally()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        names = policy_names()
        for name, (group, wrong) in zip(names, pool.map(judge_policy, names, chunksize=4)):
            tally.count(f"policy, {group}", name, wrong)
        run_corpus(pool, tally, "libarchive", corpora.libarchive_cases(directory))
        run_corpus(pool, tally, "zstd", corpora.zstd_cases(directory))
    files = len(list((directory / "libarchive").rglob("*.uu")))
    print(f"{len(names)} policy archives; {files} files of libarchive")
    for group, count in sorted(tally.groups.items()):
        print(f"{group:22} {count}")
    print(f"{time.monotonic() - started:.0f} s")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
