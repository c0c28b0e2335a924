"""
What a compromised worker tries, as data: the worker, the scene, at which of its messages it turns, the steps it takes
(compromised.c), and what has to stop it: the exit code and words of the log.
"""
import collections
import errno
import os
import pathlib
import signal
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[0] / "e2e"), str(HERE.parents[0] / "policy")]
from fetcher_driver import TABLE, encode  # noqa: E402
from lint import number_of  # noqa: E402
from tar_maker import SYMLINK, header  # noqa: E402

# scene: list (of a store), http (a list of S3), one user (a list without capabilities), verify, passphrase (the same of an
# encrypted archive), recover
# words: any of these, between bars; code None: any but success; slow: waits for a deadline; leaves: what only the next
# run can see is left to it
Attack = collections.namedtuple("Attack", "worker name scene message instead steps code words slow options leaves",
                                defaults=(False, {}, False))

NUMBER, TEXT, SUPERVISOR, PROC, RESULT = range(5)  # kinds of arguments
ITS_SUPERVISOR, LAST_RESULT = object(), object()
# What stands for the run's project and its archive's size, of the same length as what comes in their place
PROJECT, SIZE = "project99", 0x1122334455667788


class Proc(str):
    """A file of the supervisor's folder in /proc."""


# Steps

def step(letter, content=b""):
    return letter.encode() + struct.pack("<I", len(content)) + content


def say(content):
    return step("w", content)


def log(content):
    return step("l", content)


def pour(content):
    return step("d", content)


def flood(content):
    return step("f", content)


def flood_log(content):
    return step("L", content)


def await_message(name):
    return step("u", bytes([TABLE[name][0]]))


def leave(code):
    return step("x", bytes([code]))


HANG = step("h")
CLOSE = step("c")


def argument(value):
    if value is ITS_SUPERVISOR:
        return struct.pack("<BQ", SUPERVISOR, 0)
    if value is LAST_RESULT:
        return struct.pack("<BQ", RESULT, 0)
    if isinstance(value, int):
        return struct.pack("<BQ", NUMBER, value & 2**64 - 1)
    raw = (value.encode() if isinstance(value, str) else value) + b"\0"
    return struct.pack("<BQ", PROC if isinstance(value, Proc) else TEXT, len(raw)) + raw


def call(name, *arguments, letter="s"):
    values = [number_of(name), *arguments]
    return step(letter, b"".join(argument(value) for value in values + [0] * (7 - len(values))))


def connect(family, address):
    """On a socket of its own, which it may have."""
    return call("socket", family, STREAM | CLOEXEC, letter="q") + call("connect", LAST_RESULT, address, len(address))


def frame(number, content=b"", version=1, length=None):
    """A frame that no encoder would make."""
    return struct.pack("<BBHI", version, number, 0, len(content) if length is None else length) + content


# System calls: (what is tried, call, its arguments)

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET = 1, 2, 10, 16, 17
STREAM, DGRAM, RAW, CLOEXEC = 1, 2, 3, os.O_CLOEXEC
AT_FDCWD = -100
READ_WRITE_EXECUTE, PRIVATE_ANONYMOUS = 7, 0x22

