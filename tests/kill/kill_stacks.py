"""Two small stacks that start fast, what their state is, and what a run may not leave behind.

The state of a stack is one digest a volume (names, kinds, modes, owners, times, contents) and the rows of every
database. `mark` changes all of it, so that old and new data differ everywhere.
"""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import age_archive  # noqa: E402
import harness  # noqa: E402
import stack  # noqa: E402

PASSWORD = "kill-test"
PROJECT_LABEL = "restore.project"
SERVER_DEADLINE = 600  # on a machine that has much else to do
MEMORY = "/dev/shm"  # of the data directories: a server that is killed loses nothing by it, and syncs are free
# The machine is not switched off under the servers: their own syncs and big logs only take time.
POSTGRES_FLAGS = ("postgres", "-c", "fsync=off", "-c", "max_wal_size=32MB", "-c", "shared_buffers=16MB")
MARIADB_FLAGS = ("mariadbd", "--innodb-log-file-size=4M", "--innodb-flush-method=nosync",
                 "--innodb-buffer-pool-size=16M", "--innodb-buffer-pool-dump-at-shutdown=OFF")


def tree_digest(root):
    """One line for a whole tree; the root's own attributes count too."""
    digest = hashlib.sha256()
    for path in [pathlib.Path(root), *sorted(pathlib.Path(root).rglob("*"))]:
        status = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        facts = [str(path.relative_to(root)), oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns]
        digest.update(repr(facts).encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


class VolumeStack:
    """A service with two volumes and one path in its container's own layer, beside a paused one. The backup is encrypted
    with a passphrase, so that a stretcher takes part."""

    kind = "volumes"
    layer = True
    encrypted = True

    def __init__(self, folder):
        self.mini = harness.MiniStack(harness.unique("kill"))
        self.project = self.mini.project
        self.store = harness.Store(folder / self.project)
        self.folder = folder
        self.roots = {}
        self.options = {}  # of every run
        self.new = None
        try:
            self.build()
        except BaseException:
            self.remove()
            raise

    def build(self):
        self.add_services()
        self.fill()
        self.pack(self.folder / f"{self.project}-tree")
        self.wait_servers()
        self.restart_policies = self.policies()

    def add_services(self):
        mounts, paths = [], {}
        for name in ("data", "more"):
            volume = self.mini.volume(name)
            mounts.append((volume, f"/{name}"))
            paths[name] = f"/{name}"
            self.roots[name] = self.mini.path(volume)
        if self.layer:
            paths["own"] = "/own"
        self.app = self.mini.add("app", paths=paths, mounts=mounts, start=True,
                                 options=["--restart", "unless-stopped", *self.app_options()])
        self.side = self.mini.add("side", start=True, options=["--restart", "on-failure:3"])
        stack.docker("pause", self.side)

    def app_options(self):
        return []

    def fill(self):
        for name, root in self.roots.items():
            harness.write_tree(root, {f"f{n}": f"{name} {n}" for n in range(40)})
            harness.write_tree(root, {f"sub/{n}/file": "x" * 5000 for n in range(10)})
            (root / "link").symlink_to("f1")
            os.chown(root / "f3", 1000, 1000)
            os.chmod(root / "sub", 0o750)
        if self.layer:
            stack.docker("exec", self.app, "sh", "-c", "mkdir /own; echo archive >/own/content")

    def pack(self, tree):
        """The archive: what is there now, as the sidecar packs it (tar keeps modes and times)."""
        for name, root in self.roots.items():
            target = tree / "app" / "volumes" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", f"{root}/.", str(target)], check=True)
        if self.layer:
            harness.write_tree(tree / "app" / "volumes" / "own", {"content": "archive\n"})
        self.add_dumps(tree)
        name = self.store.put(self.project, tree)
        if self.encrypted:
            self.encrypt(self.store.directory / name)

    def encrypt(self, archive):
        passphrase = self.folder / f"{self.project}-passphrase"
        passphrase.write_text(PASSWORD)
        self.options = {"AGE_PASSPHRASE_FILE": passphrase}
        archive.with_name(archive.name + ".age").write_bytes(age_archive.encrypt(archive.read_bytes(), PASSWORD.encode()))
        archive.unlink()

    def add_dumps(self, tree):
        pass

    def wait_servers(self):
        pass

    def mark(self, text):
        """Makes the live data differ from the archive's, in every volume and database."""
        for root in self.roots.values():
            (root / "point").write_text(text)
            (root / "f0").write_text(text)
            (root / "sub" / "1" / "file").write_text(text)
            (root / "f7").unlink(missing_ok=True)
        if self.layer:
            stack.docker("exec", self.app, "sh", "-c", f"echo '{text}' >/own/content")

    def take(self):
        """The state of all data."""
        found = {name: tree_digest(root) for name, root in self.roots.items()}
        if self.layer:
            out = subprocess.run(["docker", "exec", self.app, "cat", "/own/content"], capture_output=True, check=False)
            found["own"] = out.stdout.decode()
        return found

    def containers(self):
        return self.mini.states()

    def policies(self):
        return {name: stack.docker("inspect", "-f", "{{.HostConfig.RestartPolicy}}", name).strip()
                for name in self.mini.names}

    def problems(self, before):
        """What is not as it has to be after a recovery, data aside."""
        found = [f"left behind: {name}" for name in harness.leftovers(self.project)]
        found += [f"left behind: image {line}" for line in images(self.project)]
        found += [f"left behind: {path}" for path in harness.staging_folders(*self.roots.values())]
        details = json.loads(stack.docker("inspect", *self.mini.names))
        states = {item["Name"].lstrip("/"): item["State"]["Status"] for item in details}
        policies = {item["Name"].lstrip("/"): "{%s %d}" % (item["HostConfig"]["RestartPolicy"]["Name"],
                                                           item["HostConfig"]["RestartPolicy"]["MaximumRetryCount"])
                    for item in details}
        found += [f"{name} is {state}, was {before[name]}" for name, state in states.items() if state != before[name]]
        found += [f"restart policy of {name} is {policy}, was {self.restart_policies[name]}"
                  for name, policy in policies.items() if policy != self.restart_policies[name]]
        return found

    def remove(self):
        """Whatever a failed point left, too."""
        for what, command in (("ps -aq", "rm -f"), ("volume ls -q", "volume rm -f"), ("images -q", "rmi -f")):
            ids = stack.docker(*what.split(), "--filter", f"label={PROJECT_LABEL}={self.project}").split()
            if ids:
                subprocess.run(["docker", *command.split(), *ids], capture_output=True, check=False)
        self.mini.remove()


def images(project):
    return stack.docker("images", "-q", "--filter", f"label={PROJECT_LABEL}={project}").split()


class DatabaseStack(VolumeStack):
    """The same service with a PostgreSQL and a MariaDB that it depends on, each with two databases."""

    kind = "databases"
    layer = False
    encrypted = False

    def add_services(self):
        self.directories = []
        self.pg = self.server("db", "postgres", "/var/lib/postgresql/data", POSTGRES_FLAGS, {
            "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_USER": "admin", "POSTGRES_DB": "one", "POSTGRES_INITDB_ARGS": "--no-sync"})
        self.maria = self.server("maria", "mariadb", "/var/lib/mysql", MARIADB_FLAGS,
                                 {"MARIADB_ROOT_PASSWORD": PASSWORD, "MARIADB_DATABASE": "one"})
        super().add_services()

    def app_options(self):
        return ["--label", "com.docker.compose.depends_on=db:service_started:false,maria:service_started:false"]

    def server(self, service, image, path, command, environment):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.project}-{service}-", dir=MEMORY))
        self.directories.append(folder)
        options = [part for key, value in environment.items() for part in ("-e", f"{key}={value}")]
        return self.mini.add(service, mounts=[(folder, path)], image=f"restore-test/{image}", command=command,
                             start=True, options=[*options, "--restart", "always"])

    def postgres(self, sql, database="one"):
        return self.client(["docker", "exec", "-i", self.pg, "psql", "-XtAqv", "ON_ERROR_STOP=1", "-U", "admin", "-d",
                            database], sql)

    def mariadb(self, sql):
        return self.client(["docker", "exec", "-i", "-e", f"MYSQL_PWD={PASSWORD}", self.maria, "mariadb", "-N", "-uroot"],
                           sql)

    @staticmethod
    def client(command, sql):
        return subprocess.run(command, input=sql.encode(), capture_output=True, check=False, timeout=SERVER_DEADLINE)

    def remove(self):
        super().remove()
        for folder in self.directories:
            shutil.rmtree(folder, ignore_errors=True)

    def problems(self, before):
        return super().problems(before) + [f"left behind: {path}" for path in harness.staging_folders(*self.directories)]

    def until_answered(self, ask, sql):
        """The answer of a server that may be starting still."""
        deadline = time.monotonic() + SERVER_DEADLINE
        while True:
            done = ask(sql)
            if done.returncode == 0:
                return done.stdout.decode().strip()
            if time.monotonic() > deadline:
                return "no answer: " + done.stderr.decode(errors="replace").strip()[-300:]
            time.sleep(0.2)

    def wait_servers(self):
        assert self.until_answered(self.postgres, "SELECT 1") == "1"
        assert self.until_answered(self.mariadb, "SELECT 1") == "1"

    def fill(self):
        super().fill()
        self.wait_first_start()
        table = "CREATE TABLE items (id int primary key, text varchar(200)); " \
                "INSERT INTO items VALUES (1, 'archive'), (2, 'archive');"
        for sql, database in (("CREATE DATABASE two", "one"), (table, "one"), (table, "two")):
            assert self.postgres(sql, database).returncode == 0
        assert self.mariadb(f"CREATE DATABASE two; USE one; {table} USE two; {table}").returncode == 0

    def wait_first_start(self):
        """Past the temporary server of the images' first start: it does not listen on TCP."""
        deadline = time.monotonic() + SERVER_DEADLINE
        ports = {self.pg: 5432, self.maria: 3306}
        for name, port in ports.items():
            while subprocess.run(["docker", "exec", name, "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"],
                                 capture_output=True, check=False).returncode != 0:
                assert time.monotonic() < deadline, name
                time.sleep(0.2)

    def add_dumps(self, tree):
        """As the sidecar dumps, but for the pages of MariaDB's manual: they are most of the bytes."""
        without_help = [f"--ignore-table=mysql.help_{name}" for name in ("topic", "keyword", "relation", "category")]
        dumps = {"db/database/pg_dumpall.sql": ["docker", "exec", self.pg, "pg_dumpall", "-U", "admin", "--clean", "--if-exists"],
                 "maria/mariadb_dump/all_databases.sql": ["docker", "exec", "-e", f"MYSQL_PWD={PASSWORD}", self.maria,
                                                          "mariadb-dump", "-uroot", "--all-databases", *without_help]}
        for path, command in dumps.items():
            harness.write_tree(tree, {path: stack.run(command)})

    def mark(self, text):
        super().mark(text)
        sql = f"UPDATE items SET text = '{text}' WHERE id = 1; INSERT INTO items VALUES (100, '{text}');" \
              "DELETE FROM items WHERE id = 2;"
        clean = "DELETE FROM items; INSERT INTO items VALUES (1, ''), (2, '');"
        for database in ("one", "two"):
            assert self.postgres(clean + sql, database).returncode == 0
        both = " ".join(f"USE {database}; {clean} {sql}" for database in ("one", "two"))
        assert self.mariadb(both).returncode == 0

    def take(self):
        found = super().take()
        for database in ("one", "two"):
            found[f"postgres {database}"] = self.until_answered(
                lambda sql, name=database: self.postgres(sql, name), "SELECT * FROM items ORDER BY id")
            found[f"mariadb {database}"] = self.until_answered(
                self.mariadb, f"SELECT * FROM `{database}`.items ORDER BY id")
        return found


class LayerStack(DatabaseStack):
    """The same with a PostgreSQL on no volume: what a load does to it is undone by a dump of what was there."""

    kind = "undo dumps"

    def server(self, service, image, path, command, environment):
        if service != "db":
            return super().server(service, image, path, command, environment)
        options = [part for key, value in {**environment, "PGDATA": "/srv/pg"}.items() for part in ("-e", f"{key}={value}")]
        return self.mini.add(service, image=f"restore-test/{image}", command=command, start=True,
                             options=[*options, "--restart", "always"])
