#!/usr/bin/python3
"""
A compromised process of each kind, with the real engine: check_compromised.py [parts of names]. Each attack of attacks.py is
one run of `restore` in which one worker, or the supervisor, turns hostile after its lock-down. It has to end in
bounded time, with the right exit code and a word about whose doing it was, and leave nothing: no process, nothing of the
run in the engine, the stack's data and container as they were.
"""
import concurrent.futures
import io
import os
import pathlib
import queue
import re
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parents[0] / "e2e")]
import harness  # noqa: E402
import stack  # noqa: E402
from attacks import ATTACKS, PROJECT, SIZE, TABLE  # noqa: E402
from test_encrypted import PASSPHRASE, encrypt_with_passphrase, tree_archive  # noqa: E402

SHIPPED, HOSTILE = ROOT / "build/bin", ROOT / "build/compromised"
LANES = 3
PATIENCE = 900  # seconds for one run, on a machine that has much else to do: a flood of small messages takes 30 of a processor
CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
TRACE = pathlib.Path("/tmp/restore-attack")  # what would show that something was written outside
NO_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


class Lane:
    """A stack, an archive of it, and the binaries of which one worker is exchanged; for one attack at a time."""

    def __init__(self, folder, encrypted):
        self.folder = pathlib.Path(folder)
        self.programs = self.folder / "bin"
        self.mini = harness.MiniStack()
        self.project = self.mini.project
        assert len(self.project) == len(PROJECT)
        volume = self.mini.volume("data")
        self.mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True,
                      options=["--network", "none"])
        self.root = self.mini.path(volume)
        harness.write_tree(self.root, {"live": "data"})
        self.store = harness.Store(self.folder / "store")
        tree = harness.write_tree(self.folder / "tree", {f"app/volumes/data/f{n}": "new" * 99 for n in range(9)})
        self.encrypted = harness.Store(self.folder / "encrypted")
        self.encrypted.put_bytes(harness.backup_name(self.project) + ".age", encrypted)
        self.passphrase = self.folder / "passphrase"
        self.passphrase.write_text(PASSPHRASE)
        self.size = (self.folder / "store" / self.store.put(self.project, tree)).stat().st_size
        (self.folder / "store/way-out").symlink_to("/etc")
        self.sockets = [self.listen(f"/run/restore-{self.project}"), self.listen(f"\0restore-{self.project}")]
        self.before = self.look()

    def listen(self, address):
        """A socket that root alone may use."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        if address[0] == "/":
            os.chmod(address, 0o600)
        listener.listen()
        return listener

    def look(self):
        """All that no attack may change."""
        return (harness.read_tree(self.root), harness.staging_folders(self.root),
                stack.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.Status}}", *self.mini.names))

    def script(self, attack):
        steps = attack.steps.replace(PROJECT.encode(), self.project.encode())
        steps = steps.replace(struct.pack("<Q", SIZE), struct.pack("<Q", self.size))
        return bytes([TABLE[attack.message][0], attack.instead]) + steps

    def arm(self, attack):
        """The shipped binaries, but for the worker that turns."""
        shutil.rmtree(self.programs, ignore_errors=True)
        self.programs.mkdir()
        for path in SHIPPED.iterdir():
            if path.is_file() and path.name != "restore-stager":
                os.link(path, self.programs / path.name)
        script = self.script(attack)
        if attack.worker == "stager":
            self.arm_stager(script)
            return
        name = "restore" if attack.worker == "supervisor" else f"restore-{attack.worker}"
        (self.programs / name).unlink()
        os.link(HOSTILE / name, self.programs / name)
        (self.programs / "attack").write_bytes(script)

    def arm_stager(self, script):
        """The image that the docker-agent imports, with another stager and what it is to do."""
        path = self.programs / "restore-stager.tar"
        path.unlink()
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as image:
            for name in ("mounts", "run-volume"):
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                image.addfile(folder)
            for name, content in (("restore-stager", (HOSTILE / "restore-stager").read_bytes()), ("attack", script)):
                file = tarfile.TarInfo(name)
                file.size, file.mode = len(content), 0o755
                image.addfile(file, io.BytesIO(content))

    def options(self, attack):
        scenes = {"list": {"RESTORE_MODE": "list"}, "one user": {"RESTORE_MODE": "list"},
                  "verify": {"RESTORE_MODE": "verify"}, "passphrase": {
                      "RESTORE_MODE": "verify", "S3_BUCKET_URL": self.encrypted, "AGE_PASSPHRASE_FILE": self.passphrase},
                  "recover": {"RESTORE_MODE": "recover"},
                  "http": {"RESTORE_MODE": "list", "S3_BUCKET_URL": "s3://bucket", "S3_ATTEMPTS": "1",
                           "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "key",
                           "AWS_SECRET_ACCESS_KEY": "secret"}}
        return {**scenes[attack.scene], **attack.options}

    def run(self, attack):
        """(code, output) of the restore."""
        self.arm(attack)
        command = [*(NO_CAPABILITIES if attack.scene == "one user" else []), str(self.programs / "restore")]
        environment = harness.environment(self.project, self.store, **self.options(attack))
        try:
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False, timeout=PATIENCE)
        except subprocess.TimeoutExpired as late:
            return None, late.stdout or b""
        return done.returncode, done.stdout

    def processes(self):
        """Those that run one of our binaries."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "exe").startswith(str(self.programs)):
                    found.append(entry.name)
            except OSError:
                continue
        return found

    def all_ended(self):
        """Workers end with their supervisor; the kernel may take a moment for it."""
        deadline = time.monotonic() + PATIENCE
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def left(self, attack):
        """What is left in the engine is for the next run, where nobody else could see it."""
        left = harness.leftovers(self.project)
        if not left and not attack.leaves:
            return
        if not attack.leaves:
            yield f"left in the engine: {left}"
        harness.restore(self.project, self.store, RESTORE_MODE="recover")
        if harness.leftovers(self.project):
            yield f"not even a recovery removes {left}"

    def problems(self, attack, code, output):
        text = output.decode(errors="replace")
        if code is None:
            yield "did not end in time"
        elif code != attack.code and (attack.code is not None or code == 0):
            yield f"exit code {code} instead of {attack.code or 'a failure'}"
        if not any(words in text for words in attack.words.split("|")):
            yield f"not a word of '{attack.words}'"
        if "attack SUCCEEDED" in text:
            yield "it succeeded"
        if CONTROL_BYTES.search(output):
            yield "control bytes in the log"
        if not self.all_ended():
            yield "processes are left"
        yield from self.left(attack)
        if self.look() != self.before:
            yield "the stack was changed"
        if TRACE.exists():
            yield f"{TRACE} was made"

    def close(self):
        for listener in self.sockets:
            listener.close()
        pathlib.Path(f"/run/restore-{self.project}").unlink()
        self.mini.remove()