FILES = [
    ("opens /etc/passwd", "openat", AT_FDCWD, "/etc/passwd", os.O_RDONLY),
    ("makes a file", "openat", AT_FDCWD, "/tmp/restore-attack", os.O_WRONLY | os.O_CREAT, 0o600),
    ("opens by open", "open", "/etc/passwd", os.O_RDONLY),
    ("opens by openat2", "openat2", AT_FDCWD, "/etc/passwd", bytes(24), 24),
    ("reads the supervisor's memory file", "openat", AT_FDCWD, Proc("mem"), os.O_RDWR),
    ("reads the supervisor's environment", "openat", AT_FDCWD, Proc("environ"), os.O_RDONLY),
    ("takes a descriptor of the supervisor by /proc", "openat", AT_FDCWD, Proc("fd/1"), os.O_WRONLY),
]
NETWORK = [
    ("UDP, to carry data out by name lookups", "socket", AF_INET, DGRAM),
    ("raw packets", "socket", AF_PACKET, RAW),
    ("netlink", "socket", AF_NETLINK, RAW),
    ("listens", "listen", 7, 1),
    ("a pair of sockets", "socketpair", AF_UNIX, STREAM, 0, bytes(8)),
]
PROCESSES = [
    ("traces the supervisor", "ptrace", 16, ITS_SUPERVISOR),
    ("kills the supervisor", "kill", ITS_SUPERVISOR, signal.SIGKILL),
    ("stops its siblings", "kill", 0, signal.SIGSTOP),
    ("reads the supervisor's memory", "process_vm_readv", ITS_SUPERVISOR, bytes(16), 1, bytes(16), 1),
    ("a pidfd of the supervisor", "pidfd_open", ITS_SUPERVISOR),
    ("forks", "fork"),
    ("clones", "clone", 0x11),
    ("executes a shell", "execve", "/bin/sh", 0, 0),
]
MEMORY = [
    ("memory to write and execute", "mmap", 0, 4096, READ_WRITE_EXECUTE, PRIVATE_ANONYMOUS, -1),
    ("makes memory executable", "mprotect", 0x10000, 4096, READ_WRITE_EXECUTE),
    ("a file in memory", "memfd_create", "attack", 0),
]
KERNEL = [
    ("io_uring, whose calls no filter sees", "io_uring_setup", 8, bytes(120)),
    ("keys of the kernel", "keyctl", 0, -3),
    ("a BPF program", "bpf", 5, bytes(48), 48),
    ("userfaultfd", "userfaultfd", 0),
    ("performance counters", "perf_event_open", bytes(112), 0, -1, -1),
    ("a namespace", "unshare", 0x10000000),
    ("a mount", "mount", "none", "/tmp", "tmpfs", 0, 0),
    ("a handler of its own for forbidden calls", "rt_sigaction", signal.SIGSYS, bytes(32), 0, 8),
    ("is root again", "setuid", 0),
    ("takes capabilities", "capset", bytes(8), bytes(24)),
    ("can be traced again", "prctl", 4, 1),
    ("another filter", "seccomp", 1, 0, bytes(16)),
    ("a kernel module", "finit_module", 7, "", 0),
]
TCP = ("TCP", "socket", AF_INET, STREAM)
UNIX = ("the Docker socket", "socket", AF_UNIX, STREAM)


def calls(worker, scene, message, tried, **more):
    return [Attack(worker, what, scene, message, False, call(name, *arguments) + leave(99), 14,
                   f"refused the system call {name}", **more) for what, name, *arguments in tried]


def refused(worker, what, scene, message, number, attempt, **more):
    """What the filter lets through and the kernel, or another layer, refuses."""
    return Attack(worker, what, scene, message, False, attempt + leave(99), 14, f"attack refused: errno {number}", **more)


def unix_address(path):
    return struct.pack("<H", AF_UNIX) + path


# All that the store's policy has for opening
READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
STORE = 7

