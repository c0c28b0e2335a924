"""The stack of tests/stack with a wanted amount of data, its volumes on the benchmarks' disk, and its backup in S3."""
import contextlib
import dataclasses
import os
import pathlib

import data
import disk
import harness
import make_backup
import stack
import storage
import unpacker_driver

MB = 1_000_000
# Issue 5 (a), at scale 1.
FILES, FILE_BYTES, POSTGRES_BYTES, MARIADB_BYTES = 20_000, 1600 * MB, 200 * MB, 100 * MB
MOUNTS = {"db": {"db-data": "/var/lib/postgresql/data"}, "maria": {"maria-data": "/var/lib/mysql"},
          "app": {"uploads": "/data/uploads", "config": "/data/config"}}
APP = 1000


@dataclasses.dataclass
class Archive:
    project: str
    files: int
    text: str
    path: pathlib.Path
    key: str

    @property
    def url(self):
        return f"s3://{storage.BUCKET}/{self.key.rsplit('/', 1)[0]}"

    @property
    def wants(self):
        """Every section of it, as unpacker_driver takes them."""
        volume, postgres, mariadb = unpacker_driver.VOLUME, unpacker_driver.POSTGRES, unpacker_driver.MARIADB
        return [(0, volume, "app", "uploads"), (1, volume, "app", "config"),
                (2, postgres, "db", "", "stack-admin"), (3, mariadb, "maria", "", "root")]


def compose_override(folder):
    """Bind mounts in the volumes' places, as a second Compose file."""
    lines = ["services:"]
    for service, mounts in MOUNTS.items():
        lines += [f"  {service}:", "    volumes:"]
        lines += [f"      - {folder / name}:{path}" for name, path in mounts.items()]
    path = folder / "volumes.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_folders(folder):
    for mounts in MOUNTS.values():
        for name in mounts:
            (folder / name).mkdir()
    os.chown(folder / "uploads", APP, APP)


def fill(project, folder, scale):
    files = int(FILES * scale)
    data.write_files(folder / "uploads", files, int(FILE_BYTES * scale), APP)
    data.write_files(folder / "config", 10, 100_000, APP)
    data.fill_postgres(stack.container(project, "db"), "shop", int(POSTGRES_BYTES * scale))
    data.fill_mariadb(stack.container(project, "maria"), "wiki", int(MARIADB_BYTES * scale))
    return files


def back_up(project, folder):
    make_backup.WORK_DIR = str(folder / "work")
    target = folder / "archive"
    target.mkdir()
    path = make_backup.build_archive(project, target)
    return path, storage.put(path, project)


@contextlib.contextmanager
def running(scale):
    """The stack, filled and backed up."""
    project = harness.unique("bench")
    with disk.folder(project) as folder:
        make_folders(folder)
        files = (stack.COMPOSE_FILE, compose_override(folder))
        try:
            stack.up(project, files)
            count = fill(project, folder, scale)
            path, key = back_up(project, folder)
            yield Archive(project, count, f"{FILE_BYTES * scale / 1e9:.2g} GB, {count:,} files", path, key)
        finally:
            stack.down(project, files)
