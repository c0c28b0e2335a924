#!/usr/bin/python3
"""A fault at every call of every worker, one at a time: `make check-faults`.

Each case runs undisturbed first, which counts its calls; then once for every call and every way in which it can fail.
What a short read or write, or an interrupted call, comes to must be success with the right data; every other fault ends in
that or in a failure that is said, with the old data intact.
"""
import argparse
import collections
import concurrent.futures
import errno
import pathlib
import random
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fault_cases  # noqa: E402

SHORT = -1
READS, WRITES = (errno.EIO, errno.EINTR, SHORT), (errno.EIO, errno.ENOSPC, errno.EINTR, SHORT)
MAKES = (errno.EIO, errno.ENOSPC)
FAULTS = {
    "read": READS, "pread": READS, "write": WRITES, "pwrite": WRITES, "copy_file_range": WRITES,
    "malloc": (errno.ENOMEM,), "calloc": (errno.ENOMEM,), "realloc": (errno.ENOMEM,),
    "poll": (errno.EINTR, errno.ENOMEM), "recv": (errno.ECONNRESET, errno.EINTR, SHORT),
    "send": (errno.EPIPE, errno.EINTR, SHORT), "socket": (errno.EMFILE, errno.ENOMEM), "connect": (errno.ECONNREFUSED,),
    "openat2": (errno.EIO, errno.EMFILE, errno.ENOSPC, errno.EAGAIN),
    **{name: MAKES for name in ("ftruncate", "mkdirat", "mknodat", "symlinkat", "linkat", "renameat", "renameat2", "fsetxattr",
                                "fdatasync", "fsync", "syncfs")},
    **{name: (errno.EIO,) for name in ("readlinkat", "unlinkat", "fchmod", "fchown", "fchownat", "utimensat", "futimens",
                                       "fgetxattr", "flistxattr", "lseek", "fstat", "fstatat")},
}
HARMLESS = {SHORT, errno.EINTR}
# Calls of one function in one case beyond which every nth is tried.
EVERY_UP_TO = 800
SEED = 20260101

Point = collections.namedtuple("Point", "case function index error")


def name_of(error):
    return "short" if error == SHORT else errno.errorcode[error]


def step_of(case, count):
    return 1 + (count - 1) // (fault_cases.CASES[case].most or EVERY_UP_TO)


def points_of(case, counts):
    for function, count in counts.items():
        step = step_of(case, count)
        for index in range(1, count + 1, step):
            for error in FAULTS[function]:
                yield Point(case, function, index, error)


_made = {}  # in a process of the pool: the cases it has prepared


def case_of(number, folder):
    if number not in _made:
        made = tempfile.mkdtemp(dir=folder)
        _made[number] = fault_cases.CASES[number](made)
    return _made[number]


def attempt(point, folder):
    """What was wrong, or None; and what became of it: "reached", "in a library" or "unreached"."""
    case = case_of(point.case, folder)
    try:
        case.plan.set(point.function, point.index, point.error)
        outcome, detail = case.run()
        if not case.plan.fired:
            return None, "unreached"  # this run made fewer calls (retries and wake-ups differ)
        if outcome != "ok" and point.error in HARMLESS:
            return f"{outcome}: {detail}", "reached"
        return None, "in a library" if detail == fault_cases.IN_LIBRARY else "reached"
    except Exception:  # of the tests' own, and counts as a failure
        return traceback.format_exc(limit=3), "reached"


def count(number, folder):
    case = case_of(number, folder)
    for _ in range(2):  # the first run of a case may make what later ones find
        case.plan.set()
        outcome, detail = case.run()
        assert outcome == "ok", f"{case.name}, undisturbed: {detail}"
    return {function: calls for function, calls in case.plan.counts.items() if calls > 0}


def collect(pool, folder, only):
    points = []
    for number, case in enumerate(fault_cases.CASES):
        if only in case.worker or only in case.name:
            counts = pool.submit(count, number, folder).result()
            mine = list(points_of(number, counts))
            print(f"{case.worker}, {case.name}: {sum(counts.values())} calls of {len(counts)} functions, {len(mine)} faults; "
                  + ", ".join(f"every {step_of(number, calls)}th {function}" for function, calls in counts.items()
                              if step_of(number, calls) > 1), flush=True)
            points += mine
    return points


def run(points, pool, folder):
    passed, failed, others = collections.Counter(), 0, collections.Counter()
    futures = {pool.submit(attempt, point, folder): point for point in points}
    for done, future in enumerate(concurrent.futures.as_completed(futures), 1):
        point = futures[future]
        problem, fate = future.result()
        case = fault_cases.CASES[point.case]
        if problem is not None:
            failed += 1
            print(f"FAILED: {case.worker}, {case.name}: {name_of(point.error)} at {point.function} {point.index}\n    "
                  + problem.replace("\n", "\n    "), flush=True)
            continue
        passed[case.worker, name_of(point.error)] += fate != "unreached"
        others[fate] += 1
        if done % 1000 == 0:
            print(f"{done} of {len(points)} faults, {failed} failed", flush=True)
    return passed, failed, others


def close(_):
    for case in _made.values():
        case.close()


def forget():
    """What was closed is made anew when it is needed again."""
    _made.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--only", default="", help="workers or cases with this in their name")
    parser.add_argument("--points", type=int, default=None, help="so many of them")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=3)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="check-faults-", dir="/var/tmp") as folder:
        with concurrent.futures.ProcessPoolExecutor(options.processes) as pool:
            try:
                points = collect(pool, folder, options.only)
                random.Random(options.seed).shuffle(points)
                passed, failed, others = run(points[:options.points], pool, folder)
            finally:
                list(pool.map(close, range(4 * options.processes)))
    for (worker, fault), number in sorted(passed.items()):
        print(f"  {worker:<14} {fault:<14} {number}")
    print(f"{others['in a library']} of them ended a worker by a signal in a library that got no memory (see check_status)")
    print(f"{others['unreached']} further faults were not reached: their call did not come again")
    print(f"Tried {sum(passed.values()) + failed} faults in {(time.monotonic() - started) / 60:.0f} minutes")
    print(f"{sum(passed.values())} passed, {failed} failed")
    return 0 if failed == 0 and passed and others["unreached"] <= len(points) // 20 else 1


if __name__ == "__main__":
    sys.exit(main())