CALLS = (
    calls("fetcher", "http", "ready", FILES + NETWORK + [UNIX] + PROCESSES + MEMORY + KERNEL)
    + [refused("fetcher", "the Docker socket's address on a socket of its own", "http", "ready", errno.EAFNOSUPPORT,
               call("socket", AF_INET, STREAM, letter="q")
               + call("connect", LAST_RESULT, unix_address(b"/var/run/docker.sock"), 110)),
       refused("fetcher", "writes to a descriptor that is not its own", "http", "ready", errno.EBADF,
               call("write", 9, "x", 1))]
    + calls("fetcher", "list", "ready", [TCP, UNIX, FILES[0], FILES[1]])
    + [refused("fetcher", what, "list", "ready", errno.EACCES, call("openat", STORE, path, flags))
       for what, path, flags in [("a file outside of the store", "/etc/passwd", READ_FILE),
                                 ("a way up out of the store", "../bin/restore", READ_FILE),
                                 ("the supervisor's environment by the store's call", Proc("environ"), READ_FILE),
                                 ("a link in the store that leads out", "way-out", READ_FOLDER)]]
    + calls("unpacker", "verify", "ready", [FILES[0], FILES[4], TCP, UNIX, PROCESSES[0], PROCESSES[1], PROCESSES[5],
                                            PROCESSES[7], MEMORY[0], KERNEL[0], KERNEL[2],
                                            ("the time", "clock_gettime", 0, bytes(16)),
                                            ("more memory", "brk", 0),
                                            ("writes to a descriptor that is not its own", "write", 7, "x", 1),
                                            ("reads the answers to the supervisor", "read", 4, bytes(8), 8),
                                            ("closes its log", "close", 2),
                                            ("puts another file under a descriptor", "dup2", 3, 6)])
    + calls("docker-agent", "recover", "ready", FILES + [TCP] + NETWORK + PROCESSES + MEMORY + KERNEL[:6])
    + [refused("docker-agent", "an abstract socket of another process", "recover", "ready", errno.EPERM,
               connect(AF_UNIX, unix_address(f"\0restore-{PROJECT}".encode()))),
       refused("docker-agent", "a socket that root alone may use", "recover", "ready", errno.EACCES,
               connect(AF_UNIX, unix_address(f"/run/restore-{PROJECT}\0".encode()))),
       refused("docker-agent", "a datagram without a socket", "recover", "ready", errno.EBADF,
               call("sendto", 40, "x", 1, 0, 0, 0))]
)

# Lies of the fetcher

NAME = f"backup_{PROJECT}_20260101-120000_attack.tar.zst"


def listed(name, size=100):
    return encode("object", key=name, size=size, modified=1, etag='"e"')


def from_fetcher(what, steps, words, code=14, message="ready", instead=False, scene="list", **more):
    return Attack("fetcher", what, scene, message, instead, steps, code, words, **more)


