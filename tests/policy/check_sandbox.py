#!/usr/bin/python3
"""Tries every system call inside every process after its lock-down: check_sandbox.py [folder of the probes].

Each is a build of the shipped objects around which probe.c is linked: its own main runs up to `ready`, then one call is tried with bad arguments, in a fork of its own. A call that SIGSYS kills is forbidden; any other end means that
it reached the kernel. That has to be exactly the policy, and without the lock-down no call may be killed.
"""
import contextlib
import ctypes
import os
import pathlib
import platform
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests/e2e")]
import lint  # noqa: E402
from fetcher_driver import decode, encode, high  # noqa: E402
from stager_driver import ENTER  # noqa: E402

NUMBERS = range(600)  # Linux 6.18 knows fewer than 480; x32 has its own from 512 to 547
LARGEST = 2**64 - 1
BAD = (LARGEST,) * 6  # no descriptor, no address, no known flag
ZERO = (0,) * 6
NATIVE, I386 = range(2)
X32 = 1 << 30
# Numbers of 32-bit x86: exit fork read write open execve ptrace socketcall clone mprotect mmap2 openat socket bpf
I386_NUMBERS = (1, 2, 3, 4, 5, 11, 26, 102, 120, 125, 192, 295, 359, 357)
X32_NUMBERS = ("read write openat socket connect execve clone fork ptrace mmap mprotect exit_group kexec_load".split())
CAME_BACK, SUCCEEDED = 100, 101  # the probe's exit codes
# Which the kernel lets past every filter (seccomp_uprobe_exception in kernel/seccomp.c): it calls them itself, from its
# own trampolines. From anywhere else they have to come to nothing.
UNFILTERED = {335: "uretprobe", 336: "uprobe"} if platform.machine() == "x86_64" else {}
OWN_WORD = b"ERROR: its own sandbox refused"  # the supervisor's, whose log people read
LAYERS = {"seccomp": 1, "no_new_privs": 4, "not dumpable": 16}  # of sandbox.h: those that no kernel lacks
OTHER_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--ipc", "--uts", "--net"]
NO_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]

libseccomp = ctypes.CDLL("libseccomp.so.2")
libseccomp.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p


class Worker(NamedTuple):
    name: str
    policy: str  # its file in policies/
    probe: str
    config: tuple


def workers(store):
    return [
        Worker("supervisor", "supervisor", "probe-restore", None),
        Worker("unpacker", "unpacker", "probe-unpacker",
               ("unpacker_config", {"window_log_max": 27, "max_entries": 10**7, "max_bytes": 2**50})),
        Worker("fetcher", "fetcher", "probe-fetcher",
               ("fetcher_config", {"endpoint": "http://127.0.0.1:9", "bucket": "bucket", "region": "us-east-1",
                                   "attempts": 1})),
        Worker("fetcher, directory", "fetcher_file", "probe-fetcher",
               ("fetcher_config", {"endpoint": "file:", "bucket": str(store), "attempts": 1})),
        Worker("docker-agent", "docker_agent", "probe-docker-agent",
               ("agent_config", {"socket": "/nowhere/docker.sock", "project": "sandbox", "timeout": 20})),
        Worker("stretcher", "stretcher", "probe-stretcher", ("stretcher_config", {"salt": b"s" * 16, "work_factor": 1})),
        Worker("stager", "stager", "probe-stager", ("stager_config", {"run": "sandbox"})),
    ]


class Trial(NamedTuple):
    entry: int
    number: int
    arguments: tuple = BAD


class Rule(NamedTuple):
    syscall: str
    number: int
    limits: dict  # argument index: (mask, value)

    def admits(self, arguments):
        return all(arguments[index] & mask == value for index, (mask, value) in self.limits.items())


class Outcome(NamedTuple):
    policy: str
    rules: list
    statuses: list  # wait status of each trial
    ready: int      # lock-downs that ended in `ready` with the layers that it takes
    refused: list   # numbers that the handler of SIGSYS told the log


def name_of(number):
    name = libseccomp.seccomp_syscall_resolve_num_arch(0, ctypes.c_int(number))
    return name.decode() if name else "?"


