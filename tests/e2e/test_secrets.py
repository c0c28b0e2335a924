"""No secret in command lines, environments, logs, events, images or any file that stays, after success and failure."""
import subprocess

import fill
import harness
import make_backup
import pytest
import stack
from harness import restore
from processes import Watch
from test_databases import break_dump
from test_s3 import options

PROJECT = "e2esecret"


@pytest.fixture(scope="module")
def backup(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secrets")
    stack.down(PROJECT)
    stack.up(PROJECT)
    fill.fill(PROJECT)
    archive = make_backup.build_archive(PROJECT, folder)
    bucket = f"secrets-{PROJECT}"
    stack.aws("s3api", "create-bucket", "--bucket", bucket)
    yield archive, bucket
    stack.aws("s3", "rb", "--force", f"s3://{bucket}")
    stack.down(PROJECT)


def secrets():
    database, maria = stack.container(PROJECT, "db"), stack.container(PROJECT, "maria")
    return {"S3 key": stack.rgw_env()["AWS_SECRET_ACCESS_KEY"], "PostgreSQL password": database.env["POSTGRES_PASSWORD"],
            "MariaDB root password": stack.mariadb_root_password(maria), "MariaDB password": maria.env["MYSQL_PASSWORD"]}


def forms(secret):
    """As it is, and as pgpass, my.cnf and JSON would have it."""
    escaped = secret.replace("\\", "\\\\")
    return {secret.encode(), escaped.encode(), escaped.replace(":", "\\:").encode(), escaped.replace('"', '\\"').encode()}


def assert_absent(where, content, planted):
    for name, secret in planted.items():
        for form in forms(secret):
            assert form not in content, f"{name} in {where}"


def files_of(container):
    """Everything in the container but its volumes, and what lies in its memory file systems."""
    exported = subprocess.run(["docker", "export", container.id], stdout=subprocess.PIPE, check=True).stdout
    shared = subprocess.run(["docker", "exec", container.id, "sh", "-c", "cat /dev/shm/* /tmp/* 2>/dev/null; ls -la /dev/shm /tmp"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    return exported + shared


def run_and_search(archive, bucket, expected, tmp_path):
    stack.aws("s3", "rm", "--recursive", "--only-show-errors", f"s3://{bucket}")
    stack.aws("s3", "cp", "--only-show-errors", str(archive), f"s3://{bucket}/{archive.name}")
    planted = secrets()
    events = subprocess.Popen(["docker", "events", "--format", "{{json .}}"], stdout=subprocess.PIPE)
    with Watch() as watch:
        result = restore(PROJECT, f"s3://{bucket}", LOG_LEVEL="debug", **options())
    events.terminate()
    seen = events.communicate()[0]
    assert result.code == expected, result
    assert_absent("the log", result.text.encode(), planted)
    assert_absent("command lines", b"".join(watch.command_lines), planted)
    assert_absent("environments of workers", b"".join(
        content for name, content in watch.environments.items() if name not in ("restore", "stager")), planted)
    assert b"exec_start" in seen
    assert_absent("the engine's events, with the command line of every exec", seen, planted)
    stack.wait_healthy(PROJECT)
    for item in stack.containers(PROJECT):
        if item.service in ("db", "maria"):
            assert_absent(f"files of {item.service}", files_of(item), planted)
    assert harness.leftovers(PROJECT) == []


def test_after_success(backup, tmp_path):
    run_and_search(*backup, 0, tmp_path)


def test_after_failure(backup, tmp_path):
    archive, bucket = backup
    broken = harness.Store(tmp_path / "broken")
    break_dump(archive, broken, tmp_path, PROJECT)
    run_and_search(next(broken.directory.iterdir()), bucket, 8, tmp_path)


def test_the_supervisor_s_own_environment_is_wiped(mini, store):
    """From its start on /proc/PID/environ is closed to others and, for root, without the secret."""
    mini.add("app")
    store.put_bytes(harness.backup_name(mini.project), b"x" * 1000)
    secret = "planted-S3-secret-0123456789"
    with Watch() as watch:
        restore(mini.project, store, AWS_SECRET_ACCESS_KEY=secret, AWS_ACCESS_KEY_ID="planted-id")
    assert watch.descriptors["restore"]
    late = watch.last_environment.get("restore", b"")
    assert secret.encode() not in late