FETCHER = [
    from_fetcher("a frame longer than any may be", say(frame(TABLE["object"][0], length=1 << 30)), "broke the protocol"),
    from_fetcher("a frame of an unknown type", say(frame(250)), "broke the protocol"),
    from_fetcher("a frame of another version", say(frame(TABLE["object"][0], version=9)), "broke the protocol"),
    from_fetcher("an answer that nobody asked for", say(encode("got", bytes=1)), "out of its state"),
    from_fetcher("its first word again", say(encode("ready", layers=31)), "out of its state"),
    from_fetcher("an order of the supervisor's", say(encode("list", project="x")), "sender may not send"),
    from_fetcher("a word of the unpacker's", say(encode("unpacked", sha256="0" * 64)), "sender may not send"),
    from_fetcher("a word of the stager's", say(encode("stage_end")), "sender may not send"),
    from_fetcher("bytes behind the last field", say(frame(TABLE["got"][0], bytes(17))), "broke the protocol"),
    from_fetcher("a text beyond its bound", await_message("list") + say(frame(
        TABLE["object"][0], struct.pack("<I", 5000) + b"k" * 5001 + bytes(16) + struct.pack("<I", 0) + b"\0")),
                 "broke the protocol"),
    from_fetcher("a text that goes on behind the frame", await_message("list") + say(frame(
        TABLE["object"][0], struct.pack("<I", 0xffffffff) + b"key")), "broke the protocol"),
    from_fetcher("a NUL within a text", await_message("list") + say(frame(
        TABLE["object"][0], struct.pack("<I", 3) + b"a\0b\0" + bytes(16) + struct.pack("<I", 0) + b"\0")),
                 "broke the protocol"),
    from_fetcher("half a frame, then its end", say(frame(TABLE["object"][0], b"half", length=100)) + leave(0),
                 "fetcher ended unexpectedly"),
    from_fetcher("half a frame, then a closed pipe", say(frame(TABLE["object"][0], b"half", length=100)) + CLOSE + HANG,
                 "closed its pipe and lives on"),
    from_fetcher("a closed pipe at once", CLOSE + HANG, "closed its pipe and lives on"),
    from_fetcher("ends without a word", leave(0), "fetcher ended unexpectedly"),
    from_fetcher("ends as if its sandbox could not be set up", leave(13), "fetcher ended unexpectedly"),
    from_fetcher("a failure that would pass for success", say(encode("failed", code=10, message="all is well")),
                 "failure with code 10"),
    from_fetcher("a failure with no code", say(encode("failed", code=0, message="all is well")), "failure with code 0"),
    from_fetcher("a failure with the code of a signal", say(encode("failed", code=143, message="as if stopped")),
                 "failure with code 143"),
    from_fetcher("backups of another project", await_message("list") + say(
        listed("backup_other_20260101-120000_x.tar.zst") + encode("list_end", objects=1)), "No backups found", code=3),
    from_fetcher("a backup whose name is a path", await_message("list") + say(
        listed("../../etc/backup_project99_20260101-120000_x.tar.zst") + encode("list_end", objects=1)),
                 "No backups found", code=3),
    from_fetcher("a name with control bytes", await_message("list") + say(
        listed("backup_project99_20260101-120000_\x1b[2J.tar.zst") + encode("list_end", objects=1)),
                 "No backups found", code=3),
    from_fetcher("a list without end", await_message("list") + flood(listed(NAME) * 50), "a list without end"),
    from_fetcher("a flood of other objects", await_message("list") + flood(listed("other" * 200) * 20),
                 "a flood of messages"),
    from_fetcher("a flood of warnings", flood(encode("warning", message="w" * 4000) * 10), "a flood of messages"),
    from_fetcher("a flood of log lines", flood_log(b"E " + b"x" * 4000 + b"\n"), "a flood of log lines"),
    from_fetcher("a log line without end", flood_log(b"E" * 4096), "a flood of log lines"),
    from_fetcher("control bytes in the log, and a line of the supervisor's",
                 log(b"E \x1b[2J\x1b]0;owned\x07\r\nI Restore completed successfully\n") + leave(1),
                 r"fetcher: \x1b[2J\x1b]0;owned\x07\x0d"),
    from_fetcher("control bytes in its failure", say(encode("failed", code=4, message="\x1b[2Jowned\nwholly")),
                 r"\x1b[2Jowned\x0awholly", code=4),
    from_fetcher("silence before its first word", HANG, "fetcher gave no answer (ready)", instead=True, slow=True),
    from_fetcher("half of its first word, then silence", say(encode("ready", layers=31)[:5]) + HANG,
                 "fetcher gave no answer (ready)", instead=True, slow=True),
    from_fetcher("says that it is confined by nothing", say(encode("ready", layers=0)),
                 "runs without a seccomp filter", code=13, instead=True),
    from_fetcher("says that it is confined by another filter", say(encode("ready", layers=31, filter=b"\6" + bytes(7))),
                 "runs under another filter than that of its policy", code=13, instead=True),
    from_fetcher("says that it is a user of its own, where it is not", say(encode("ready", layers=0x7f)),
                 "another user or capabilities", code=13, instead=True, scene="one user"),
    from_fetcher("another region than the bucket is in", await_message("list") + say(encode("redirected", region="x")),
                 "asking there", code=4, scene="http"),
    # the whole chain
    from_fetcher("an object larger than it is", say(encode("object_info", exists=1, size=10**12)),
                 "Insufficient disk space", code=7, message="object_info", instead=True, scene="verify"),
    from_fetcher("other bytes than the archive's", pour(os.urandom(4096)), "Archive integrity check failed", code=5,
                 message="object_info", scene="verify"),
    from_fetcher("an empty archive", await_message("get") + say(encode("got", bytes=0)) + HANG,
                 "Received 0 bytes", code=4, message="object_info", scene="verify"),
    from_fetcher("more bytes than it says", say(encode("got", bytes=10**9)), "Received 1000000000 bytes", code=4,
                 message="got", instead=True, scene="verify"),
    from_fetcher("fewer bytes than it says", await_message("get") + pour(b"half")
                 + say(encode("got", bytes=SIZE)) + HANG, "said nothing for", message="object_info", scene="verify",
                 slow=True),
    from_fetcher("its last word twice", say(encode("got", bytes=1)), "out of its state", message="got", scene="verify"),
]

