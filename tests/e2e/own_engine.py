"""A dockerd of the tests' own, to be restarted, killed and filled: own folders, own containerd, own socket, no network.
While one is `used`, the docker client of this process speaks with it."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import harness

DEADLINE = 60


class Engine:
    """megabytes: of an ext4 file system of its own for the engine's data, or None for a plain folder."""

    def __init__(self, megabytes=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="eng", dir="/tmp"))  # short: sockets lie below it
        self.host = f"unix://{self.folder}/docker.sock"
        self.data = self.folder / "data"
        self.data.mkdir()
        self.mounted = megabytes is not None
        self.process = self.containerd = None
        if self.mounted:
            image = self.folder / "disk"
            with open(image, "wb") as file:
                file.truncate(megabytes * 1024 * 1024)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
            subprocess.run(["mount", "-o", "loop", image, self.data], check=True)

    def spawn(self, *command):
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def start(self):
        """containerd is a process beside it, as distributions run it: it outlives a dockerd that is killed."""
        address = self.folder / "containerd.sock"
        if self.containerd is None:
            config = self.folder / "containerd.toml"
            config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
            self.containerd = self.spawn("containerd", "--config", config, "--address", address, "--root",
                                         self.folder / "containerd", "--state", self.folder / "state")
            self.wait_for(address.exists)
        # --bridge=none takes away the docker0 that it finds: it gets a network namespace of its own
        self.process = self.spawn(
            "unshare", "--net", "/usr/sbin/dockerd", "--containerd", address, "--data-root", self.data, "--exec-root", self.folder / "exec",
            "--pidfile", self.folder / "pid", "-H", self.host, "--bridge=none", "--iptables=false", "--shutdown-timeout", "2")
        self.wait_for(lambda: subprocess.run(["docker", "-H", self.host, "version"], capture_output=True,
                                             check=False).returncode == 0)

    def wait_for(self, condition):
        deadline = time.monotonic() + DEADLINE
        while not condition():
            ended = self.process is not None and self.process.poll() is not None
            assert not ended and time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def load(self, image=harness.IMAGE):
        saved = subprocess.run(["docker", "save", image], stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["docker", "-H", self.host, "load", "-q"], input=saved, stdout=subprocess.DEVNULL, check=True)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(DEADLINE)
        self.process = None
        (self.folder / "pid").unlink(missing_ok=True)

    def use(self):
        os.environ["DOCKER_HOST"] = self.host

    def remove(self):
        """Also what a dockerd that was killed left: containerd, its shims, and mounts below our folder."""
        os.environ.pop("DOCKER_HOST", None)
        if self.process is not None:
            self.stop()
        if self.containerd is not None:
            self.containerd.terminate()
            self.containerd.wait(DEADLINE)
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        with open("/proc/mounts", encoding="utf-8") as mounts:
            points = [line.split()[1] for line in mounts if line.split()[1].startswith(str(self.folder))]
        for point in sorted(points, key=len, reverse=True):
            subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def left(self):
        """Processes of this engine's: their command lines name its folder."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            except OSError:
                continue
            if str(self.folder).encode() in command and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found
