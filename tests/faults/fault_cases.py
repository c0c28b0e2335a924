"""What runs under a fault: for each worker a few verbs on small data, and what must be true afterwards.

A case is called with the plan's path and returns ("ok", data) or ("failed", why); it raises Wrong where the worker
crashed, said success of wrong data, or left something behind. Undisturbed, it must be "ok".
"""
import errno
import hashlib
import mmap
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import engine_driver  # noqa: E402
import fault_server  # noqa: E402
import fetcher_driver  # noqa: E402
import stager_driver  # noqa: E402
import test_stager as stager_scene  # noqa: E402
import unpacker_driver  # noqa: E402

BUILD = pathlib.Path(os.environ.get("RESTORE_BUILD", ROOT / "build")) / "faults"
FUNCTIONS = re.findall(r"^FUNCTION\((\w+)\)", (ROOT / "tests/faults/functions.def").read_text(), re.M)
EXIT_CODES = {int(code) for code in re.findall(r"^EXIT_CODE\(\w+, (\d+),", (ROOT / "include/exit_codes.def").read_text(), re.M)}
PLAN = struct.Struct("<IIiII64I")
ASKED = 12  # bytes of it that say what is to fail


class Wrong(Exception):
    """What a worker must not do, whatever fails."""


class Plan:
    """The file that the worker maps (faults.c)."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "plan"
        self.path.write_bytes(bytes(PLAN.size))
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), PLAN.size)

    def set(self, function=None, when=0, error=0):
        self.memory[:] = PLAN.pack(FUNCTIONS.index(function) if function else 0, when, error, 0, 0, *[0] * 64)

    @property
    def fired(self):
        return PLAN.unpack(self.memory)[3] == 1

    @property
    def function(self):
        return FUNCTIONS[PLAN.unpack(self.memory)[0]]

    @property
    def denies_memory(self):
        return PLAN.unpack(self.memory)[2] == errno.ENOMEM

    @property
    def denies_library(self):
        """Memory that libcurl, libcrypto and the like asked for themselves."""
        return self.denies_memory and PLAN.unpack(self.memory)[4] == 1

    @property
    def counts(self):
        return dict(zip(FUNCTIONS, PLAN.unpack(self.memory)[5:]))


IN_LIBRARY = "a library crashed without memory"


def check_status(status, log, started=True):
    """
    A worker may end early, but by its own decision and with a code of the table. What a library crashes of is let pass, and
    counted: memory denied to a shared library (libcurl 7.88 hashes with a context it did not get), or to any while the
    worker warms up, when nothing was read yet.
    """
    if not started and status < 0:
        return IN_LIBRARY
    if status < 0 or status not in EXIT_CODES or "system call" in log:
        raise Wrong(f"ended with {status}: {log}")
    return f"ended with {status}"


class Case:
    """name, the worker, and `run`."""

    most = None  # calls of one function that are tried, where a run takes long

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.plan = Plan(folder)
        self.prepare()

    def prepare(self):
        pass

    def close(self):
        pass


class Unpack(Case):
    name, worker = "unpack", "unpacker"

    def prepare(self):
        tree = self.folder / "tree/app/volumes/data"
        (tree / "deep").mkdir(parents=True)
        (tree / "deep/file").write_bytes(b"x" * 5000)
        os.symlink("deep/file", tree / "link")
        dump = self.folder / "tree/db/database"
        dump.mkdir(parents=True)
        (dump / "pg_dumpall.sql").write_text(
            "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE DATABASE shop;\n\\connect shop\n"
            "COPY t (a) FROM stdin;\nvalue\n\\.\n--\n-- PostgreSQL database cluster dump complete\n--\n\n")
        tar = subprocess.run(["tar", "--owner=0", "--group=0", "--numeric-owner", "-C", self.folder / "tree", "-cf", "-", "app", "db"],
                             stdout=subprocess.PIPE, check=True).stdout
        self.archive = subprocess.run(["zstd", "-qc"], input=tar, stdout=subprocess.PIPE, check=True).stdout

    def run(self):
        unpacker_driver.ENVIRONMENT = {"FAULT_PLAN": str(self.plan.path)}
        unpacker_driver.BINARY = str(BUILD / "restore-unpacker")
        try:
            unpacker = unpacker_driver.Unpacker()
        except BrokenPipeError:
            return "failed", "before it could be configured"
        with unpacker:
            if unpacker.ready is None:
                return "failed", check_status(unpacker.end(), unpacker.logged, started=not self.plan.denies_memory)
            wants = [(1, unpacker_driver.VOLUME, "app", "data"), (2, unpacker_driver.POSTGRES, "db")]
            try:
                result = unpacker.run(self.archive, wants, deadline=20)
            except BrokenPipeError:
                check_status(unpacker.end(), unpacker.logged)
                return "failed", "hung up"
            if result.unpacked and result.complete:
                return "ok", (result.unpacked["sha256"], sorted((k, bytes(v)) for k, v in result.streams.items()), result.ended)
            how = check_status(unpacker.end() if result.unpacked else result.status, result.log, not self.plan.denies_library)
            return "failed", result.text or how


class Stage(Case):
    """Stage and commit under the fault; then an undisturbed recovery."""

    name, worker = "stage and commit", "stager"
    before = ()  # verbs without the fault, in a stager of their own
    verbs = ("stage", "commit")
    archive = stager_scene.make_tar(
        (".", stager_scene.DIRECTORY, {"mode": 0o750}),
        ("a", stager_scene.DIRECTORY, {"mode": 0o2775}),
        ("a/x", b"new x", {"mode": 0o604}),
        ("a/new", b"n" * 70_000, {}),
        ("link", stager_scene.SYMLINK, {"linkname": "a/x"}),
        ("hard", stager_scene.LINK, {"linkname": "a/x"}),
        ("fifo", stager_scene.FIFO, {"mode": 0o600}),
        ("attributes", b"x", {"pax_headers": {"SCHILY.xattr.user.note": "yes"}}))

    def prepare(self):
        (self.folder / "fault").mkdir()
        self.plan = Plan(self.folder / "fault")
        self.old = self.new = None

    def place(self):
        base = self.folder / "place"
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        return stager_scene.Place(base)

    def stager(self, place, binary):
        stager_driver.BINARY = binary
        return stager_driver.Stager(place.base, [*place.mounts, (self.folder / "fault", "fault", "rw")], place.run,
                                    environment={"FAULT_PLAN": "/fault/plan"})

    def tell(self, stager, verb):
        if verb == "stage":
            stager.root(0)
            stager.stream(1)
            stager.stage({1: self.archive})
        elif verb == "copy_root":
            stager.root(0)
            stager.ask("copy_root", root=0)
        else:
            stager.ask(verb)

    def under_fault(self, place):
        """(verbs done, why it ended early)."""
        done = []
        stager = None
        self.warned = []
        try:
            stager = self.stager(place, BUILD / "restore-stager")
            for verb in self.verbs:
                self.tell(stager, verb)
                done.append(verb)
            self.warned = stager.warnings
            status = stager.close()
            check_status(status, stager.log.decode())
            return done, ""
        except stager_driver.Failed as failure:
            if failure.code not in EXIT_CODES:
                raise Wrong(f"failed with {failure}") from failure
            if stager is not None:
                check_status(stager.close(), stager.log.decode())
            return done, str(failure)
        except stager_driver.Ended as ended:
            started = stager is not None or not self.plan.denies_memory
            return done, check_status(ended.args[0], stager.log.decode() if stager is not None else "", started)

    def setup(self, place):
        stager = self.stager(place, ROOT / "build/bin/restore-stager")
        for verb in self.before:
            self.tell(stager, verb)
        stager.close()

    def recover(self, place):
        stager = self.stager(place, ROOT / "build/bin/restore-stager")
        phase = stager.ask("read_journal", "journal")["phase"]
        if phase < 4:
            stager.ask("undo")
        stager.ask("clean")
        if stager.close() != 0:
            raise Wrong("the recovery failed")
        return phase

    def run(self):
        place = self.place()
        old = stager_scene.snapshot(place.volume)
        plan = bytes(self.plan.memory[:ASKED])
        self.plan.set()
        if self.before:
            self.setup(place)
        self.plan.memory[:] = plan + bytes(len(self.plan.memory) - ASKED)
        done, why = self.under_fault(place)
        counts = bytes(self.plan.memory)
        self.plan.set()
        swapped = stager_scene.snapshot(place.volume, skip=[b".restore-"])
        self.judge(done, old, swapped)
        phase = self.recover(place)
        self.plan.memory[:] = counts
        final = stager_scene.snapshot(place.volume)
        if why and self.plan.function == "futimens":  # the very call that gives the root its own time again: told, and lost
            final[b"."][4] = (self.new if phase == 4 else old)[b"."][4]
        if phase < 4 and final != old:
            raise Wrong(f"undone, but not as before: {difference(old, final)}")
        if phase == 4 and final != self.new:
            raise Wrong(f"concluded, but not the new tree: {difference(self.new, final)}")
        return ("failed", why) if why else ("ok", phase)

    def judge(self, done, old, swapped):
        if "commit" not in done and "commit" in self.verbs:
            return
        if self.new is None:
            self.new = swapped
        if "undo" in done and swapped != old:
            raise Wrong(f"undo said done: {difference(old, swapped)}")
        if "undo" not in self.verbs and swapped != self.new and not self.warned:
            raise Wrong(f"commit said done: {difference(self.new, swapped)}")


class Undo(Stage):
    name = "undo"
    before, verbs = ("stage", "commit"), ("undo",)


class Conclude(Stage):
    name = "conclude and clean"
    before, verbs = ("stage", "commit"), ("conclude", "clean")


class Copy(Stage):
    name = "copy for undo"
    verbs = ("copy_root",)

    def judge(self, done, old, swapped):
        if "copy_root" in done and swapped != old:
            raise Wrong(f"a copy changed the original: {difference(old, swapped)}")


def difference(expected, got):
    return [(name, expected.get(name), got.get(name)) for name in sorted(set(expected) | set(got))
            if expected.get(name) != got.get(name)][:4]


class Driven(Case):
    """A worker that is driven by fetcher_driver: `talk` says all to it and returns what is right, or raises."""

    secret = os.devnull
    sink = True

    def talk(self, worker):
        raise NotImplementedError

    def run(self):
        worker = fetcher_driver.Fetcher(BUILD / f"restore-{self.worker}", sink=self.sink, secret=self.secret,
                                        env={"PATH": os.environ["PATH"], "FAULT_PLAN": str(self.plan.path)})
        try:
            return "ok", self.talk(worker)
        except fetcher_driver.Failed as failure:
            if failure.code not in EXIT_CODES:
                raise Wrong(f"failed with {failure}") from failure
            return "failed", str(failure)
        except (EOFError, BrokenPipeError):
            started = not (self.plan.denies_library or (self.plan.denies_memory and not hasattr(worker, "ready")))
            return "failed", check_status(worker.wait(), worker.log.decode(errors="replace"), started)
        finally:
            end(worker, (worker.answers, worker.data_read))


class Stretch(Driven):
    """The key of a passphrase, from its file."""

    name, worker, sink = "key of a passphrase", "stretcher", False
    passphrase, salt, work_factor = b"correct horse battery staple", b"0123456789abcdef", 4

    def prepare(self):
        self.secret = self.folder / "passphrase"
        self.secret.write_bytes(self.passphrase + b"\n")
        self.expected = hashlib.scrypt(self.passphrase, salt=b"age-encryption.org/v1/scrypt" + self.salt,
                                       n=1 << self.work_factor, r=8, p=1, dklen=32)

    def talk(self, worker):
        worker.send("stretcher_config", salt=self.salt, work_factor=self.work_factor)
        worker.ready = worker.expect("ready")
        worker.send("stretch")
        key = worker.expect("stretched")["key"]
        if key != self.expected:
            raise Wrong(f"another key: {key.hex()}")
        return key


class Fetch(Driven):
    """List, head and get of a store: `open` says which."""

    worker = "fetcher"
    key, data = "p/backup_app_20260101-120000_x.tar.zst", os.urandom(300_000)

    def talk(self, worker):
        self.open(worker)
        listed = worker.list("app")
        info = worker.head(self.key)
        if [item["key"] for item in listed] != [self.key] or info["size"] != len(self.data) or info["exists"] != 1:
            raise Wrong(f"listed {listed}, {info}")
        worker.get(self.key, len(self.data), info["etag"])
        worker.sink.wait(len(self.data), 5)
        if bytes(worker.sink.data) != self.data:
            raise Wrong("other bytes than the object's")
        return len(self.data)


def end(worker, descriptors):
    """A worker that failed is still there, and ends when its supervisor hangs up."""
    if worker.status is None:
        status = worker.close()
        if status < 0:
            raise Wrong(f"ended with {status}: {worker.log.decode(errors='replace')}")
    else:
        os.close(worker.control)
    for fd in (*descriptors, worker.log_fd):
        try:
            os.close(fd)
        except OSError:
            pass


class FetchDirectory(Fetch):
    name = "list, look and get from a directory"

    def prepare(self):
        self.store = self.folder / "store"
        (self.store / "p").mkdir(parents=True)
        (self.store / self.key).write_bytes(self.data)

    def open(self, worker):
        worker.open("file:", str(self.store), prefix="p")


class FetchServer(Fetch):
    name = "list, look and get from a server"

    def prepare(self):
        self.server = fault_server.Server()
        self.server.put(self.key, self.data)

    def open(self, worker):
        worker.open(self.server.endpoint, fault_server.BUCKET, prefix="p", region="us-east-1")

    def close(self):
        self.server.__exit__()


class Agent(Case):
    """Ping and listing of a stack on the real engine."""

    name, worker = "ping and list the stack", "docker-agent"

    def prepare(self):
        self.project = "faults" + os.urandom(4).hex()
        subprocess.run(["docker", "create", "--name", f"{self.project}-app-1", "--label", f"com.docker.compose.project={self.project}",
                        "--label", "com.docker.compose.service=app", "--label", "com.docker.compose.container-number=1",
                        "--label", "com.docker.compose.oneoff=False", "--label", "backup.volume-path.data=/data",
                        "restore-test/base", "true"], stdout=subprocess.DEVNULL, check=True)

    def close(self):
        subprocess.run(["docker", "rm", "-f", f"{self.project}-app-1"], capture_output=True, check=False)

    def ask(self, agent):
        agent.ask("ping", "engine")
        found, _ = agent.collect("list_stack", "stack_end")
        return [(name, values.get("name")) for name, values in found]

    def check(self, found):
        if found != [("container", f"{self.project}-app-1"), ("volume_label", "data")]:
            raise Wrong(f"listed {found}")

    def run(self):
        agent = None
        try:
            agent = engine_driver.Agent(self.project, BUILD / "restore-docker-agent", ("env", f"FAULT_PLAN={self.plan.path}"))
            found = self.ask(agent)
            failed = [values["message"] for name, values in agent.messages if name == "acted" and not values["ok"]]
            if failed:
                return "failed", failed[0]
            self.check(found)
            return "ok", found
        except engine_driver.Failed as failure:
            if failure.code not in EXIT_CODES:
                raise Wrong(f"failed with {failure}") from failure
            return "failed", str(failure)
        except (EOFError, BrokenPipeError) as ended:
            status = re.search(r"status (-?\d+)", str(ended))
            started = not (self.plan.denies_library or (self.plan.denies_memory and agent is None))
            return "failed", check_status(int(status.group(1)) if status else 1, str(ended), started)
        finally:
            if agent is not None:
                end(agent, (agent.answers, agent.data))


class AgentReads(Agent):
    """What else it asks before anything is changed, and a restart policy that is set to what it is."""

    name = "leftovers, targets, users and a restart policy"
    SET_RESTART = 4

    def ask(self, agent):
        agent.ask("ping", "engine")
        agent.collect("list_leftovers", "leftovers_end")
        agent.collect("list_stack", "stack_end")
        agent.collect("target", "target_end", stream=1, container=0, label="data")
        agent.collect("list_users", "users_end")
        agent.ask("inspect", "container_state", container=0)
        agent.act((0, self.SET_RESTART, {"policy": "no"}))
        return [message for message in agent.messages if message[0] not in ("ready", "warning")]

    expected = None

    def check(self, found):
        if self.expected is None:
            self.expected = found
        if found != self.expected:
            wrong = [pair for pair in zip(found, self.expected) if pair[0] != pair[1]]
            raise Wrong(f"{len(found)} messages, not {len(self.expected)}: {wrong[:1]}")


class AgentRun(AgentReads):
    """The run's lock, volume, image and stager are made, used and removed on the real engine."""

    name = "prepare, open, close and remove a run"
    most = 8  # a run takes seconds

    def prepare(self):
        super().prepare()
        self.run_name = "r" + os.urandom(4).hex()

    def ask(self, agent):
        agent.ask("lock", "locked", run=self.run_name, owner="process:1:1", boot_id="boot", since=1700000000)
        agent.collect("list_stack", "stack_end")
        agent.ask("prepare", "prepared", run=self.run_name)
        agent.ask("open_stager", "stager_opened", run=self.run_name)
        agent.send("stager_config", run=self.run_name, spool_only=0)
        agent.expect("stager_ready")
        agent.ask("close_stager", "stager_closed")
        agent.ask("remove_run", "removed", run=self.run_name)
        agent.ask("unlock", "removed")
        return [message for message in agent.messages if message[0] not in ("ready", "warning")]

    def left(self):
        names = []
        for command in (("ps", "-a", "--format", "{{.Names}}"), ("volume", "ls", "-q"),
                        ("images", "--format", "{{.Repository}}:{{.Tag}}")):
            found = subprocess.run(["docker", *command], capture_output=True, text=True, check=True).stdout.split()
            names += [name for name in found if name.startswith(f"restore-{self.project}") or name.endswith(f":{self.run_name}")]
        return names

    def run(self):
        try:
            outcome = super().run()
            if outcome[0] == "ok" and self.left():
                raise Wrong(f"removed, and there is still {self.left()}")
            return outcome
        finally:
            for name in self.left():
                kind = ("rmi",) if name.endswith(f":{self.run_name}") else ("rm",)
                subprocess.run(["docker", *kind, "-f", name], capture_output=True, check=False)
            subprocess.run(["docker", "volume", "rm", "-f", *self.left()], capture_output=True, check=False)


CASES = [Unpack, Stretch, Stage, Undo, Conclude, Copy, FetchDirectory, FetchServer, Agent, AgentReads, AgentRun]