# Lies of the unpacker

BULK = {name: TABLE[name][0] for name in ("stream_data", "stream_end", "streams_end")}


def from_unpacker(what, steps, words, code=14, message="ready", instead=False, **more):
    return Attack("unpacker", what, "verify", message, instead, steps, code, words, **more)


def tar(*headers):
    return b"".join(headers) + bytes(1024)


def staged(content):
    """Its own tar for the stream of the volume, sent in place of the archive's."""
    return await_message("unpack") + pour(encode("stream_data", stream=0, bytes=content) + encode("stream_end", stream=0)
                                          + encode("streams_end")) + HANG


def total(**fields):
    return encode("section_total", **{"wanted": 1, "stream": 0, "kind": 0, "service": "app", "name": "data", **fields})


AFTER_UNPACK = await_message("unpack")
UNPACKER = [
    from_unpacker("a section that nobody wanted", AFTER_UNPACK + say(
        encode("section", wanted=1, stream=77, service="x", name="y")), "section that was not asked for"),
    from_unpacker("the total of a section that nobody wanted", AFTER_UNPACK + say(total(stream=77)),
                  "total of a section that was not asked for"),
    from_unpacker("a database of a dump that nobody wanted", AFTER_UNPACK + say(
        encode("dump_database", stream=77, name="x")), "dump that was not asked for"),
    from_unpacker("a stream beyond all bounds", AFTER_UNPACK + say(encode("section", wanted=1, stream=1 << 40)),
                  "broke the protocol"),
    from_unpacker("more entries than it sent", say(total(entries=1000, bytes=9)), "were sent", code=5,
                  message="section_total", instead=True),
    from_unpacker("no bytes at all", say(total()), "were sent", code=5, message="section_total", instead=True),
    from_unpacker("no total", log(b"I no total\n"), "were sent", code=5, message="section_total", instead=True),
    from_unpacker("its last word twice", say(encode("unpacked", sha256="")), "out of its state", message="unpacked"),
    from_unpacker("a word of the stager's", AFTER_UNPACK + say(encode("staged", stream=0)), "sender may not send"),
    from_unpacker("an order for the stager by the data's pipe", AFTER_UNPACK + pour(encode("commit")) + HANG,
                  "docker-agent ended unexpectedly"),
    from_unpacker("data longer than any may be", AFTER_UNPACK + pour(frame(BULK["stream_data"], length=1 << 30)) + HANG,
                  "docker-agent ended unexpectedly"),
    from_unpacker("data that are no frames", AFTER_UNPACK + pour(os.urandom(300)) + HANG, "docker-agent ended unexpectedly"),
    from_unpacker("data of a stream that was not declared", AFTER_UNPACK + pour(
        encode("stream_data", stream=900, bytes=b"x" * 512)) + HANG, "stream", code=None),
    from_unpacker("half a frame of data, then its end", AFTER_UNPACK + pour(encode("stream_data", bytes=b"x" * 512)[:99])
                  + leave(0), "unpacker ended unexpectedly"),
    from_unpacker("a file above the volume", staged(tar(header(b"../escaped"))), "", code=None),
    from_unpacker("an absolute path", staged(tar(header(b"/tmp/restore-attack"))), "", code=None),
    from_unpacker("a path of the journal's", staged(tar(header(b".restore-x/old/a"))), "", code=None),
    from_unpacker("a file behind a symbolic link", staged(tar(
        header(b"link", SYMLINK, link=b"/tmp"), header(b"link/restore-attack"))), "", code=None),
    from_unpacker("no tar at all", staged(b"this is no tar" * 100), "", code=None),
    from_unpacker("progress without end", AFTER_UNPACK + flood(encode("unpacking", bytes_in=1) * 500), "a flood of messages"),
    from_unpacker("skipped entries without end", AFTER_UNPACK + flood(
        encode("skipped", path="p" * 4000, reason="r") * 10), "a flood of messages"),
    from_unpacker("a flood of log lines", flood_log(b"I " + b"x" * 4000 + b"\n"), "a flood of log lines"),
    from_unpacker("control bytes in the name of a section", AFTER_UNPACK + say(
        encode("section", service="\x1b[2Jowned", name="\r\n")) + leave(1), r"\x1b[2Jowned"),
    from_unpacker("fails as if it were a success", AFTER_UNPACK + say(encode("failed", code=10, message="fine")) + HANG,
                  "failure with code 10"),
    from_unpacker("silence before its first word", HANG, "unpacker gave no answer (ready)", instead=True, slow=True),
]