def read_all(fd, into):
    while chunk := os.read(fd, 65536):
        into += chunk
    os.close(fd)


def start(command, environment, inside):
    """The process with descriptors 0 to len(inside) - 1, and its pid."""
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(inside)]
    return os.posix_spawnp(command[0], command, environment, file_actions=actions)


def run(worker, probes, folder, trials, control=False):
    """Runs the trials in the worker's probe."""
    folder.mkdir(exist_ok=True)
    (folder / "trials").write_bytes(b"".join(struct.pack("<8Q", *trial[:2], *trial.arguments) for trial in trials))
    environment = {"PATH": os.environ["PATH"], "SANDBOX_TRIALS": str(folder / "trials")}
    if control:
        environment["SANDBOX_CONTROL"] = "1"
    (config, down), (up, answers), (log, log_end) = [map(high, os.pipe()) for _ in range(3)]
    null = high(os.open("/dev/null", os.O_RDWR))
    binary = str(probes / worker.probe)
    if worker.policy == "supervisor":
        environment |= {"PROJECT_NAME": "sandbox", "S3_BUCKET_URL": "file:///nowhere"}
        (folder / "bin").mkdir(exist_ok=True)
        shutil.copy(binary, folder / "bin/restore")
        (folder / "bin/restore-fetcher").touch(0o755)  # by which it knows where its workers are; none is started
        command = [*NO_CAPABILITIES, str(folder / "bin/restore")]
        inside = [null, null, log_end, config, answers]
    elif worker.policy == "stager":
        (folder / "root").mkdir(exist_ok=True)
        (folder / "mount").mkdir(exist_ok=True)
        environment |= {"BINARY": binary, "TRACE": "", "SANDBOX_TRIALS": "/run-volume/trials"}
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", str(folder / "root"),
                   str(folder), "run-volume", "rw", str(folder / "mount"), "mounts/0", "rw"]
        inside = [config, answers, log_end]
    else:
        command = [*NO_CAPABILITIES, binary]
        (folder / "secret").write_text("# a passphrase for one worker, a comment for the other\n")
        secret = high(os.open(folder / "secret", os.O_RDONLY))
        inside = [secret, null, log_end, config, answers, null, null]
    said, logged = bytearray(), bytearray()
    readers = [threading.Thread(target=read_all, args=pair) for pair in ((up, said), (log, logged))]
    pid = start(command, environment, inside)
    for fd in (config, answers, log_end, null):
        os.close(fd)
    for reader in readers:
        reader.start()
    with contextlib.suppress(BrokenPipeError):  # its status says more
        if worker.config is not None:
            os.write(down, encode(worker.config[0], **worker.config[1]))
    _, status = os.waitpid(pid, 0)
    for reader in readers:
        reader.join()
    os.close(down)
    if status != 0:
        sys.exit(f"{worker.name}: the probe ended with {os.waitstatus_to_exitcode(status)}: {logged.decode()}")
    return read_outcome(folder / "trials.results", bytes(said), bytes(logged))


def count_ready(said):
    """How many `ready` frames there are whose layers are in force; anything else said is an error."""
    count = at = 0
    while at < len(said):
        _, number, _, length = struct.unpack_from("<BBHI", said, at)
        name, values = decode(number, said[at + 8:at + 8 + length])
        if name not in ("ready", "stager_ready"):
            sys.exit(f"instead of `ready`: {name} {values}")
        count += all(values["layers"] & bit for bit in LAYERS.values())
        at += 8 + length
    return count


def read_outcome(path, said, logged):
    policy, rules, statuses = "", [], []
    for kind, *values in (line.split() for line in path.read_text().splitlines()):
        if kind == "policy":
            policy = values[0]
        elif kind == "status":
            statuses.append(int(values[0]))
        else:
            numbers = [int(value) for value in values[1:]]
            limits = {index: (mask, value) for index, mask, value in zip(*[iter(numbers[1:])] * 3)}
            rules.append(Rule(values[0], numbers[0], limits))
    refused = [int(line.split()[-1]) for line in logged.splitlines() if line.startswith((b"S ", OWN_WORD))]
    return Outcome(policy, rules, statuses, count_ready(said), refused)


