"""What the end-to-end tests share: small stacks of plain containers, archives
as the sidecar makes them, and runs of the shipped `restore` binary.

A small stack is made with the docker client alone, so that a test shows every
label and mount it needs; tests of databases use the whole stack of ../stack.
"""
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "stack"))
import stack  # noqa: E402
import state  # noqa: E402

RESTORE = ROOT / "build" / "bin" / "restore"
IMAGE = "restore-test/base"
DEADLINE = 240


def unique(prefix="t"):
    return f"{prefix}{uuid.uuid4().hex[:8]}"


class Result:
    """How a run of `restore` ended: exit code and what it printed."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    @property
    def text(self):
        return self.out + self.err

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def environment(project, store, **options):
    """The environment of a run: nothing of the tests' own but PATH."""
    values = {"PATH": os.environ["PATH"], "PROJECT_NAME": project, "S3_BUCKET_URL": str(store), "MIN_FREE_SPACE": "1MB"}
    values.update(options)
    return {name: str(value) for name, value in values.items() if value is not None}


# RESTORE_RUNNER=container or container-user: the suite runs the image, hardened, instead of the binary (make check-hardened).
RUNNER = os.environ.get("RESTORE_RUNNER", "")
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "64", "--memory",
            "128m", "--memory-swap", "128m"]
VIOLATION = ("was killed by its sandbox", "broke the protocol")


def readable_by_all(path):
    """An ordinary user reads the store: tests make theirs below folders of root's alone."""
    path = pathlib.Path(path)
    for folder in (path, *path.parents):
        if folder.is_dir() and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for file in filter(os.path.isfile, path.iterdir() if path.is_dir() else [path]):
        file.chmod(file.stat().st_mode | 0o044)


WRITTEN = ("AUDIT_LOG", "REPORT_FILE", "METRICS_FILE")  # files that a run makes: their folders have to be there


def in_container(values):
    """The command line that runs the image with this environment; what it names of the host is mounted where it is. S3 is on
    the host's loopback."""
    socket_path = values.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    arguments = ["docker", "run", "--rm", "--init=false", *HARDENED, "--network", "host"]
    if os.path.exists(socket_path):
        arguments += ["-v", f"{socket_path}:{socket_path}"]
        if RUNNER == "container-user":
            arguments += ["--user", "65534:65534", "--group-add", str(os.stat(socket_path).st_gid)]
    for name, value in values.items():
        path = value.removeprefix("file://").split("?")[0]
        folder = os.path.dirname(path)
        if name in WRITTEN and path.startswith("/tmp/") and os.path.isdir(folder):
            arguments += [] if f"{folder}:{folder}" in arguments else ["-v", f"{folder}:{folder}"]
            readable_by_all(folder)
            os.chmod(folder, 0o777)
        elif name != "DOCKER_HOST" and name != "PATH" and path.startswith("/") and os.path.exists(path):
            arguments += ["-v", f"{path}:{path}:ro"]
            readable_by_all(path)
        if name != "PATH":
            arguments += ["-e", f"{name}={value}"]
    return [*arguments, "restore:local"]


