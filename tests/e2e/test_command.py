"""The command: help, version, options and their errors, list, exit codes, the specification's messages."""
import json
import re
import subprocess

import harness
import pytest
from harness import RESTORE, environment, restore, write_tree


def run(*arguments, **values):
    return subprocess.run([str(RESTORE), *arguments], env=values, capture_output=True, text=True, timeout=30,
                          check=False)


def test_version():
    done = run("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"restore \d+\.\d+\.\d+\n(policy \w+ +sha256:[0-9a-f]{64}\n){7}", done.stdout)


def test_help_names_every_option_and_exit_code():
    done = run("--help")
    assert done.returncode == 0
    table = (harness.ROOT / "supervisor/options.def").read_text()
    options = re.findall(r"^\w+_OPTION\((\w+),", table, re.M)
    assert len(options) > 25
    for option in options:
        assert re.search(rf"^  {option} ", done.stdout, re.M), option
    codes = re.findall(r"^EXIT_CODE\(\w+, (\d+), \"(.*)\"\)", (harness.ROOT / "include/exit_codes.def").read_text(), re.M)
    for number, meaning in codes:
        assert re.search(rf"^  {number} +{re.escape(meaning)}$", done.stdout, re.M)


@pytest.mark.parametrize("document", ["README.md", ".env.example", "compose.yaml"])
def test_documents_name_every_option(document):
    text = (harness.ROOT / document).read_text()
    for option in re.findall(r"^\w+_OPTION\((\w+),", (harness.ROOT / "supervisor/options.def").read_text(), re.M):
        assert re.search(rf"\b{option}\b", text), f"{document} lacks {option}"


def test_readme_has_the_exit_codes():
    text = (harness.ROOT / "README.md").read_text()
    for number, meaning in re.findall(r"^EXIT_CODE\(\w+, (\d+), \"(.*)\"\)",
                                      (harness.ROOT / "include/exit_codes.def").read_text(), re.M):
        assert f"| {number} | {meaning} |" in text


def test_unknown_argument():
    done = run("--restore")
    assert done.returncode == 2
    assert "--help" in done.stderr


@pytest.mark.parametrize("missing", ["PROJECT_NAME", "S3_BUCKET_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_required_variables(missing):
    values = {"PROJECT_NAME": "p", "S3_BUCKET_URL": "s3://bucket/x", "AWS_ACCESS_KEY_ID": "a",
              "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    del values[missing]
    done = run(**values)
    assert done.returncode == 2
    assert f"Required environment variable {missing} is not set" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_region_is_required_for_aws_itself(store):
    done = run(PROJECT_NAME="p", S3_BUCKET_URL="s3://bucket", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="s")
    assert done.returncode == 2
    assert "AWS_DEFAULT_REGION" in done.stderr


@pytest.mark.parametrize("name,value", [
    ("RESTORE_MODE", "newest"), ("SKIP_STOP", "maybe"), ("STOP_TIMEOUT", "soon"), ("MIN_FREE_SPACE", "lots"),
    ("OWNERSHIP", "mine"), ("PROJECT_NAME", "../x"), ("PROJECT_NAME", "a b"), ("BACKUP_SHA256", "abc"),
    ("DOCKER_HOST", "tcp://127.0.0.1:2375"), ("S3_BUCKET_URL", "http://x/y"), ("S3_BUCKET_URL", "s3://")])
def test_bad_values_name_the_variable(store, name, value):
    result = restore("p", store, **{name: value}) if name not in ("PROJECT_NAME", "S3_BUCKET_URL") else \
        restore(value if name == "PROJECT_NAME" else "p", value if name == "S3_BUCKET_URL" else store,
                AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="s")
    assert result.code == 2, result
    assert f"ERROR: {name}" in result.err
    assert value in result.err


def test_specific_needs_a_file(store):
    result = restore("p", store, RESTORE_MODE="specific")
    assert result.code == 2
    assert "BACKUP_FILE" in result.err


def test_no_backups_found(store):
    result = restore("myapp", store, RESTORE_MODE="list")
    assert result.code == 3
    assert "ERROR: No backups found for project 'myapp' in S3 bucket" in result.err


def test_docker_socket_message(store, tmp_path):
    result = restore("myapp", store, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert result.code == 6
    assert "Cannot access Docker daemon. Is /var/run/docker.sock mounted?" in result.err


def test_insufficient_space_message(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", small], check=True)
    try:
        mini.add("other", paths={"d": "/d"}, mounts=[(small, "/d")])
        events = harness.Events()
        result = restore(mini.project, store, MIN_FREE_SPACE=None)
    finally:
        subprocess.run(["umount", small], check=True)
    assert result.code == 7, result
    assert re.search(r"Insufficient disk space\. Required: 5GB, Available: \d+\.\dGB", result.err)
    harness.assert_untouched(mini.project, [mini.path(volume)], [{}], events)


def test_list_is_exact_and_newest_first(store):
    for index in range(30):
        store.put_bytes(harness.backup_name("app", f"202601{index + 1:02}-120000"), b"x" * index)
        store.put_bytes(harness.backup_name("app_two", f"202601{index + 1:02}-120000"), b"")
    store.put_bytes("notes.txt", b"")
    store.put_bytes("backup_app_latest.tar.zst", b"")
    result = restore("app", store, RESTORE_MODE="list")
    assert result.code == 0, result
    lines = [line for line in result.out.splitlines() if "backup_" in line]
    assert len(lines) == 30
    assert all("backup_app_2026" in line for line in lines)
    assert [line[:19] for line in lines] == sorted((line[:19] for line in lines), reverse=True)
    assert "29 B" in lines[0]


def test_list_into_a_character_device(store):
    """stdio asks such a device what it is, unless it was given a buffer: the supervisor's policy has no call for that."""
    store.put_bytes(harness.backup_name("app"), b"12345")
    with open("/dev/null", "wb") as nothing:
        done = subprocess.run([str(harness.RESTORE)], env=harness.environment("app", store, RESTORE_MODE="list"), stdin=subprocess.DEVNULL,
                              stdout=nothing, stderr=subprocess.PIPE, timeout=harness.DEADLINE, check=False)
    assert done.returncode == 0, done.stderr


def test_list_as_json(store):
    store.put_bytes(harness.backup_name("app"), b"12345")
    result = restore("app", store, RESTORE_MODE="list", LOG_FORMAT="json")
    assert result.code == 0, result
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [(row["size"], row["timestamp"]) for row in rows if "name" in row] == [(5, "20260101-120000")]


def test_latest_takes_the_newest_of_exactly_this_project(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    for project, when, content in ((mini.project, "20260101-000000", "old"), (mini.project, "20260301-000000", "new"),
                                   (mini.project, "20260201-000000", "mid"), (mini.project + "_x", "20270101-000000", "other")):
        store.put(project, write_tree(tmp_path / content, {"app/volumes/data/f": content}), when=when)
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert harness.read_tree(mini.path(volume)) == {"f": b"new"}


def test_backup_file_wins_over_the_mode(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    old = store.put(mini.project, write_tree(tmp_path / "old", {"app/volumes/data/f": "old"}), when="20260101-000000")
    store.put(mini.project, write_tree(tmp_path / "new", {"app/volumes/data/f": "new"}), when="20260301-000000")
    for mode in ("latest", "specific", "list"):
        harness.write_tree(mini.path(volume), {"f": "damaged"})
        result = restore(mini.project, store, BACKUP_FILE=old, RESTORE_MODE=mode)
        assert result.code == 0, result
        assert harness.read_tree(mini.path(volume)) == {"f": b"old"}


def test_backup_file_is_no_pattern(store):
    store.put_bytes(harness.backup_name("app"), b"")
    result = restore("app", store, BACKUP_FILE="backup_app_*")
    assert result.code == 2, result
    result = restore("app", store, BACKUP_FILE=harness.backup_name("app"))
    assert result.code == 3, result


def test_json_log_is_one_object_a_line(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x", "gone/volumes/v/f": "x"}))
    result = restore(mini.project, store, LOG_FORMAT="json")
    assert result.code == 10, result
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert {"time", "level", "source", "message"} <= set(rows[0])
    assert [row["message"] for row in rows if row["level"] == "warning"] == [
        "No container found for service 'gone'. Skipping volume restoration."]
    assert result.err == ""


def test_summary_and_progress(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x" * 1000}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    for words in ("Phase 1: Validation", "Phase 3: Backup Download & Extraction", "Phase 7: Stack Restart", "Downtime:",
                  "Restore completed successfully"):
        assert words in result.out
    assert re.search(r"Volume +app/data +1 entries +1\.0 kB", result.out)


def test_progress_on_a_terminal_is_one_live_line(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    data = write_tree(tmp_path / "tree", {"app/volumes/data/": ""}) / "app/volumes/data/big"
    subprocess.run(["dd", "if=/dev/urandom", f"of={data}", "bs=1M", "count=300", "status=none"], check=True)
    store.put(mini.project, tmp_path / "tree")
    values = environment(mini.project, store)
    done = subprocess.run(["script", "-qec", str(RESTORE), "/dev/null"], env={**values, "TERM": "xterm"},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert b"\r\x1b[KDownloading and verifying:" in done.stdout
    assert re.search(rb"of 314\.\d MB \(\d+%\), [\d.]+ [kM]B/s, \d+ s left, app/data", done.stdout)


def test_workers_are_found_in_libexec_and_never_on_the_path(store, tmp_path):
    """make install honours DESTDIR and PREFIX; a worker of the same name on PATH is not asked."""
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}/root", "PREFIX=/opt/restore"], cwd=harness.ROOT,
                   check=True)
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "restore-fetcher").write_text("#!/bin/sh\ntouch $0.called\n")
    (fake / "restore-fetcher").chmod(0o755)
    store.put_bytes(harness.backup_name("app"), b"x")
    installed = tmp_path / "root/opt/restore/bin/restore"
    result = restore("app", store, binary=installed, RESTORE_MODE="list", PATH=f"{fake}:/usr/bin:/bin")
    assert result.code == 0, result
    assert not (fake / "restore-fetcher.called").exists()
    assert sorted(path.name for path in (tmp_path / "root/opt/restore/libexec/restore").iterdir()) == [
        "restore-docker-agent", "restore-fetcher", "restore-stager.tar", "restore-stretcher", "restore-unpacker"]
    (tmp_path / "root/opt/restore/libexec/restore/restore-fetcher").unlink()
    result = restore("app", store, binary=installed, RESTORE_MODE="list", PATH=f"{fake}:/usr/bin:/bin")
    assert result.code == 1 and "neither beside" in result.err, result


def test_another_socket_by_docker_host(mini, store, tmp_path):
    mini.add("app")
    socket = tmp_path / "docker.sock"
    socket.symlink_to("/var/run/docker.sock")
    result = restore(mini.project, store, DOCKER_HOST=f"unix://{socket}", RESTORE_MODE="recover")
    assert result.code == 0, result