# Lies of the docker-agent

CONTAINER = {"id": "a" * 64, "name": "x", "service": "app", "state": "running", "image": "i"}


def from_agent(what, steps, words, code=14, message="ready", instead=False, scene="recover", **more):
    return Attack("docker-agent", what, scene, message, instead, steps, code, words, **more)


AGENT = [
    from_agent("a container beyond all bounds", say(encode("container", index=5000, **CONTAINER)), "broke the protocol",
               message="container", instead=True, scene="verify"),
    from_agent("the label of a container that it did not list", say(
        encode("volume_label", container=900, name="data", path="/")), "was not listed", message="container", scene="verify"),
    from_agent("containers without end", flood(encode("container", index=1, **CONTAINER) * 20),
               "more containers than there can be", message="container", scene="verify"),
    from_agent("roots without end", b"".join(
        say(encode("target_root", stream=0, mount=0, subpath=f"s{number}")) for number in range(2000)),
               "more roots than there can be", message="target_root", scene="verify"),
    from_agent("leftovers without end", flood(encode("leftover", run="r" * 60) * 50), "a flood of messages",
               message="leftovers_end", instead=True),
    from_agent("the lock, without having been asked", say(encode("locked")), "out of its state"),
    from_agent("the lock twice", say(encode("locked")), "out of its state", message="locked"),
    from_agent("a lock with control bytes", say(encode("lock_held", run="\x1b[2J", owner="container:\x1b[2J")) + HANG,
               r"by run \x1b[2J", code=11, message="locked", instead=True, leaves=True),
    from_agent("a version with control bytes", say(encode("engine", version="\x1b[2Jowned")) + leave(1),
               r"Docker Engine \x1b[2Jowned", message="engine", instead=True),
    from_agent("probes of a root that nobody knows", say(encode("probed", root=1000)), "broke the protocol|not in the plan",
               message="stager_opened", scene="verify", code=14),
    from_agent("a stager of its own making, without a sandbox", say(encode("stager_ready", layers=0)),
               "stager runs without a seccomp filter", code=13, message="stager_opened", scene="verify"),
    from_agent("a stager of its own making, under another filter", say(
        encode("stager_ready", layers=31, filter=bytes(4096))), "stager runs under another filter", code=13,
               message="stager_opened", scene="verify"),
    from_agent("a word of the stager's before there is one", say(encode("stage_end")), "broke the protocol"),
    from_agent("an answer to another question", say(encode("leftovers_end")), "out of its state", message="engine"),
    from_agent("silence after its first word", HANG, "docker-agent gave no answer (engine)", slow=True,
               options={"DOCKER_TIMEOUT": "1"}),
    from_agent("a flood of log lines", flood_log(b"D " + b"x" * 4000 + b"\n"), "a flood of log lines"),
    from_agent("a closed pipe", CLOSE + HANG, "closed its pipe and lives on"),
]

# A compromised stager, in its container

STAGER_CALLS = [TCP, UNIX, FILES[0], PROCESSES[0], PROCESSES[7], MEMORY[0], KERNEL[0], KERNEL[6]]
STAGER = calls("stager", "verify", "stager_ready", STAGER_CALLS) + [
    Attack("stager", "counts that are not the unpacker's", "verify", "staged", True,
           say(encode("staged", stream=0, entries=1, bytes=1)), 5, "were written"),
    Attack("stager", "a stream that nobody has", "verify", "staged", True, say(encode("staged", stream=77)), 14,
           "staged stream that is not in the plan"),
    Attack("stager", "an order of the supervisor's", "verify", "stager_ready", False, say(encode("commit")), 14,
           "the stager broke the protocol"),
    Attack("stager", "its first word again", "verify", "stager_ready", False, say(encode("stager_ready", layers=31)), 14,
           "the stager broke the protocol"),
    Attack("stager", "bytes that are no frames", "verify", "stager_ready", False, say(b"\xff" * 64), 14,
           "the stager broke the protocol"),
    Attack("stager", "half a frame, then its end", "verify", "stager_ready", False, say(b"\1\1") + leave(0), 14, "stager"),
    Attack("stager", "a root that nobody has", "verify", "probed", True, say(encode("probed", root=900)), 14,
           "not in the plan"),
]

