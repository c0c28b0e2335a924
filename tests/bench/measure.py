"""Running a contender and measuring it from outside, all contenders in the same way.

wall      from the start of the command to its end
cpu       seconds of both processors that were not idle meanwhile: the Engine's and the databases' work counts as well
memory    largest sum of VmHWM of the processes that lived at one moment: the command with its children, and the processes
          of helper containers whose names begin with `containers`; neither the Engine's daemon nor the stack's own servers
downtime  from the first signal to the application until its last start, as the Engine's events say
"""
import dataclasses
import json
import os
import pathlib
import re
import statistics
import subprocess
import threading
import time

import stack

INTERVAL = 0.03
SETTLED = 1.0  # seconds after which a process that is not ours will not become so
CONTAINER = re.compile("[0-9a-f]{64}")


@dataclasses.dataclass
class Measurement:
    wall: float
    cpu: float
    memory: float  # MiB
    downtime: float
    by_process: dict
    output: str


class Failure(Exception):
    """A contender did not do its work."""


def _pids():
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}


def _read(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _parent(pid):
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _peak_kib(pid):
    found = re.search(r"VmHWM:\s*(\d+)", _read(pid, "status"))
    return int(found[1]) if found else 0


class Memory(threading.Thread):
    """Adds up the peaks of a command's processes. VmHWM keeps the peak, so that a few looks a second are enough."""

    def __init__(self, containers):
        super().__init__(daemon=True)
        self.members = set()
        self.containers = containers
        # What runs already, before the command is started, is not ours.
        self.first_seen = {pid: -SETTLED * 2 for pid in _pids()}
        self.names = {}
        self.largest_kib = 0
        self.by_process = {}
        self.done = threading.Event()

    def container_name(self, identifier):
        if identifier not in self.names:
            found = subprocess.run(["docker", "inspect", "-f", "{{.Name}}", identifier], capture_output=True, check=False)
            self.names[identifier] = found.stdout.decode().strip().lstrip("/")
        return self.names[identifier]

    def belongs(self, pid):
        if _parent(pid) in self.members:
            return True
        found = CONTAINER.search(_read(pid, "cgroup"))
        return bool(found) and self.container_name(found[0]).startswith(self.containers)

    def gather(self):
        now = time.monotonic()
        alive = _pids()
        for pid in sorted(alive - self.members):
            if now - self.first_seen.setdefault(pid, now) <= SETTLED and self.belongs(pid):
                self.members.add(pid)
        self.members &= alive
        return self.members

    def look(self):
        total = 0
        for pid in self.gather():
            name = _read(pid, "comm").strip()
            if not name or name.startswith("runc"):  # gone, or not yet the program of the container
                continue
            peak = _peak_kib(pid)
            total += peak
            self.by_process[name] = max(peak, self.by_process.get(name, 0))
        self.largest_kib = max(total, self.largest_kib)

    def run(self):
        while not self.done.is_set():
            self.look()
            time.sleep(INTERVAL)

    def watch(self, root):
        self.members = {root}
        self.start()

    def stop(self):
        self.done.set()
        self.join()


def _busy_seconds():
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Events:
    """The Engine's events of one service, read as they come: it remembers the last 256 alone, and health checks are many."""

    def __init__(self, project, service):
        self.process = subprocess.Popen(
            ["docker", "events", "--since", f"{time.time():.6f}", "--filter", "type=container",
             "--filter", f"label={stack.PROJECT_LABEL}={project}", "--filter", f"label={stack.SERVICE_LABEL}={service}",
             "--filter", "event=kill", "--filter", "event=die", "--filter", "event=start", "--format", "{{json .}}"],
            stdout=subprocess.PIPE)

    def downtime(self):
        """Seconds from the first signal to the service until it was last started; 0 where it was not stopped."""
        time.sleep(0.3)  # for the last event's way to us
        self.process.terminate()
        events = [json.loads(line) for line in self.process.communicate()[0].splitlines()]
        down = [event["timeNano"] for event in events if event["Action"] in ("kill", "die")]
        started = [event["timeNano"] for event in events if event["Action"] == "start"]
        return (started[-1] - down[0]) / 1e9 if down and started else 0.0


def run(argv, env, containers, project, service="app"):
    """Runs a contender to its end. containers: how the names of its helper containers begin."""
    subprocess.run(["sync"], check=True)
    memory, events = Memory(containers), Events(project, service)
    start, busy = time.monotonic(), _busy_seconds()
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    memory.watch(process.pid)
    try:
        output = process.communicate()[0].decode(errors="replace")
    finally:
        process.kill()
        memory.stop()
    wall, cpu = time.monotonic() - start, _busy_seconds() - busy
    down = events.downtime()
    if process.returncode != 0:
        raise Failure(f"{argv[0]}: exit {process.returncode}\n{output[-4000:]}")
    return Measurement(wall, cpu, memory.largest_kib / 1024, down,
                       {name: round(kib / 1024, 1) for name, kib in sorted(memory.by_process.items())}, output)


def seconds_of(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


def alternate(rounds, contenders):
    """Runs all contenders in turn, several times; contender: name to function. Returns name to list of results."""
    results = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in order:
            results[name].append(contenders[name]())
    return results


STATISTICS = {"minimum": min, "median": statistics.median}
