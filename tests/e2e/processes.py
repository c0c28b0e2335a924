"""Watching the processes of a running restore by way of /proc."""
import os
import pathlib
import threading
import time

# As the kernel shows them: at most 15 bytes.
NAMES = {"restore": "restore", "restore-fetcher": "fetcher", "restore-unpacke": "unpacker",
         "restore-docker-": "docker-agent", "restore-stager": "stager",
         "restore-stretch": "stretcher"}


def _read(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _status(pid):
    return dict(line.split(":\t", 1) for line in _read(pid, "status").decode(errors="replace").splitlines() if ":\t" in line)


def _descends_from_us(pid):
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(_status(pid).get("PPid", 0))
    return False


def ours():
    """Every process of the product that this test started and that runs now: pid to name. The stager is the engine's
    child, so any stager counts."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            name = NAMES.get(_read(entry.name, "comm").decode(errors="replace").strip())
            if name == "stager" or (name is not None and _descends_from_us(int(entry.name))):
                found[int(entry.name)] = name
    return found


def of_run(supervisor, project):
    """Those of one run, whatever else restores on this machine: its supervisor, its children, its stager."""
    def belongs(pid, name):
        if name == "stager":
            return f"/restore-{project}-".encode() in _read(pid, "mountinfo")
        return pid == supervisor or _status(pid).get("PPid") == str(supervisor)
    return {pid: name for pid, name in ours().items() if belongs(pid, name)}


class Watch(threading.Thread):
    """Looks at all processes a few hundred times a second until stopped."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak_kib = {}     # pid: (name, VmHWM)
        self.confinement = {}  # name: set of (Seccomp, NoNewPrivs)
        self.command_lines = set()
        self.environments = {}  # name: longest environ seen
        self.last_environment = {}  # name: environ seen last
        self.descriptors = {}   # name: set of descriptor numbers
        self._done = threading.Event()

    def look(self):
        for pid, name in ours().items():
            status = _status(pid)
            if "VmHWM" not in status:
                continue
            self.peak_kib[pid] = (name, int(status["VmHWM"].split()[0]))
            self.confinement.setdefault(name, set()).add((status.get("Seccomp"), status.get("NoNewPrivs")))
            self.command_lines.add(_read(pid, "cmdline"))
            content = _read(pid, "environ")
            self.last_environment[name] = content or self.last_environment.get(name, b"")
            if len(content) > len(self.environments.get(name, b"")):
                self.environments[name] = content
            try:
                numbers = {int(entry.name) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
                self.descriptors.setdefault(name, set()).update(numbers)
            except OSError:
                pass

    def run(self):
        while not self._done.is_set():
            self.look()
            time.sleep(0.003)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self.join()

    def total_mib(self):
        """The sum of every kind's largest peak: more than was ever used at one moment."""
        peaks = {}
        for name, kib in self.peak_kib.values():
            peaks[name] = max(kib, peaks.get(name, 0))
        return sum(peaks.values()) / 1024, {name: round(kib / 1024, 1) for name, kib in peaks.items()}
