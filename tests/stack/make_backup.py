#!/usr/bin/python3
"""Makes a backup archive exactly as the backup sidecar does, and uploads it.

    make_backup.py PROJECT s3://BUCKET[/PREFIX]     prints the object's name
    make_backup.py PROJECT FOLDER                   leaves the archive there

As in the sidecar: `docker cp` by root without -a (every owner becomes 0:0),
pg_dumpall --clean --if-exists, mariadb-dump --all-databases, GNU tar through a
pipe into zstd. A service with volume labels gets no dump.
"""
import argparse
import datetime
import pathlib
import subprocess
import tempfile
import uuid

import stack

WORK_DIR = "/var/tmp/restore-tests"


def copy_volumes(item, folder):
    for name, path in item.volume_paths.items():
        target = folder / "volumes" / name
        target.mkdir(parents=True)
        stack.docker("cp", f"{item.id}:{path}/.", f"{target}/")


def dump_into(path, argv, env=None):
    path.parent.mkdir(parents=True)
    with path.open("wb") as out:
        stack.run(argv, stdout=out, env=env)


def dump_postgres(item, folder):
    dump_into(folder / "database" / "pg_dumpall.sql",
              ["docker", "exec", item.id, "pg_dumpall", "-U", stack.postgres_user(item),
               "--clean", "--if-exists"])


def dump_mariadb(item, folder):
    dump_into(folder / "mariadb_dump" / "all_databases.sql",
              ["docker", "exec", "-e", "MYSQL_PWD", item.id, "mariadb-dump", "-uroot",
               "--all-databases"],
              env={"MYSQL_PWD": stack.mariadb_root_password(item)})


def back_up_service(item, folder, dumps_beside_volumes=False):
    """Older archives hold a dump beside volumes: dumps_beside_volumes."""
    folder.mkdir()
    copy_volumes(item, folder)
    if item.volume_paths and not dumps_beside_volumes:
        return
    if item.database_kind == "postgres":
        dump_postgres(item, folder)
    elif item.database_kind == "mariadb":
        dump_mariadb(item, folder)


def collect(project, folder, dumps_beside_volumes=False):
    """Lays out the archive's content: one folder per service with the label."""
    for item in stack.containers(project):
        if item.in_backup and item.number == 1:
            back_up_service(item, folder / item.service, dumps_beside_volumes)


def archive_name(project, when=None):
    when = when or datetime.datetime.now()
    return f"backup_{project}_{when:%Y%m%d-%H%M%S}_{uuid.uuid4()}.tar.zst"


def pack(folder, archive):
    """tar | zstd through a pipe, with the services' folders at the top level."""
    names = sorted(entry.name for entry in folder.iterdir())
    with archive.open("wb") as out, \
            subprocess.Popen(["tar", "-C", folder, "-cf", "-", "--", *names],
                             stdout=subprocess.PIPE) as tar:
        subprocess.run(["zstd", "-q", "-T0"], stdin=tar.stdout, stdout=out, check=True)
    if tar.returncode != 0:
        raise stack.CommandFailed(f"tar: exit {tar.returncode}")


def build_archive(project, target_folder, when=None, dumps_beside_volumes=False):
    """Makes the archive in a local folder and returns its path."""
    target = pathlib.Path(target_folder) / archive_name(project, when)
    pathlib.Path(WORK_DIR).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK_DIR, prefix="backup-") as folder:
        collect(project, pathlib.Path(folder), dumps_beside_volumes)
        pack(pathlib.Path(folder), target)
    return target


def upload(path, url):
    """Uploads a file below s3://BUCKET[/PREFIX]; makes the bucket if need be."""
    bucket = url.removeprefix("s3://").split("/")[0]
    try:
        stack.aws("s3api", "head-bucket", "--bucket", bucket)
    except stack.CommandFailed:
        stack.aws("s3", "mb", f"s3://{bucket}")
    stack.aws("s3", "cp", "--only-show-errors", str(path), f"{url.rstrip('/')}/{path.name}")


def make_backup(project, url, **options):
    """Makes a backup of the running stack in S3 and returns the object's name."""
    pathlib.Path(WORK_DIR).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK_DIR, prefix="archive-") as folder:
        archive = build_archive(project, folder, **options)
        upload(archive, url)
        return archive.name


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("project")
    parser.add_argument("target")
    options = parser.parse_args()
    if options.target.startswith("s3://"):
        print(make_backup(options.project, options.target))
    else:
        print(build_archive(options.project, options.target).name)


if __name__ == "__main__":
    main()
