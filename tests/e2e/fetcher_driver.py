"""Drives restore-fetcher as the supervisor does: descriptors 0 to 6, frames as messages.def declares them."""
import fcntl
import hashlib
import os
import re
import select
import struct
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "build/bin/restore-fetcher"


def read_table():
    """Name -> (number, [(kind, field)]) of every message, from messages.def itself."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "include/messages.def").read_text(), flags=re.S)
    table = {}
    for number, found in enumerate(re.finditer(r"^MESSAGE\((\w+),(.*?)(?=^MESSAGE\(|\Z)", text, re.S | re.M), 1):
        table[found[1]] = (number, re.findall(r"(U64|TEXT|BYTES)\((\w+)\s*,", found[2]))
    return table


TABLE = read_table()
NAMES = {number: name for name, (number, _) in TABLE.items()}


def encode(name, /, **values):
    number, fields = TABLE[name]
    payload = b""
    for kind, field in fields:
        value = values.pop(field, 0 if kind == "U64" else "")
        if kind == "U64":
            payload += struct.pack("<Q", value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            payload += struct.pack("<I", len(raw)) + raw + (b"\0" if kind == "TEXT" else b"")
    assert not values, f"{name} has no field {values}"
    return struct.pack("<BBHI", 1, number, 0, len(payload)) + payload


def decode(number, payload):
    name = NAMES[number]
    values, at = {}, 0
    for kind, field in TABLE[name][1]:
        if kind == "U64":
            values[field] = struct.unpack_from("<Q", payload, at)[0]
            at += 8
            continue
        size = struct.unpack_from("<I", payload, at)[0]
        raw = payload[at + 4:at + 4 + size]
        values[field] = raw.decode(errors="surrogateescape") if kind == "TEXT" else raw
        at += 4 + size + (kind == "TEXT")
    assert at == len(payload)
    return name, values


class Failed(Exception):
    """The worker sent `failed`."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Redirected(Exception):
    """The worker sent `redirected`."""


class Sink:
    """Reads the data pipe; `pause` stops reading, `rate` limits it (bytes a second)."""

    def __init__(self, fd):
        self.fd, self.size, self.digest = fd, 0, hashlib.sha256()
        self.pause, self.rate, self.keep, self.data = threading.Event(), None, True, bytearray()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            while self.pause.is_set():
                time.sleep(0.01)
            chunk = os.read(self.fd, 65536)
            if not chunk:
                return
            self.digest.update(chunk)
            if self.keep:
                self.data += chunk
            self.size += len(chunk)
            if self.rate:
                time.sleep(len(chunk) / self.rate)

    def wait(self, size, seconds=30):
        deadline = time.monotonic() + seconds
        while self.size < size:
            assert time.monotonic() < deadline, f"{self.size} of {size} bytes"
            time.sleep(0.005)


    def settle(self):
        """Waits until the pipe is empty: no byte for a moment."""
        seen = -1
        while seen != self.size:
            seen = self.size
            time.sleep(0.1)


def high(fd):
    """The descriptor moved out of the way of 0 to 6."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
    os.close(fd)
    return moved


class Fetcher:
    def __init__(self, binary=BINARY, wrap=(), env=None, sink=True, secret=os.devnull):
        pipes = [[high(fd) for fd in os.pipe()] for _ in range(4)]
        (in_read, self.control), (self.answers, out_write), (data_read, data_write), (self.log_fd, log_write) = pipes
        null = high(os.open("/dev/null", os.O_RDWR))
        held = high(os.open(secret, os.O_RDONLY))
        os.set_blocking(log_write, False)
        inside = [held, null, log_write, in_read, out_write, null, data_write]
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(inside)]
        argv = [*wrap, str(binary)]
        self.pid = os.posix_spawnp(argv[0], argv, env or {"PATH": os.environ["PATH"]}, file_actions=actions)
        for fd in (null, held, log_write, in_read, out_write, data_write):
            os.close(fd)
        self.log, self.messages, self.data_read = b"", [], data_read
        self.log_thread = threading.Thread(target=self.read_log, daemon=True)
        self.log_thread.start()
        self.sink = Sink(data_read) if sink else None
        self.status = None

    def read_log(self):
        while chunk := os.read(self.log_fd, 4096):
            self.log += chunk

    def send(self, name, **values):
        os.write(self.control, encode(name, **values))

    def read_exactly(self, size, deadline):
        data = b""
        while len(data) < size:
            ready, _, _ = select.select([self.answers], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no answer in time; log: {self.log.decode()}"
            chunk = os.read(self.answers, size - len(data))
            if not chunk:
                raise EOFError(f"status {self.wait()}; log: {self.log.decode()}")
            data += chunk
        return data

    def receive(self, seconds=30):
        """The next message that is neither `warning` nor `fetched`."""
        deadline = time.monotonic() + seconds
        while True:
            _, number, _, length = struct.unpack("<BBHI", self.read_exactly(8, deadline))
            name, values = decode(number, self.read_exactly(length, deadline))
            self.messages.append((name, values))
            if name == "failed":
                raise Failed(values["code"], values["message"])
            if name == "redirected":
                raise Redirected(values["region"])
            if name not in ("warning", "fetched"):
                return name, values

    def expect(self, name, seconds=30):
        got, values = self.receive(seconds)
        assert got == name, (got, values)
        return values

    def open(self, endpoint, bucket, prefix="", region="", key="K", secret="S", token="", **config):
        settings = {"connect_timeout": 2, "stall_timeout": 2, "attempts": 3, **config}
        self.send("fetcher_config", endpoint=endpoint, bucket=bucket, prefix=prefix, region=region, **settings)
        self.ready = self.expect("ready")
        self.send("credentials", access_key_id=key, secret_access_key=secret, session_token=token)
        return self

    def list(self, project, seconds=30):
        self.send("list", project=project)
        objects = []
        while True:
            name, values = self.receive(seconds)
            if name == "list_end":
                assert values["objects"] == len(objects)
                return objects
            assert name == "object"
            objects.append(values)

    def head(self, key, seconds=30):
        self.send("head", key=key)
        return self.expect("object_info", seconds)

    def get(self, key, size, etag="", version_id="", seconds=60):
        self.send("get", key=key, size=size, etag=etag, version_id=version_id)
        return self.expect("got", seconds)

    def wait(self):
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            self.log_thread.join(1)
        return self.status

    def close(self):
        """Hangs up, as the supervisor does at the end, and returns the exit status."""
        os.close(self.control)
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if self.status is None and kind is not None:
            os.kill(self.pid, 9)
        if self.status is None:
            status = self.close()
            assert kind is not None or status == 0, f"{status}: {self.log.decode()}"
