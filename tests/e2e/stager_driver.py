"""Drives restore-stager as the docker-agent does: frames on stdin and stdout, in a root of its own that holds nothing
but /mounts, /run-volume, /proc and the binary (the mount namespace stands for the helper container)."""
import os
import select
import signal
import struct
import subprocess
import threading
import time

from fetcher_driver import ROOT, Failed, decode, encode

BINARY = ROOT / "build/bin/restore-stager"
# $1: the root; then pairs of a directory and where it is mounted. Capabilities are dropped last.
ENTER = r"""
set -e
root=$1; shift
mount --make-rprivate /
mount -t tmpfs tmpfs "$root"
mkdir "$root/proc" "$root/mounts" "$root/run-volume"
cp "$BINARY" "$root/restore-stager"
while [ $# -gt 0 ]; do
    [ -d "$1" ] && mkdir -p "$root/$2"
    [ -d "$1" ] || : >"$root/$2"
    mount --rbind "$1" "$root/$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root/$2"
    shift 3
done
mount -t proc proc "$root/proc"
mount -o remount,ro "$root"
exec $TRACE setpriv --bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+sys_chroot --inh-caps=-all \
    chroot "$root" /restore-stager
"""


class Ended(Exception):
    """The stager's output ended; its exit status (negative: signal)."""


class Stager:
    """A running stager. `mounts`: directories that become /mounts/0, 1, ...; or (directory, where below the root,
    'rw' or 'ro')."""

    def __init__(self, base, mounts, run_volume, run="r1", spool_only=0, kill_at=None, trace_to=None,
                 environment=None):
        root = base / "root"
        root.mkdir(exist_ok=True)
        pairs = [str(run_volume), "run-volume", "rw"]
        for number, mount in enumerate(mounts):
            source, where, mode = (mount, f"mounts/{number}", "rw") if not isinstance(mount, tuple) else mount
            pairs += [str(source), where, mode]
        trace = ""
        if kill_at is not None:  # (syscall, n): killed as it enters its nth call of that syscall
            trace = f"strace -f -qq -o /dev/null -e trace={kill_at[0]} -e inject={kill_at[0]}:signal=KILL:when={kill_at[1]}"
        if trace_to is not None:  # every call that moves or syncs something, in order
            trace = f"strace -f -qq -o {trace_to} -e trace=renameat2,fsync,fdatasync"
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", str(root), *pairs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            env={"PATH": os.environ["PATH"], "BINARY": str(BINARY), "TRACE": trace, **(environment or {})})
        self.log, self.warnings, self.progress = b"", [], []
        threading.Thread(target=self.read_log, daemon=True).start()
        self.queue = []
        self.write_lock = threading.Lock()
        self.send("stager_config", run=run, spool_only=spool_only)
        self.ready = self.expect("stager_ready")

    def read_log(self):
        while chunk := self.process.stderr.read(4096):
            self.log += chunk

    def send(self, name, **values):
        self.write(encode(name, **values))

    def write(self, data):
        """All of it, reading answers meanwhile: writing alone would block once both pipes are full."""
        view = memoryview(data)
        fd = self.process.stdin.fileno()
        os.set_blocking(fd, False)
        while view:
            readable, writable, _ = select.select([self.process.stdout], [fd], [], 60)
            assert readable or writable, f"stuck; log: {self.log}"
            if readable:
                self.queue.append(self.read_frame())
            if writable:
                try:
                    view = view[os.write(fd, view):]
                except BrokenPipeError:
                    raise Ended(self.status()) from None

    def read_exactly(self, size):
        data = b""
        while len(data) < size:
            ready, _, _ = select.select([self.process.stdout], [], [], 60)
            assert ready, f"no answer in time; log: {self.log.decode()}"
            chunk = self.process.stdout.read(size - len(data))
            if not chunk:
                raise Ended(self.status())
            data += chunk
        return data

    def read_frame(self):
        _, number, _, length = struct.unpack("<BBHI", self.read_exactly(8))
        return decode(number, self.read_exactly(length))

    def receive(self):
        while True:
            name, values = self.queue.pop(0) if self.queue else self.read_frame()
            if name == "stager_failed":
                raise Failed(values["code"], values["message"])
            if name == "stager_warning":
                self.warnings.append(values["message"])
            elif name == "staging":
                self.progress.append(values)
            else:
                return name, values

    def expect(self, name):
        got, values = self.receive()
        assert got == name, (got, values)
        return values

    def until(self, last):
        got = []
        while not got or got[-1][0] != last:
            got.append(self.receive())
        return got

    def ask(self, question, answer="swapped", **values):
        self.send(question, **values)
        return self.expect(answer)

    def root(self, number, mount=None, subpath=""):
        self.send("stager_root", root=number, mount=number if mount is None else mount, subpath=subpath)

    def stream(self, number, root=0, prefix="", **values):
        self.send("stager_stream", stream=number, root=root, prefix=prefix, **values)

    def stream_frames(self, number, data, size=200_000):
        for at in range(0, len(data), size):
            self.send("stream_data", stream=number, bytes=data[at:at + size])
        self.send("stream_end", stream=number)

    def stage(self, streams, reserve=0):
        """streams: {number: tar}. Returns {number: staged}."""
        self.send("stage", reserve_bytes=reserve)
        for number, data in streams.items():
            self.stream_frames(number, data)
        self.send("streams_end")
        answers = self.until("stage_end")
        return {values["stream"]: values for name, values in answers if name == "staged"}

    def status(self):
        try:
            return self.process.wait(20)
        finally:
            time.sleep(0.05)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.status()

    def close(self):
        """End of input; returns the exit code."""
        self.process.stdin.close()
        return self.status()