def killed(status):
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS


def returned(trial, status):
    """It reached the kernel and came back from there, or was the call to end."""
    return os.WIFEXITED(status) and (os.WEXITSTATUS(status) in (CAME_BACK, SUCCEEDED) or
                                     name_of(trial.number) in ("exit", "exit_group"))


def came_to_nothing(status):
    return killed(status) or os.waitstatus_to_exitcode(status) in (CAME_BACK, -signal.SIGILL)


def describe(status):
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return {CAME_BACK: "reached the kernel", SUCCEEDED: "succeeded"}.get(code, f"ended with {code}")


def limit_trials(rule):
    """For each limited argument, all others being right or not looked at: the right value, and wrong ones."""
    right = list(BAD)
    for index, (_, value) in rule.limits.items():
        right[index] = value
    for index, (_, value) in rule.limits.items():
        wrong = {value ^ 1 << bit for bit in range(64)} | {0, LARGEST, (value + 1) & LARGEST}
        yield index, [Trial(NATIVE, rule.number, tuple(right[:index] + [given] + right[index + 1:]))
                      for given in (value, *sorted(wrong - {value}))]


def other_entries(rules):
    """The entries of other ABIs, which an x86-64 process could take to the same kernel; numbers beyond every table."""
    if platform.machine() != "x86_64":
        return []
    numbers = {rule.number for rule in rules} | {lint.number_of(name) for name in X32_NUMBERS}
    return [Trial(I386, number) for number in I386_NUMBERS] + \
           [Trial(NATIVE, X32 | number) for number in sorted(numbers)] + \
           [Trial(NATIVE, number) for number in (0x3fffffff, 0x7fffffff, 0xffffffff)]