# A compromised stretcher, which has the passphrase and nothing else


def from_stretcher(what, steps, words, code=14, message="ready", instead=False, **more):
    return Attack("stretcher", what, "passphrase", message, instead, steps, code, words, **more)


STRETCHER = calls("stretcher", "passphrase", "ready", [
    FILES[0], FILES[1], FILES[4], TCP, UNIX, NETWORK[0], PROCESSES[0], PROCESSES[1], PROCESSES[2], PROCESSES[3], PROCESSES[5],
    PROCESSES[7], MEMORY[0], MEMORY[1], KERNEL[0], KERNEL[2], KERNEL[7], KERNEL[8],
    ("the time", "clock_gettime", 0, bytes(16)),
    ("more memory", "brk", 0),
    ("its file of the passphrase once more", "lseek", 0, 0, 0),
    ("reads from another descriptor", "read", 0, bytes(8), 8),
    ("the passphrase into a pipe of others", "write", 6, "x", 1),
    ("closes its log", "close", 2),
    ("puts another file under a descriptor", "dup2", 3, 6)]) + [
    from_stretcher("a key of another length", say(encode("stretched", key=b"k" * 31)), "", code=None, message="stretched",
                   instead=True),
    from_stretcher("a key longer than any may be", say(frame(TABLE["stretched"][0], struct.pack("<I", 900) + bytes(900))),
                   "broke the protocol", message="stretched", instead=True),
    from_stretcher("another key", say(encode("stretched", key=b"k" * 32)), "passphrase", code=None, message="stretched",
                   instead=True),
    from_stretcher("a key before it is asked for one", say(encode("stretched", key=b"k" * 32)), "out of its state",
                   instead=True),
    from_stretcher("its first word again", say(encode("ready", layers=31)), "out of its state"),
    from_stretcher("a word of the unpacker's", say(encode("unpacked", sha256="0" * 64)), "sender may not send"),
    from_stretcher("an order of the supervisor's", say(encode("passphrase_key", key=b"k" * 32)), "sender may not send"),
    from_stretcher("a frame longer than any may be", say(frame(TABLE["stretched"][0], length=1 << 30)), "broke the protocol"),
    from_stretcher("half a frame, then its end", say(frame(TABLE["stretched"][0], b"half", length=36)) + leave(0),
                   "stretcher ended unexpectedly"),
    from_stretcher("ends without a word", leave(0), "stretcher ended unexpectedly", instead=True),
    from_stretcher("a failure that would pass for success", say(encode("failed", code=10, message="all is well")),
                   "failure with code 10"),
    from_stretcher("says that it is confined by nothing", say(encode("ready", layers=0)), "runs without a seccomp filter",
                   code=13, instead=True),
    from_stretcher("a flood of warnings", flood(encode("warning", message="w" * 4000) * 3), "a flood of messages"),
    from_stretcher("a flood of log lines", flood_log(b"E " + b"x" * 4000 + b"\n"), "a flood of log lines"),
    from_stretcher("control bytes in the log", log(b"E \x1b[2Jowned\r\n") + leave(1), r"stretcher: \x1b[2Jowned\x0d"),
]

# A compromised supervisor: nobody is above it, so that its own filter ends it (-SIGSYS), or it ends with 99 when the kernel
# has refused what the filter lets through. What it orders is judged by its workers. ITS_SUPERVISOR: who started it.


def by_supervisor(what, name, *arguments):
    return Attack("supervisor", what, "list", "list", False, call(name, *arguments) + leave(99), -signal.SIGSYS,
                  f"its own sandbox refused the system call {number_of(name)}")