def stopped_by(output):
    """The line that tells, for people."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.startswith("ERROR: ")]
    telling = [line for line in lines if "refused" in line] or lines or ["nothing to be said"]
    return telling[0].removeprefix("ERROR: ")[:100]


def try_one(lanes, attack):
    """(attack, seconds, what stopped it, problems, output)"""
    lane = lanes.get()
    try:
        began = time.monotonic()
        code, output = lane.run(attack)
        return attack, time.monotonic() - began, stopped_by(output), list(lane.problems(attack, code, output)), output
    finally:
        lanes.put(lane)


def try_all(attacks, count=LANES):
    """Prints a line for each attack; returns how many were not stopped as they have to be."""
    failed = 0
    attacks = sorted(attacks, key=lambda attack: not attack.slow)  # those that wait come first: the others fill the time
    with tempfile.TemporaryDirectory(prefix="compromised-", dir=ROOT / "build") as folder:
        folder = pathlib.Path(folder)
        plain = harness.compress(tree_archive(b"new"))
        encrypted = encrypt_with_passphrase(plain, folder)
        lanes = [Lane(folder / str(number), encrypted) for number in range(count)]
        free = queue.Queue()
        for lane in lanes:
            free.put(lane)
        try:
            with concurrent.futures.ThreadPoolExecutor(count) as pool:
                for attack, seconds, stopped, problems, output in pool.map(lambda one: try_one(free, one), attacks):
                    failed += bool(problems)
                    print(f"{'FAILED ' if problems else 'stopped'} {attack.worker:13}{attack.name:62}{seconds:6.1f} s  "
                          f"{stopped}", flush=True)
                    for problem in problems:
                        print(f"        {problem}")
                    if problems:
                        print(output.decode(errors="backslashreplace")[-2000:], flush=True)
        finally:
            for lane in lanes:
                lane.close()
    return failed


def main():
    parts = sys.argv[1:]
    chosen = [attack for attack in ATTACKS if not parts or any(part in f"{attack.worker}: {attack.name}" for part in parts)]
    failed = try_all(chosen)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