class Check:
    """The trials of one worker, what came of them, and what is wrong with it."""

    def __init__(self, worker, probes, folder):
        self.worker, self.passed, self.failed, self.failures = worker, 0, 0, []
        self.rules = run(worker, probes, folder, []).rules
        self.unlimited = {rule.number for rule in self.rules if not rule.limits}
        self.limited = {rule.number for rule in self.rules if rule.limits}
        self.checks = list(self.plan())
        trials = [trial for _, group in self.checks for trial in group]
        self.outcome = run(worker, probes, folder, trials)
        self.ends = dict(zip(trials, self.outcome.statuses))
        bad = [trial for trial in trials if trial.arguments == BAD]
        control = run(worker, probes, folder, bad, control=True)
        self.control = dict(zip(bad, control.statuses))
        self.judge(trials)

    def plan(self):
        """(what it is, trials) of everything that counts as one."""
        for number in NUMBERS:
            variants = (BAD,) if number in self.unlimited else (BAD, ZERO)
            yield "number", [Trial(NATIVE, number, arguments) for arguments in variants]
        for rule in self.rules:
            for _, trials in limit_trials(rule):
                yield "limit", trials
        for trial in other_entries(self.rules):
            yield "entry", [trial]

    def allowed(self, trial):
        return trial.entry == NATIVE and any(rule.number == trial.number and rule.admits(trial.arguments)
                                             for rule in self.rules)

    def problem(self, trial):
        """What is wrong with how the trial ended, or None."""
        status, control = self.ends[trial], self.control.get(trial)
        if self.allowed(trial):
            if not returned(trial, status):
                return f"is in the policy, but {describe(status)}"
        elif trial.number in UNFILTERED:
            if not came_to_nothing(status):
                return f"is not filtered by the kernel, and {describe(status)}"
        elif not killed(status):
            return f"is not in the policy, but {describe(status)}"
        if control is not None and killed(control):
            return "is killed without the sandbox too, which proves nothing"
        return None

    def problems(self, kind, group):
        for trial in group:
            problem = self.problem(trial)
            if problem:
                what = f"{name_of(trial.number)} ({trial.number})" if trial.entry == NATIVE else f"i386's {trial.number}"
                given = "".join(" -1" if value == LARGEST else f" {value:#x}" for value in trial.arguments)
                yield f"{what}{given} {problem}"
        if kind == "limit" and len({self.allowed(trial) for trial in group}) != 2:
            yield f"a limit of {name_of(group[0].number)} lets everything through"

    def count(self, problems):
        """Counts one check, and keeps what is wrong."""
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            self.failures.append(f"{self.worker.name}: {problems[0]}{more}")
        self.passed += not problems
        self.failed += bool(problems)

    def judge(self, trials):
        absent = [trial for trial in trials if trial.entry == I386
                  and os.waitstatus_to_exitcode(self.control[trial]) == -signal.SIGSEGV]  # this kernel has no such entry
        self.checks = [(kind, group) for kind, group in self.checks if group[0] not in absent]
        for kind, group in self.checks:
            self.count(list(self.problems(kind, group)))
        self.count([] if self.outcome.ready == len(trials) else
                   [f"{self.outcome.ready} lock-downs of {len(trials)} ended in `ready` with all layers"])
        # The filter kills x32's numbers without the handler; -1 is no number of x32.
        handled = [ctypes.c_int(trial.number).value for trial in trials if trial.entry == NATIVE
                   and not X32 <= trial.number < 0xffffffff and killed(self.ends[trial])]
        self.count([] if self.outcome.refused == handled else ["the log does not tell each forbidden call's number"])
        self.count(list(self.differences()))

    def differences(self):
        """The policy that was in force is the one that its file holds."""
        lines = lint.read_policy(ROOT / "policies" / f"{self.worker.policy}.def").rules
        written = [(line.syscall, sorted(line.limits)) for line in lines]
        if self.outcome.policy != self.worker.policy:
            yield f"runs under the policy {self.outcome.policy}, not {self.worker.policy}"
        if written != [(rule.syscall, sorted(rule.limits)) for rule in self.rules]:
            yield f"its rules are not the lines of {self.worker.policy}.def: built from another one?"

    def row(self):
        numbers = [group for kind, group in self.checks if kind == "number"]
        outside = self.unlimited | self.limited | UNFILTERED.keys()
        forbidden = [group for group in numbers if group[0].number not in outside]
        gone = sum(all(killed(self.ends[trial]) for trial in group) for group in forbidden)
        entries = [group[0] for kind, group in self.checks if kind == "entry"]
        stopped = sum(killed(self.ends[trial]) for trial in entries)
        return (self.worker.name, len(self.unlimited | self.limited), sum(kind == "limit" for kind, _ in self.checks),
                len(forbidden), "yes" if gone == len(forbidden) else f"NO: {gone}", f"{stopped} of {len(entries)}")


def main(probes):
    header = ("worker", "allowed", "limits", "forbidden tried", "all killed", "other entries killed")
    layout = "{:<20}{:>8}{:>8}{:>17}{:>12}{:>22}"
    checks = []
    print(layout.format(*header), flush=True)
    with tempfile.TemporaryDirectory(prefix="sandbox-") as name:
        folder = pathlib.Path(name)
        for worker in workers(folder):
            check = Check(worker, probes, folder / worker.policy)
            print(layout.format(*check.row()), flush=True)
            checks.append(check)
    tried = {check.worker.policy for check in checks}
    untried = sorted({path.stem for path in (ROOT / "policies").glob("*.def")} - tried)
    print(*(f"{failure}\n" for check in checks for failure in check.failures), sep="", end="")
    print(*(f"policies/{name}.def is tried in no worker\n" for name in untried), sep="", end="")
    for number, name in UNFILTERED.items():
        print(f"{name} ({number}): Linux lets it past every filter; outside of its own trampolines it has to come to nothing")
    passed = sum(check.passed for check in checks)
    failed = sum(check.failed for check in checks) + len(untried)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        main(pathlib.Path(sys.argv[2]))
    # What a control run does, or a filter that fails, stays in namespaces that end with it.
    chosen = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/policy").resolve()
    os.execvp(OTHER_NAMESPACES[0], [*OTHER_NAMESPACES, sys.executable, __file__, "--inside", str(chosen)])