def kept_from_supervisor(what, number, name, *arguments):
    return Attack("supervisor", what, "list", "list", False, call(name, *arguments) + leave(99), 99,
                  f"attack refused: errno {number}")


def order(what, scene, message, steps, words, code=14):
    return Attack("supervisor", what, scene, message, True, steps, code, words)


FOR_READING = os.O_RDONLY | os.O_CLOEXEC
AUDIT_FOLDER = 41
SUPERVISOR_CALLS = FILES + [TCP, UNIX] + NETWORK + PROCESSES + MEMORY + KERNEL + [
    ("a signal other than that which ends", "pidfd_send_signal", 7, signal.SIGSTOP, 0, 0),
    ("removes a file", "unlinkat", AT_FDCWD, "/run/restore-" + PROJECT, 0),
    ("a link out of a folder of evidence", "symlinkat", "/etc/passwd", AUDIT_FOLDER, "log"),
    ("a file from one folder into another", "renameat", AT_FDCWD, "/run/restore-" + PROJECT, AT_FDCWD, "/tmp/restore-attack"),
    ("a pipe", "pipe2", bytes(8), 0),
    ("another program's descriptor", "pidfd_getfd", 7, 1, 0),
    ("starts a worker anew", "execveat", AT_FDCWD, "/bin/sh", 0, 0, 0),
]
BY_SUPERVISOR = [by_supervisor(*tried) for tried in SUPERVISOR_CALLS] + [
    kept_from_supervisor("a file of the machine, for reading", errno.EACCES, "openat", AT_FDCWD, "/etc/passwd", FOR_READING),
    kept_from_supervisor("the same by way of /proc", errno.EACCES, "openat", AT_FDCWD, "/proc/self/root/etc/passwd", FOR_READING),
    kept_from_supervisor("the memory of who started it", errno.EACCES, "openat", AT_FDCWD, Proc("mem"), FOR_READING),
    kept_from_supervisor("the environment of who started it", errno.EACCES, "openat", AT_FDCWD, Proc("environ"), FOR_READING),
    kept_from_supervisor("another's file, moved as if it were evidence", errno.EACCES, "renameat", AUDIT_FOLDER,
                         "/run/restore-" + PROJECT, AUDIT_FOLDER, "/tmp/restore-attack"),
    kept_from_supervisor("ends a process that is not its own", errno.EBADF, "pidfd_send_signal", 900, signal.SIGKILL, 0, 0),
    order("an order longer than any may be, to the fetcher", "list", "list", say(frame(TABLE["list"][0], length=1 << 30)),
          "fetcher ended unexpectedly"),
    order("an order that is none, to the fetcher", "list", "list", say(frame(250)), "fetcher ended unexpectedly"),
    order("an order to the fetcher that is another's", "list", "list", say(encode("unpack", size=1)),
          "fetcher ended unexpectedly"),
    order("a text beyond its bound, to the fetcher", "list", "list", say(frame(
        TABLE["list"][0], struct.pack("<I", 5000) + bytes(5001) + bytes(8))), "fetcher ended unexpectedly"),
    order("a backup outside of the store, from the fetcher", "verify", "get", say(
        encode("get", key="../../../etc/passwd", size=1)), "", code=None),
    order("a container that is not in the list, to the docker-agent", "verify", "prepare", say(
        encode("act", container=900, action=1) + encode("act_run", deadline=5)), "", code=None),
    order("an order for the stager, before there is one", "recover", "lock", say(encode("commit")), "docker-agent ended", code=14),
    order("a folder above the volume, to the stager", "verify", "probe", say(
        encode("stager_root", root=900, mount=0, subpath="../../..") + encode("probe")), "the path of root 900 is not sound", code=None),
    order("a swap of what was never staged, to the stager", "verify", "stage", say(encode("undo") * 2 + encode("commit")),
          "message out of its state"),
]

ATTACKS = CALLS + FETCHER + UNPACKER + AGENT + STAGER + STRETCHER + BY_SUPERVISOR
