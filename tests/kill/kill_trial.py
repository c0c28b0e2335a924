"""One kill: what is done at a point, and the judgement of what is found after it."""
import pathlib

import harness
import kill_stacks
from kill_list import AFTER, read_trace

OPTIONS = {"STOP_TIMEOUT": 10, "DB_TIMEOUT": kill_stacks.SERVER_DEADLINE}
DEADLINE = 2 * kill_stacks.SERVER_DEADLINE  # of one run
UNCHANGED = ("Data and containers are as they were before", "Nothing was changed")
RENEWED = "The data of the backup is restored"


class Trial:
    """The binaries and a folder for traces."""

    def __init__(self, build, folder):
        self.plain = pathlib.Path(build) / "bin" / "restore"
        self.killable = pathlib.Path(build) / "kill" / "restore"
        self.folder = pathlib.Path(folder)

    def restore(self, target, binary=None, **options):
        return harness.restore(target.project, target.store, binary=binary or self.plain, deadline=DEADLINE,
                               **{**OPTIONS, **target.options, **options})

    def trace(self, target, **options):
        """The frames of a run that nobody kills."""
        path = self.folder / f"{target.project}.trace"
        path.unlink(missing_ok=True)
        result = self.restore(target, self.killable, KILL_TRACE=path, **options)
        assert result.code in (0, 10), result
        return read_trace(path)

    def begin(self, target):
        """The trace of a whole restore; what it leaves is the new state of all trials."""
        target.mark("before the first")
        frames = self.trace(target)
        target.new = target.take()
        return frames

    def strike(self, target, point, **options):
        """A run that is killed at the point. Returns its result, or None where it never came there."""
        log = self.folder / f"{target.project}.log"
        log.unlink(missing_ok=True)
        result = self.restore(target, self.killable, KILL_POINT=point.variable, KILL_LOG=log, **options)
        return result if log.exists() else None

    def run(self, target, point, name, with_restore=False):
        """Kills, recovers, judges. Returns None where the point was not reached, else a list of problems."""
        target.wait_servers()
        target.mark(name)
        old, before = target.take(), target.containers()
        killed = self.strike(target, point)
        second = killed and point.again and self.strike(target, point.again, RESTORE_MODE="recover")
        recovered = self.restore(target, RESTORE_MODE="recover")
        found = target.take()
        problems = [] if recovered.code in (0, 10) else [f"recover ended with {recovered.code}"]
        problems += judge(point, found, old, target.new, [killed, second, recovered])
        problems += target.problems(before)
        if with_restore and not problems:
            problems += self.restore_again(target)
        if problems:
            problems += [f"{title}: {result}" for title, result in (("killed run", killed), ("killed recovery", second),
                                                                    ("recovery", recovered)) if result]
        return None if killed is None or (point.again and second is None) and not problems else problems

    def restore_again(self, target):
        result = self.restore(target)
        if result.code not in (0, 10) or target.take() != target.new:
            return [f"the following restore: {result}", differences(target.take(), target.new)]
        return []


def differences(found, wanted):
    return "; ".join(f"{name}: {found[name]!r}, not {wanted[name]!r}" for name in wanted if found[name] != wanted[name])


def judge(point, found, old, new, results):
    """Wholly old or wholly new, the right one of them, and the run's own words true."""
    if found not in (old, new):
        return [f"neither old nor new. Against old: {differences(found, old)}. Against new: {differences(found, new)}"]
    problems = []
    ended = results[0] is not None and results[0].code in (0, 10)  # a worker that had done its part is not missed
    if found == new and point.frame.stretch != AFTER and point.frame.message != "conclude" and not ended:
        problems.append("new data, although the run was killed before its commit")
    if found == old and (point.frame.stretch == AFTER or ended):
        problems.append("old data, although the run was killed after its commit, or succeeded")
    for result in filter(None, results):
        if found == new and any(words in result.text for words in UNCHANGED):
            problems.append("said to be unchanged, and is new")
        if found == old and RENEWED in result.text:
            problems.append("said to be new, and is old")
    return problems