def restore(project, store, binary=RESTORE, deadline=DEADLINE, **options):
    """Runs `restore` to its end."""
    if RUNNER and binary == RESTORE:
        done = subprocess.run(in_container(environment(project, store, **options)), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=deadline, check=False)
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        assert not any(words in result.text for words in VIOLATION), f"a violation: {result}"
        assert result.code not in (13, 14), f"a violation: {result}"
        return result
    done = subprocess.run([str(binary)], env=environment(project, store, **options), stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=deadline, check=False)
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def start_restore(project, store, **options):
    """Starts `restore` and returns the process."""
    return subprocess.Popen([str(RESTORE)], env=environment(project, store, **options), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def backup_name(project, when="20260101-120000", identifier=None):
    return f"backup_{project}_{when}_{identifier or uuid.uuid4()}.tar.zst"


class Store:
    """An embedded store: a directory of archives, used as file:///dir."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)

    def __str__(self):
        return f"file://{self.directory}"

    def put(self, project, tree, when="20260101-120000", identifier=None):
        """Packs a tree as the sidecar does and returns the object's name."""
        name = backup_name(project, when, identifier)
        tar = subprocess.run(["tar", "--owner=0", "--group=0", "--numeric-owner", "-C", str(tree), "-cf", "-",
                              *sorted(os.listdir(tree))], stdout=subprocess.PIPE, check=True)
        return self.put_bytes(name, compress(tar.stdout))

    def put_bytes(self, name, content):
        (self.directory / name).write_bytes(content)
        return name


def compress(data, *options):
    return subprocess.run(["zstd", "-q", "-T0", "-c", *options], input=data, stdout=subprocess.PIPE, check=True).stdout


class MiniStack:
    """A stack of containers made by hand, with Compose's labels."""

    def __init__(self, project=None):
        self.project = project or unique()
        self.names = []
        self.volumes = []

    def volume(self, name):
        full = f"{self.project}_{name}"
        stack.docker("volume", "create", "--label", f"test={self.project}", full)
        self.volumes.append(full)
        return full

    def path(self, volume):
        """Where a volume's files are on the host."""
        return pathlib.Path(stack.docker("volume", "inspect", "-f", "{{.Mountpoint}}", volume).strip())

    def add(self, service, paths=None, mounts=(), number=1, start=False, image=IMAGE, command=("sleep", "infinity"),
            options=(), project=None):
        """Creates a container. paths: label name to path; mounts: (source, path[, mode])."""
        name = f"{self.project}-{service}-{number}"
        labels = {"com.docker.compose.project": project or self.project, "com.docker.compose.service": service,
                  "com.docker.compose.container-number": str(number), "com.docker.compose.oneoff": "False"}
        labels.update({f"backup.volume-path.{key}": value for key, value in (paths or {}).items()})
        arguments = ["create", "--init", "--name", name]
        for key, value in labels.items():
            arguments += ["--label", f"{key}={value}"]
        for mount in mounts:
            arguments += ["-v", ":".join(str(part) for part in mount)]
        stack.docker(*arguments, *options, image, *command)
        self.names.append(name)
        if start:
            stack.docker("start", name)
        return name

    def states(self):
        return {name: stack.docker("inspect", "-f", "{{.State.Status}}", name).strip() for name in self.names}

    def remove(self):
        subprocess.run(["docker", "rm", "-f", "-v", *self.names], capture_output=True, check=False)
        subprocess.run(["docker", "volume", "rm", "-f", *self.volumes], capture_output=True, check=False)


def write_tree(root, files):
    """files: path to content; a path with a slash at its end is a directory."""
    for path, content in files.items():
        target = pathlib.Path(root) / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return pathlib.Path(root)


def read_tree(root):
    """The same of what is there: every regular file's path and content, and empty directories."""
    found = {}
    for path in sorted(pathlib.Path(root).rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_bytes()
        elif path.is_dir() and not any(path.iterdir()):
            found[name + "/"] = b""
    return found


class Events:
    """The Engine's events of containers that start or end, from now on. (Asked for afterwards it has the last 256 only,
    and those of health checks push the others out.)"""

    WATCHED = ("start", "die", "stop", "kill", "restart")

    def __init__(self):
        filters = [part for event in (*self.WATCHED, "create") for part in ("--filter", f"event={event}")]
        self.process = subprocess.Popen(["docker", "events", "--since", f"{time.time():.6f}", *filters, "--format", "{{json .}}"],
                                        stdout=subprocess.PIPE)

    def until_now(self):
        """All so far: to the event of a volume that is made for this."""
        mark = unique("events")
        stack.docker("volume", "create", mark)
        try:
            for line in self.process.stdout:
                event = json.loads(line)
                if event["Type"] == "volume" and event["Actor"]["ID"] == mark:
                    return
                if event["Type"] == "container" and event["Action"] in self.WATCHED:
                    yield event
            raise AssertionError("the Engine's events broke off")
        finally:
            self.process.kill()
            self.process.communicate()
            stack.docker("volume", "rm", mark)

    def of(self, project):
        """(action, service) in their order; ends the subscription."""
        labels = [(event["Action"], event["Actor"]["Attributes"]) for event in self.until_now()]
        return [(action, attributes.get("com.docker.compose.service")) for action, attributes in labels
                if attributes.get("com.docker.compose.project") == project]

    def actions(self, project):
        return [action for action, _ in self.of(project)]


def leftovers(project):
    """What a run may not leave behind: its containers, volumes and images."""
    mark = f"restore-{project}"
    containers = [name for name in stack.docker("ps", "-a", "--format", "{{.Names}}").split() if name.startswith(mark)]
    volumes = [name for name in stack.docker("volume", "ls", "-q").split() if name.startswith(mark)]
    return containers + volumes


def staging_folders(*roots):
    return [str(path) for root in roots for path in pathlib.Path(root).rglob(".restore-*")]


def assert_untouched(project, roots, before, events):
    """Nothing staged is left, nothing was stopped, the data is as before."""
    assert leftovers(project) == []
    assert staging_folders(*roots) == []
    assert not {"stop", "kill", "die", "restart"} & set(events.actions(project))
    assert [read_tree(root) for root in roots] == before


def stamp(days_ago=0):
    return (datetime.datetime.now() - datetime.timedelta(days=days_ago)).strftime("%Y%m%d-%H%M%S")


def copy_program(folder):
    """The binaries in a folder of their own, for tests that change one."""
    shutil.copytree(RESTORE.parent, folder, dirs_exist_ok=True)
    return pathlib.Path(folder) / "restore"
