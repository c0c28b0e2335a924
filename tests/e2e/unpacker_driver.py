"""Runs the real restore-unpacker, sandbox and all, on an archive: plays the supervisor, the fetcher and the stager."""
import fcntl
import os
import re
import struct
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("UNPACKER", os.path.join(ROOT, "build/bin/restore-unpacker"))
ENVIRONMENT = {}  # of the unpacker, which in a run has none
VOLUME, POSTGRES, MARIADB = 1, 2, 3
ZSTD, GZIP, XZ, TAR = range(4)
UNLIMITED = 2**64 - 1
INTEGRITY = 5


def _read_table():
    """Message number and fields by name, from the one place that declares them."""
    with open(os.path.join(ROOT, "include/messages.def"), encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    table = {}
    for number, match in enumerate(re.finditer(r"\bMESSAGE\((\w+),(.*?)(?=\bMESSAGE\(|\Z)", text, flags=re.S), 1):
        table[match[1]] = (number, re.findall(r"\b(U64|TEXT|BYTES)\((\w+),", match[2]))
    return table


MESSAGES = _read_table()
NAMES = {number: name for name, (number, _) in MESSAGES.items()}


def encode(name, /, **values):
    number, fields = MESSAGES[name]
    payload = b""
    for kind, key in fields:
        value = values[key]
        if kind == "U64":
            payload += struct.pack("<Q", value)
        else:
            value = value if isinstance(value, bytes) else value.encode()
            payload += struct.pack("<I", len(value)) + value + (b"\0" if kind == "TEXT" else b"")
    return struct.pack("<BBBBI", 1, number, 0, 0, len(payload)) + payload


def decode(number, payload):
    """(name, {field: value}); texts are bytes, since the names in an archive are."""
    name, values, at = NAMES[number], {}, 0
    for kind, key in MESSAGES[name][1]:
        if kind == "U64":
            values[key] = struct.unpack_from("<Q", payload, at)[0]
            at += 8
        else:
            size = struct.unpack_from("<I", payload, at)[0]
            values[key] = payload[at + 4 : at + 4 + size]
            at += 4 + size + (kind == "TEXT")
    assert at == len(payload), f"{name}: bytes left over"
    return name, values


def read_frames(file):
    while header := file.read(8):
        version, number, zero, size = struct.unpack("<BBHI", header)
        assert version == 1 and zero == 0
        payload = file.read(size)
        assert len(payload) == size, "a frame was cut"
        yield decode(number, payload)


@dataclass
class Result:
    messages: list = field(default_factory=list)  # (name, values) from the supervisor's side
    streams: dict = field(default_factory=dict)  # stream: bytes
    ended: set = field(default_factory=set)  # streams with a stream_end
    complete: bool = False  # streams_end was seen
    log: str = ""
    status: int = 0  # of the process after its control pipe was closed
    seconds: float = 0  # from the first byte to the last word

    def all(self, name):
        return [values for kind, values in self.messages if kind == name]

    @property
    def unpacked(self):
        return (self.all("unpacked") or [None])[0]

    @property
    def failed(self):
        return (self.all("failed") or [None])[0]

    @property
    def text(self):
        return self.failed["message"].decode("utf-8", "replace") if self.failed else ""


class Unpacker:
    """One process; `run` may be called again after a pass that succeeded."""

    def __init__(self, window_log_max=27, max_entries=10**7, max_bytes=2**50, restore_devices=0, identities=b""):
        pairs = [os.pipe() for _ in range(5)]
        (log_in, log_out), (down_in, down_out), (up_in, up_out), (data_in, data_out), (bulk_in, bulk_out) = pairs
        for fd in (data_out, bulk_in):
            fcntl.fcntl(fd, 1031, 1 << 20)  # F_SETPIPE_SZ
        wanted = {2: log_out, 3: down_in, 4: up_out, 5: data_in, 6: bulk_out}

        def place():
            high = {target: fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for target, fd in wanted.items()}
            for target, fd in high.items():
                os.dup2(fd, target)

        null = open(os.devnull, "r+b", buffering=0)
        secret = null
        if identities:
            secret = tempfile.TemporaryFile(buffering=0)
            secret.write(identities)
            secret.seek(0)
        self.process = subprocess.Popen([BINARY], stdin=secret, stdout=null, env=ENVIRONMENT, pass_fds=(3, 4, 5, 6),
                                        preexec_fn=place)
        for fd in wanted.values():
            os.close(fd)
        self.log, self.up, self.bulk = (os.fdopen(fd, "rb") for fd in (log_in, up_in, bulk_in))
        self.down, self.data = (os.fdopen(fd, "wb", buffering=0) for fd in (down_out, data_out))
        self.down.write(encode("unpacker_config", window_log_max=window_log_max, max_entries=max_entries,
                               max_bytes=max_bytes, restore_devices=restore_devices))
        self.frames = read_frames(self.up)
        self.ready = next(self.frames, None)

    def want(self, stream, kind, service, name="", login="postgres"):
        self.down.write(encode("want", stream=stream, kind=kind, service=service, name=name, login=login))

    def _feed(self, data, close):
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self.data.fileno(), view[: 1 << 20]) :]
        except BrokenPipeError:
            pass
        if close:
            self.data.close()

    def _collect(self, result):
        for name, values in read_frames(self.bulk):
            if name == "streams_end":
                result.complete = True
                return
            if name == "stream_end":
                result.ended.add(values["stream"])
            else:
                assert values["stream"] not in result.ended
                result.streams.setdefault(values["stream"], bytearray()).extend(values["bytes"])

    def run(self, archive, wants=(), sha256="", size=None, close=False, deadline=60, archive_format=ZSTD, encrypted=0,
            stretch=None):
        """One pass. close: end of file behind the archive's bytes, as when a download breaks off. Behind the deadline
        the process is killed, and the result is neither `unpacked` nor `failed`."""
        result = Result()
        started = time.monotonic()
        watch = threading.Timer(deadline, self.process.kill)
        watch.daemon = True
        watch.start()
        for want in wants:
            self.want(*want)
        self.down.write(encode("unpack", size=len(archive) if size is None else size, sha256=sha256,
                               format=archive_format, digests=1, encrypted=encrypted,
                               passphrase=int(stretch is not None)))
        feeder = threading.Thread(target=self._feed, args=(archive, close), daemon=True)
        collector = threading.Thread(target=self._collect, args=(result,), daemon=True)
        feeder.start()
        collector.start()
        for name, values in self.frames:
            result.messages.append((name, values))
            if name == "passphrase_wanted":
                self.down.write(encode("passphrase_key", key=stretch(values["salt"], values["work_factor"])))
            if name in ("unpacked", "failed"):
                break
        watch.cancel()
        result.seconds = time.monotonic() - started
        if result.unpacked:
            collector.join(10)
            feeder.join(10)
        else:
            self.end()
            feeder.join(10)
            collector.join(10)
            result.log, result.status = self.logged, self.process.returncode
        return result

    def end(self):
        self.down.close()
        self.logged = ""
        if self.process.poll() is None:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.logged = self.log.read().decode("utf-8", "replace")
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for file in (self.log, self.up, self.bulk, self.down, self.data):
            file.close()


def unpack(archive, wants=(), sha256="", size=None, close=False, archive_format=ZSTD, encrypted=0, stretch=None,
           **limits):
    with Unpacker(**limits) as unpacker:
        return unpacker.run(archive, wants, sha256, size, close, archive_format=archive_format, encrypted=encrypted,
                            stretch=stretch)
