"""
`make check-audit`: a real audit log of several runs, with every kind of line that a run writes, is changed in every way
that the chain promises to find. Each change to each line is one check:

  edit      one character of each of the line's values becomes another
  drop      the line is gone
  swap      it changes places with the next
  insert    a line is put before it: a copy of it, a copy with another seq, text that is no record
  flip      single bits at places spread over the whole file, and every line feed
  rewrite   the line is edited and the chain behind it is made to fit again: found by the head alone
  cut       the file ends before it, and in the midst of it

What the chain alone finds must be named with its line. Everything else (what touches the last line only, or was made to
fit) must be found with the head that the run printed, and the head's own signature must be the key's.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
sys.path.insert(0, str(ROOT / "tests" / "kill"))
import harness  # noqa: E402
from kill_stacks import PASSWORD, DatabaseStack  # noqa: E402

RESTORE = ROOT / "build" / "bin" / "restore"
EVENTS = {"begin", "phase", "engine", "lock", "worker", "container", "source", "archive", "plan", "intent", "result", "volume",
          "former", "database", "finding", "warning", "failure", "violation", "gap", "torn", "end"}
FLIPS = 400
SECRETS = ["planted-key-id-0001", "planted-secret-0002", "planted-token-0003", "planted-password-0004"]


# --- The log: every event a run can write ----------------------------------------------------------------------------

@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def make_key(folder):
    subprocess.run(["minisign", "-G", "-W", "-p", "audit.pub", "-s", "audit.key"], cwd=folder, input=b"", check=True,
                   capture_output=True)
    return folder / "audit.key"


def head_of(result):
    return re.search(r"^Audit head: ([0-9a-f]{64})$", result.out, re.M).group(1)


def restore_with_gap(project, store, folder, log):
    """The disk of the log fills while the run is under way, and has room again while it is undone."""
    with small_disk(folder / "disk") as disk:
        (disk / "log").write_bytes(log.read_bytes()[:0])
        process = harness.start_restore(project, store, AUDIT_LOG=disk / "log")
        said = []

        def widen():
            for line in process.stderr:
                said.append(line)
                if b"audit log cannot be written" in line:
                    subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)

        reader = threading.Thread(target=widen)
        reader.start()
        process.stdout.read()
        code = process.wait(120)
        reader.join()
        return code, b"".join(said), (disk / "log").read_bytes()


def run_and_fail(project, store, log, folder):
    """A fetcher that is none, and a bad archive: a violation and a failure."""
    binary = harness.copy_program(folder / "bin")
    fetcher = folder / "bin" / "restore-fetcher"
    fetcher.unlink()
    fetcher.write_text("#!/bin/sh\nprintf 'no frame of this protocol at all' >&4\nsleep 5\n")
    fetcher.chmod(0o755)
    result = harness.restore(project, store, binary=binary, AUDIT_LOG=log)
    assert result.code == 14, result


def make_log(folder):
    """(text of the log, its head as printed): success with databases and a warning, a violation, a torn line."""
    log = folder / "audit.log"
    stack = DatabaseStack(folder)
    try:
        run_and_fail(stack.project, stack.store, log, folder)
        with log.open("ab") as file:
            file.write(b'{"event":"begin","kernel":{"mach')
        extra = stack.postgres("CREATE DATABASE unknown_to_the_dump")
        assert extra.returncode == 0
        result = harness.restore(stack.project, stack.store, AUDIT_LOG=log, AUDIT_SIGN_KEY_FILE=make_key(folder),
                                 REPORT_FILE=folder / "report.json", AWS_ACCESS_KEY_ID=SECRETS[0],
                                 AWS_SECRET_ACCESS_KEY=SECRETS[1], AWS_SESSION_TOKEN=SECRETS[2],
                                 AWS_ENDPOINT_URL=f"https://user:{SECRETS[3]}@127.0.0.1:1")
        assert result.code in (0, 10), result
        assert "cut off" in result.err
    finally:
        stack.remove()
    return log.read_bytes(), head_of(result)


def make_gap(folder):
    mini = harness.MiniStack()
    store = harness.Store(folder / "gap-store")
    volume = mini.volume("data")
    try:
        mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
        store.put(mini.project, harness.write_tree(folder / "gap-tree", {"app/volumes/data/f": "new"}))
        harness.write_tree(mini.path(volume), {"f": "old"})
        code, said, text = restore_with_gap(mini.project, store, folder, pathlib.Path("/dev/null"))
        assert code == 7, said
        assert harness.read_tree(mini.path(volume)) == {"f": b"old"}
        assert harness.leftovers(mini.project) == []
    finally:
        mini.remove()
    return text


# --- The checks ------------------------------------------------------------------------------------------------------

class Checks:
    def __init__(self, folder, text, head):
        self.file = folder / "changed.log"
        self.text = text
        self.lines = text.splitlines(keepends=True)
        self.head = head
        self.passed = 0
        self.failed = []

    def verify(self, text, head=None):
        self.file.write_bytes(text)
        done = subprocess.run([RESTORE, "audit", "verify", self.file, *(["--head", head] if head else [])],
                              capture_output=True, env={}, check=False)
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def expect(self, name, good, said):
        if good:
            self.passed += 1
        else:
            self.failed.append(name)
            print(f"FAILED: {name}: {said.strip()}")

    def found(self, name, text, number, chain=True):
        """chain: it must be found without the head, and its line named; the line beside it may be the one that shows."""
        if chain:
            code, said = self.verify(text)
            line = re.search(r"line (\d+):", said)
            self.expect(f"{name}, by the chain", code == 5 and line and abs(int(line.group(1)) - number) <= 1, said)
        else:
            code, said = self.verify(text, self.head)
            self.expect(f"{name}, by the head", code == 5, said)

    def with_lines(self, number, *instead, count=1):
        return b"".join([*self.lines[: number - 1], *instead, *self.lines[number - 1 + count:]])

    def is_torn(self, number):
        return not is_record(self.lines[number - 1])


def is_record(line):
    try:
        return "prev" in json.loads(line)
    except ValueError:
        return False


def canonical(record):
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def edits(line):
    """The line with one character of each value changed, and what was changed."""
    for match in re.finditer(rb'"([a-z0-9_.-]+)":("?)([^"{}\[\],]+)', line):
        at = match.start(3) + (match.end(3) - match.start(3)) // 2
        other = b"1" if line[at:at + 1] != b"1" else b"2"
        if line[at:at + 1].isalpha():
            other = b"x" if line[at:at + 1] != b"x" else b"y"
        yield match.group(1).decode(), line[:at] + other + line[at + 1:]


def rewrite(lines, number):
    """The line edited, the chain behind it made to fit: what who can write the file can do."""
    out = lines[: number - 1]
    prev = hashlib.sha256(out[-1][:-1]).hexdigest() if out else "0" * 64
    for offset, line in enumerate(lines[number - 1:]):
        if is_record(line):
            record = json.loads(line)
            record["prev"] = prev
            if offset == 0:
                record["time"] = "2020-01-01T00:00:00.000Z"
            line = canonical(record)
        out = [*out, line]
        prev = hashlib.sha256(line[:-1]).hexdigest()
    return b"".join(out)


def check_line(checks, number):
    line, last = checks.lines[number - 1], number == len(checks.lines)
    for name, changed in edits(line):
        checks.found(f"edit of {name} in line {number}", checks.with_lines(number, changed), number, not last)
    checks.found(f"drop of line {number}", checks.with_lines(number), number, not last)
    checks.found(f"copy of line {number} before it", checks.with_lines(number, line, line), number)
    checks.found(f"text before line {number}", checks.with_lines(number, b"inserted\n", line), number)
    checks.found(f"cut before line {number}", b"".join(checks.lines[: number - 1]), number, False)
    checks.found(f"cut within line {number}", b"".join(checks.lines[: number - 1]) + line[: len(line) // 2], number)
    if not last:
        checks.found(f"swap of line {number} with the next", checks.with_lines(number, checks.lines[number], line, count=2),
                     number)
    if is_record(line):
        forged = canonical({**json.loads(line), "seq": number, "event": "phase"})
        checks.found(f"forged record before line {number}", checks.with_lines(number, forged, line), number)
        checks.found(f"rewrite from line {number} on", rewrite(checks.lines, number), number, False)


def check_flips(checks):
    chosen = random.Random(7).sample(range(len(checks.text)), FLIPS)
    feeds = [at for at, byte in enumerate(checks.text) if byte == 10]
    for at in [*chosen, *feeds]:
        changed = bytearray(checks.text)
        changed[at] ^= 1 << (at % 8)
        number = checks.text.count(b"\n", 0, at) + 1
        in_last = number == len(checks.lines)
        checks.found(f"flip at byte {at}", bytes(changed), number, not in_last)


def check_head(checks, folder):
    code, said = checks.verify(checks.text, checks.head)
    checks.expect("the log itself, with its head", code == 10 and "The last line is the one of the head" in said, said)
    def signed():
        return subprocess.run(["minisign", "-Vm", "audit.log.head", "-p", "audit.pub"], cwd=folder, capture_output=True,
                              check=False).returncode == 0
    head = folder / "audit.log.head"
    text = head.read_text()
    checks.expect("the head is signed", signed() and text.split()[0] == checks.head, text)
    for at in range(0, len(text), 7):
        head.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1:])
        checks.expect(f"another head, byte {at}", not signed(), "minisign accepts it")
    head.write_text(text)
    signature = folder / "audit.log.head.minisig"
    original = signature.read_text()
    for at, line in enumerate(original.splitlines(keepends=True)[1:], start=1):
        middle = len(line) // 2
        lines = original.splitlines(keepends=True)
        lines[at] = line[:middle] + ("A" if line[middle] != "A" else "B") + line[middle + 1:]
        signature.write_text("".join(lines))
        checks.expect(f"another signature, line {at + 1}", not signed(), "minisign accepts it")
    signature.write_text(original)


def check_secrets(checks, folder):
    """Those of S3, of a URL, of the databases, of the key that signs."""
    key = (folder / "audit.key").read_text().splitlines()[1]
    for name in ("audit.log", "report.json", "audit.log.head", "audit.log.head.minisig"):
        content = (folder / name).read_text()
        planted = [secret for secret in [*SECRETS, PASSWORD, key[80:120]] if secret in content]
        checks.expect(f"no secret in {name}", content and not planted, str(planted))


def run(folder):
    """(passed, names of what failed, lines of the logs)"""
    text, head = make_log(folder)
    gap = make_gap(folder)
    seen = {json.loads(line)["event"] for line in (text + gap).splitlines() if is_record(line)}
    checks = Checks(folder, text, head)
    checks.expect("every kind of line is there", seen == EVENTS, f"{seen ^ EVENTS}")
    check_secrets(checks, folder)
    check_head(checks, folder)
    for number in range(1, len(checks.lines) + 1):
        check_line(checks, number)
    check_flips(checks)
    other = Checks(folder, gap, hashlib.sha256(gap.splitlines()[-1]).hexdigest())
    code, said = other.verify(gap)
    other.expect("a log with a gap is whole", code in (0, 10), said)
    for number, line in enumerate(other.lines, start=1):
        if b'"event":"gap"' in line or b'"event":"torn"' in line or not is_record(line):
            check_line(other, number)
    return checks.passed + other.passed, checks.failed + other.failed, len(checks.lines) + len(other.lines)


def main():
    with tempfile.TemporaryDirectory(prefix="check-audit-", dir="/dev/shm") as folder:
        passed, failed, lines = run(pathlib.Path(folder))
    print(f"{lines} lines of real runs\n{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    sys.exit(main())
