"""What every tool and test of the stack shares: running commands, Compose, and
the stack's containers, volumes and database clients as Docker describes them.

Nothing here knows names of containers: they are found by Compose's labels.
"""
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
COMPOSE_FILE = HERE / "compose.yaml"
RUN_DIR = pathlib.Path(os.environ.get("RESTORE_TESTS_RUN", "/run/restore-tests"))
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
ENABLE_LABEL = "backup.enable"
VOLUME_LABEL_PREFIX = "backup.volume-path."


class CommandFailed(Exception):
    """A command ended with an exit code other than 0; the text is its stderr."""


def run(argv, stdin=None, env=None, stdout=subprocess.PIPE):
    """Runs a command and returns its stdout as bytes (stdin: bytes or None)."""
    done = subprocess.run(argv, input=stdin, stdout=stdout, stderr=subprocess.PIPE,
                          env=None if env is None else {**os.environ, **env}, check=False)
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip()
        raise CommandFailed(f"{argv[:4]}: exit {done.returncode}: {message}")
    return done.stdout


def docker(*args, stdin=None):
    """Runs the docker client and returns its output as text."""
    return run(["docker", *args], stdin=stdin).decode()


def compose_command():
    """Debian 12's docker-compose, else Compose v2; RESTORE_COMPOSE overrides."""
    if "RESTORE_COMPOSE" in os.environ:
        return os.environ["RESTORE_COMPOSE"].split()
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return ["docker", "compose"]


def compose(project, *args, files=(COMPOSE_FILE,)):
    """Runs Compose on the stack and returns its output as text. Of several
    files the later ones override (paths are relative to the first)."""
    chosen = [part for file in files for part in ("-f", str(file))]
    return run([*compose_command(), "-p", project, *chosen, *args]).decode()


@dataclasses.dataclass(frozen=True)
class Container:
    """One container of the stack, as `docker inspect` has it."""
    id: str
    service: str
    number: int
    labels: dict
    env: dict
    mounts: list
    state: dict

    @property
    def volume_paths(self):
        """Label name to path, from backup.volume-path.NAME=PATH."""
        return {key[len(VOLUME_LABEL_PREFIX):]: path for key, path in self.labels.items()
                if key.startswith(VOLUME_LABEL_PREFIX)}

    @property
    def in_backup(self):
        return self.labels.get(ENABLE_LABEL) == "true"

    @property
    def database_kind(self):
        """'postgres', 'mariadb' or None, told by the environment contract."""
        if "PGDATA" in self.env:
            return "postgres"
        if any(name.startswith(("MARIADB_ROOT", "MYSQL_ROOT")) for name in self.env):
            return "mariadb"
        return None

    @property
    def health(self):
        return self.state.get("Health", {}).get("Status", "none")

    def host_path(self, path):
        """Where the container's path lies on the host: the deepest mount over it."""
        path = pathlib.PurePosixPath(path)
        over = [m for m in self.mounts
                if path.is_relative_to(m["Destination"]) and m.get("Source")]
        if not over:
            raise LookupError(f"no mount of {self.service} covers {path}")
        mount = max(over, key=lambda m: len(m["Destination"]))
        return pathlib.Path(mount["Source"]) / path.relative_to(mount["Destination"])


def _container(details):
    config = details["Config"]
    labels = config["Labels"] or {}
    return Container(
        id=details["Id"], service=labels[SERVICE_LABEL],
        number=int(labels.get(NUMBER_LABEL, 1)), labels=labels,
        env=dict(item.split("=", 1) for item in config["Env"] or []),
        mounts=details["Mounts"], state=details["State"])


def containers(project):
    """All containers of the project, running or not, ordered by service."""
    ids = docker("ps", "-aq", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}").split()
    if not ids:
        return []
    details = json.loads(docker("inspect", *ids))
    return sorted(map(_container, details), key=lambda c: (c.service, c.number))


def container(project, service):
    """The first container of a service."""
    for candidate in containers(project):
        if candidate.service == service:
            return candidate
    raise LookupError(f"project {project} has no container of service {service}")


def volumes(project):
    """'SERVICE/NAME' to host folder, for every label backup.volume-path.NAME.

    Replicas that share one folder appear once; others get '#2' and so on.
    """
    found = {}
    for item in containers(project):
        for name, path in item.volume_paths.items():
            folder = item.host_path(path)
            if folder in found.values():
                continue
            key = f"{item.service}/{name}"
            found[key if key not in found else f"{key}#{item.number}"] = folder
    return found


def up(project, files=(COMPOSE_FILE,), timeout=120):
    """Creates and starts the stack and waits until it is healthy."""
    compose(project, "up", "-d", files=files)
    wait_healthy(project, timeout)


def down(project, files=(COMPOSE_FILE,)):
    """Removes the stack with its volumes."""
    compose(project, "down", "-v", "-t", "5", "--remove-orphans", files=files)


def wait_healthy(project, timeout=120):
    """Waits until every container runs and those with a health check are healthy."""
    deadline = time.monotonic() + timeout
    while True:
        waiting = [c.service for c in containers(project)
                   if not c.state["Running"] or c.health not in ("healthy", "none")]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not healthy after {timeout} s: {', '.join(waiting)}")
        time.sleep(0.3)


@functools.lru_cache
def _file_in(container_id, path):
    return docker("exec", container_id, "cat", path)


def _secret(item, *names):
    """The first of the variables that is set, itself or through its _FILE form."""
    for name in names:
        if item.env.get(name):
            return item.env[name]
        if item.env.get(name + "_FILE"):
            return _file_in(item.id, item.env[name + "_FILE"]).rstrip("\n")
    return None


def postgres_user(item):
    return _secret(item, "POSTGRES_USER") or "postgres"


def mariadb_root_password(item):
    return _secret(item, "MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD") or ""


def psql(item, database, sql):
    """Runs SQL (psql's language) as the superuser; returns unaligned rows."""
    return run(["docker", "exec", "-i", item.id, "psql", "-XtAq", "-v", "ON_ERROR_STOP=1",
                "-U", postgres_user(item), "-d", database], stdin=sql.encode()).decode()


def mariadb(item, sql, database="", raw=False):
    """Runs SQL as root on the socket; returns tab-separated rows, one a line
    unless raw, which leaves out the client's escapes."""
    argv = ["docker", "exec", "-i", "-e", "MYSQL_PWD", item.id, "mariadb", "-uroot", "-N",
            "--batch", "--default-character-set=utf8mb4", *(["--raw"] if raw else []), database]
    return run(argv, stdin=sql.encode(),
               env={"MYSQL_PWD": mariadb_root_password(item)}).decode()


def rgw_env():
    """The settings that tests/env/rgw.sh wrote: AWS_* and RGW_*."""
    lines = (RUN_DIR / "rgw.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line)


def aws(*args, endpoint_variable="AWS_ENDPOINT_URL"):
    """Runs Debian's awscli against the test server and returns its output."""
    settings = rgw_env()
    bundle = settings["RGW_CA_BUNDLE"]
    env = {**settings, "AWS_CA_BUNDLE": bundle, "REQUESTS_CA_BUNDLE": bundle,
           "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    return run(["/usr/bin/aws", "--endpoint-url", settings[endpoint_variable], *args],
               env=env).decode()
