"""No secret in command lines, environments, logs, events, images or any file that stays, after success and failure."""
import contextlib
import os
import re
import resource
import signal
import subprocess
import time
import uuid

import fill
import harness
import make_backup
import pytest
import stack
from fault_server import BUCKET, Server
from harness import restore
from processes import Watch, of_run
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


def memory_of(pid):
    """All that a process can read of itself, as root sees it."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            area, rights = line.split()[:2]
            start, end = (int(part, 16) for part in area.split("-"))
            if rights[0] != "r" or line.rstrip().endswith(("[vvar]", "[vvar_vclock]", "[vsyscall]")):
                continue
            try:
                memory.seek(start)
                found.append(memory.read(end - start))
            except OSError:
                pass
    return b"".join(found)


def holders(processes, planted):
    """(process, name of the secret) wherever one is in memory."""
    found = set()
    for pid, name in processes.items():
        content = memory_of(pid)
        assert len(content) > 100_000
        found |= {(name, which) for which, secret in planted.items() if any(form in content for form in forms(secret))}
    return found


@contextlib.contextmanager
def in_rgw(archive):
    """(URL, options, what is secret of them)"""
    bucket, keys = f"memory-{uuid.uuid4().hex[:8]}", stack.rgw_env()
    stack.aws("s3api", "create-bucket", "--bucket", bucket)
    stack.aws("s3", "cp", "--only-show-errors", str(archive), f"s3://{bucket}/{archive.name}")
    yield f"s3://{bucket}", options(), {"S3 key": keys["AWS_SECRET_ACCESS_KEY"], "S3 key id": keys["AWS_ACCESS_KEY_ID"]}
    stack.aws("s3", "rb", "--force", f"s3://{bucket}")


@contextlib.contextmanager
def with_temporary_keys(archive):
    """The same, with the token that belongs to such keys; the server has to have seen it."""
    token = "planted-session-token-" + uuid.uuid4().hex * 20
    keys = {"AWS_ACCESS_KEY_ID": "PLANTEDTEMPORARYKEY", "AWS_SECRET_ACCESS_KEY": "planted-temporary-secret",
            "AWS_SESSION_TOKEN": token}
    with Server() as server:
        server.put(archive.name, archive.read_bytes())
        yield (f"s3://{BUCKET}", {**keys, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": server.endpoint},
               {"S3 key": keys["AWS_SECRET_ACCESS_KEY"], "session token": token})
        assert any(token in headers.values() for _, _, headers in server.requests)


@pytest.fixture(params=[in_rgw, with_temporary_keys])
def download(request, mini, tmp_path):
    """A run that is in the midst of its download, held there: (supervisor, its processes, planted secrets)."""
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    data = harness.write_tree(tmp_path / "tree", {"app/volumes/data/": ""}) / "app/volumes/data/blob"
    subprocess.run(["dd", "if=/dev/urandom", f"of={data}", "bs=1M", "count=64", "status=none"], check=True)
    store = harness.Store(tmp_path / "made")
    archive = store.directory / store.put(mini.project, tmp_path / "tree")
    with request.param(archive) as (url, settings, planted):
        process = harness.start_restore(mini.project, url, LOG_LEVEL="debug", **settings)
        deadline = time.monotonic() + 240
        while not any(mini.path(volume).glob(".restore-*/new/*")):
            assert time.monotonic() < deadline and process.poll() is None, process.communicate()
            time.sleep(0.005)
        processes = of_run(process.pid, mini.project)
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        assert set(processes.values()) == {"restore", "fetcher", "unpacker", "docker-agent", "stager"}
        yield process, processes, planted
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        process.terminate()
        assert_absent("the log", b"".join(process.communicate(timeout=240)), planted)
    restore(mini.project, store, RESTORE_MODE="recover")


def test_in_memory_only_the_fetcher_has_the_keys(download):
    """While it downloads; that the fetcher's are found shows that the search finds what is there."""
    process, processes, planted = download
    assert holders(processes, planted) == {("fetcher", name) for name in planted}


def test_no_process_can_leave_a_core(download):
    """Limits of the workers; what they hold is marked besides, and locked where that is allowed."""
    process, processes, _ = download
    for pid, name in processes.items():
        limits = open(f"/proc/{pid}/limits").read()
        if name != "restore":
            assert re.search(r"^Max core file size +0 +0 ", limits, re.M), name
        if name == "fetcher":
            assert int(re.search(r"^VmLck:\s+(\d+) kB", open(f"/proc/{pid}/status").read(), re.M).group(1)) > 0
            assert re.search(r"^VmFlags:.* lo .*\bdd\b", open(f"/proc/{pid}/smaps").read(), re.M)


def dumps_core(arguments, environment, folder, start):
    """Whether the kernel says that a process which aborts left a core, all limits raised."""
    def prepare():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.chdir(folder)
    process = subprocess.Popen(arguments, env=environment, preexec_fn=prepare, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    start(process)
    os.kill(process.pid, signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = status
    process.stdout.close()
    assert os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status) or any(folder.iterdir())


def test_the_supervisor_leaves_no_core(mini, store, tmp_path):
    """With a control: a process of the same limits that may be dumped."""
    mini.add("app")
    folder = tmp_path / "cores"
    folder.mkdir()
    environment = harness.environment(mini.project, store, RESTORE_MODE="list")
    store.put_bytes(harness.backup_name(mini.project), b"x")
    assert not dumps_core([str(harness.RESTORE)], environment, folder, lambda process: process.stdout.readline())
    assert dumps_core(["sh", "-c", "echo; exec sleep 60"], {"PATH": os.environ["PATH"]}, folder,
                      lambda process: (process.stdout.readline(), time.sleep(0.3)))
    subprocess.run(["sh", "-c", "rm -f -- *core*"], cwd=folder, check=True)


def test_after_the_databases_nobody_has_their_passwords(backup, tmp_path):
    """Held when the stack starts again: in no process of the run is a password of a database, or a key of S3 but the
    fetcher's."""
    archive, bucket = backup
    stack.aws("s3", "cp", "--only-show-errors", str(archive), f"s3://{bucket}/{archive.name}")
    planted = secrets()
    process = harness.start_restore(PROJECT, f"s3://{bucket}", **options())
    try:
        said = b""
        while b"Phase 7" not in said:
            line = process.stdout.readline()
            assert line, said + process.stderr.read()
            said += line
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(1)  # what was asked is answered and put away
        found = holders(of_run(process.pid, PROJECT), planted)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    assert {(name, which) for name, which in found if name != "fetcher"} == set()


def test_after_kill_nothing_is_left_on_disk(download, mini):
    """kill -9 of the run in the midst of the download: neither its volume nor its containers have a secret."""
    process, processes, planted = download
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for pid in processes:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    names = harness.leftovers(mini.project)
    assert names
    for name in names:
        shown = subprocess.run(["docker", "inspect", name], stdout=subprocess.PIPE, check=True).stdout
        assert_absent(name, shown, planted)
    volumes = [name for name in stack.docker("volume", "ls", "-q").split() if name.startswith(f"restore-{mini.project}")]
    for name in volumes:
        for path in mini.path(name).rglob("*"):
            assert not path.is_file() or all(form not in path.read_bytes() for secret in planted.values() for form in forms(secret))
