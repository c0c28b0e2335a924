#!/usr/bin/python3
"""Kills restores at every message of the protocol, recovers, and looks at what is there: `make check-kill`.

Frames are hit exactly (kill_points.c); within the verbs that rename and copy, the stager and the whole run are killed
at stepped moments. Every system call of the stager's swap has its own point in tests/e2e/test_stager.py.
Several lanes work at a time, each with stacks of its own: most of a point is waiting for the Engine.
"""
import argparse
import collections
import concurrent.futures
import itertools
import pathlib
import signal
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import kill_stacks as stacks  # noqa: E402
import kill_list as kill_points  # noqa: E402
from kill_trial import Trial  # noqa: E402

SEED = 20260101
RESTORE_EVERY = 10  # after every tenth point a restore has to succeed
NOT_REACHED_MOST = 0.05
KINDS = {made.kind: made for made in (stacks.VolumeStack, stacks.DatabaseStack, stacks.LayerStack)}
SECOND_KILLS = {"volumes": 4, "databases": 12, "undo dumps": 8}  # every so many frames of a recovery


class Lane(threading.Thread):
    """Takes points from the common list until it is empty."""

    def __init__(self, check, name):
        super().__init__(name=name, daemon=True)
        self.check = check
        self.stacks = {}

    def target(self, kind):
        if kind not in self.stacks:
            make = KINDS[kind]
            self.stacks[kind] = made = make(self.check.folder)
            self.check.trial.begin(made)
        return self.stacks[kind]

    def drop(self, kind):
        """A failed point may leave anything: the next one gets a fresh stack."""
        if kind in self.stacks:
            self.stacks.pop(kind).remove()

    def attempt(self, number, point):
        try:
            return self.check.trial.run(self.target(point.kind), point, f"point {number}", number % RESTORE_EVERY == 0)
        except Exception:  # of the tests' own, and counts as a failure
            return [traceback.format_exc()]

    def run(self):
        while (item := self.check.next()) is not None:
            number, point = item
            problems = self.attempt(number, point)
            if problems:
                self.drop(point.kind)
            self.check.report(number, point, problems)
        for kind in list(self.stacks):
            self.drop(kind)


class Check:
    """The list of points and the tally."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.trial = Trial(options.build, folder)
        self.lock = threading.Lock()
        self.passed, self.failed, self.not_reached = 0, 0, 0
        self.tried = collections.Counter()
        self.victims = collections.Counter()
        self.seconds = collections.Counter()
        self.queue = collections.deque()

    def trace(self, lane, kind):
        """A restore of the stack, and recoveries of it: the frames of the one and the points in the others."""
        seconds = []
        lane.stacks[kind] = made = KINDS[kind](self.folder)
        frames = self.trial.begin(made)
        for first in kill_points.first_kills(kind, frames):
            made.wait_servers()
            made.mark("before a recovery")
            if self.trial.strike(made, first) is None:
                raise RuntimeError(f"a restore did not come to {first}")
            recovery = kill_points.second_kills(first, self.trial.trace(made, RESTORE_MODE="recover"))
            seconds += recovery[::SECOND_KILLS[kind]]
        print(f"{kind}: {len(frames)} frames a run, {len(kill_points.of_stretch(frames, kill_points.WINDOW))} "
              "of them between stop and commit", flush=True)
        return frames, seconds

    def collect(self, lanes):
        """The points of all stacks, each traced in a lane of its own where there are as many."""
        with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
            traces, seconds = zip(*pool.map(self.trace, itertools.cycle(lanes), KINDS))
        chosen = kill_points.choose(*traces) + sum(seconds, [])
        chosen = [point for point in chosen if self.options.only in str(point)]
        chosen = kill_points.shuffled(chosen, self.options.seed)[:self.options.points]
        self.queue.extend(enumerate(chosen, 1))
        self.total = len(chosen)

    def interrupt(self, number, _):
        """The points under way are ended, and the stacks taken away."""
        print(f"stopped by {signal.Signals(number).name}", flush=True)
        self.queue.clear()
        self.failed += 1

    def next(self):
        with self.lock:
            return self.queue.popleft() if self.queue else None

    def report(self, number, point, problems):
        with self.lock:
            if problems is None:
                self.not_reached += 1
                print(f"[{number}/{self.total}] not reached: {point}", flush=True)
                return
            self.passed += not problems
            self.failed += bool(problems)
            self.tried[point.frame.stretch] += 1
            self.victims[point.victim] += 1
            if problems or self.options.verbose:
                print(f"[{number}/{self.total}] {'FAILED' if problems else 'passed'}: {point}", flush=True)
                print("".join(f"    {line}\n" for line in problems), end="", flush=True)
            elif (self.passed + self.failed) % 25 == 0:
                print(f"{self.passed + self.failed} of {self.total} points, {self.failed} failed", flush=True)

    def run(self):
        lanes = [Lane(self, f"lane {number}") for number in range(self.options.lanes)]
        started = time.monotonic()
        try:
            self.collect(lanes)
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()
        finally:
            for lane in lanes:
                for kind in list(lane.stacks):
                    lane.drop(kind)
        return self.summary(time.monotonic() - started)

    def summary(self, seconds):
        tried = self.passed + self.failed
        print(f"Tried {tried} kill points in {seconds / 60:.0f} minutes: "
              + ", ".join(f"{count} {stretch}" for stretch, count in self.tried.items()))
        print("Killed: " + ", ".join(f"{victim} {count}" for victim, count in self.victims.most_common()))
        if self.not_reached > NOT_REACHED_MOST * self.total:
            self.failed += 1
            print(f"{self.not_reached} of {self.total} points were not reached: too many")
        elif self.not_reached:
            print(f"{self.not_reached} points were not reached: their frame did not come again")
        print(f"{self.passed} passed, {self.failed} failed")
        return 0 if self.failed == 0 and tried > 0 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", default=str(stacks.ROOT / "build"))
    parser.add_argument("--points", type=int, default=None, help="so many of them")
    parser.add_argument("--only", default="", help="points whose description has this in it")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--lanes", type=int, default=3)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="check-kill-", dir="/var/tmp") as folder:
        check = Check(options, pathlib.Path(folder))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, check.interrupt)
        sys.exit(check.run())


if __name__ == "__main__":
    main()
