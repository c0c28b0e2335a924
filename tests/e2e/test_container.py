"""The restore container as it ships: read-only root, no capabilities, little memory; as root and as an ordinary user."""
import json
import os
import subprocess
import uuid

import harness
import pytest
import stack
from harness import read_tree, write_tree

IMAGE = "restore:local"
SOCKET = "/var/run/docker.sock"
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "64", "--memory",
            "128m", "--memory-swap", "128m"]


def run_container(project, store, *flags, **options):
    """docker run of the image; the store is a directory, mounted read-only."""
    values = {"PROJECT_NAME": project, "S3_BUCKET_URL": "file:///backups", "MIN_FREE_SPACE": "1MB", **options}
    environment = [part for name, value in values.items() for part in ("-e", f"{name}={value}")]
    done = subprocess.run(["docker", "run", "--rm", *HARDENED, *flags, "-v", f"{SOCKET}:{SOCKET}", "-v",
                           f"{store.directory}:/backups:ro", *environment, IMAGE], capture_output=True, timeout=240,
                          check=False)
    return harness.Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def live(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {f"app/volumes/data/f{n}": "x" * 1000 for n in range(500)}))
    os.chmod(store.directory, 0o755)
    for path in store.directory.parents[:2]:
        path.chmod(0o755)
    return mini, mini.path(volume)


def test_as_root(live, store):
    mini, root = live
    result = run_container(mini.project, store)
    assert result.code == 0, result
    assert len(read_tree(root)) == 500
    assert harness.leftovers(mini.project) == []


def test_as_an_ordinary_user_with_the_socket_s_group(live, store):
    mini, root = live
    group = os.stat(SOCKET).st_gid
    result = run_container(mini.project, store, "--user", "65534:65534", "--group-add", str(group))
    assert result.code == 0, result
    assert len(read_tree(root)) == 500


def test_without_access_to_the_socket(live, store):
    mini, root = live
    result = run_container(mini.project, store, "--user", "65534:65534")
    assert result.code == 6, result
    assert "Cannot access Docker daemon. Is /var/run/docker.sock mounted?" in result.err
    assert read_tree(root) == {}


def test_evidence_goes_into_a_mounted_folder(live, store, tmp_path):
    """The root is read-only: the log, its signed head and the report come into a folder that is mounted."""
    mini, _ = live
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    subprocess.run(["minisign", "-G", "-W", "-p", "audit.pub", "-s", "audit.key"], cwd=evidence, input=b"", check=True,
                   capture_output=True)
    for user in ("0:0", "65534:65534"):
        for path in [evidence, *evidence.iterdir()]:
            os.chown(path, int(user.split(":")[0]), -1)
        result = run_container(mini.project, store, "--user", user, "--group-add", str(os.stat(SOCKET).st_gid),
                               "-v", f"{evidence}:/audit", AUDIT_LOG="/audit/log", REPORT_FILE="/audit/report.json",
                               AUDIT_SIGN_KEY_FILE="/audit/audit.key")
        assert result.code == 0, result
        assert json.loads((evidence / "report.json").read_text())["end"]["exit_code"] == 0
        subprocess.run(["minisign", "-Vm", "log.head", "-p", "audit.pub"], cwd=evidence, check=True)
    verify = subprocess.run([harness.RESTORE, "audit", "verify", evidence / "log"], capture_output=True, check=False)
    assert verify.returncode == 0 and b"of 2 runs" in verify.stdout, verify


def test_it_never_stops_itself(live, store):
    """The restore service may belong to the very stack that it restores."""
    mini, root = live
    labels = [f"com.docker.compose.project={mini.project}", "com.docker.compose.service=restore",
              "com.docker.compose.container-number=1", "com.docker.compose.oneoff=False"]
    result = run_container(mini.project, store, *[part for label in labels for part in ("--label", label)])
    assert result.code == 0, result
    assert len(read_tree(root)) == 500


def test_a_quarter_of_a_gigabyte_in_128_megabytes(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    data = write_tree(tmp_path / "tree", {"app/volumes/data/": ""}) / "app/volumes/data/big"
    subprocess.run(["dd", "if=/dev/urandom", f"of={data}", "bs=1M", "count=256", "status=none"], check=True)
    store.put(mini.project, tmp_path / "tree")
    result = run_container(mini.project, store)
    assert result.code == 0, result
    assert (mini.path(volume) / "big").stat().st_size == 256 << 20


def test_what_is_in_the_image():
    container = stack.docker("create", IMAGE).strip()
    try:
        exported = subprocess.run(["docker", "export", container], stdout=subprocess.PIPE, check=True).stdout
    finally:
        stack.docker("rm", container)
    listing = subprocess.run(["tar", "-tvf", "-"], input=exported, stdout=subprocess.PIPE, check=True).stdout.decode()
    names = [line.split()[5] for line in listing.splitlines()]
    programs = {os.path.basename(name) for name in names}
    assert not programs & {"sh", "bash", "dash", "busybox", "apt", "dpkg", "perl", "python3"}
    assert not any(line[3] in "sS" or line[6] in "sS" for line in listing.splitlines())
    assert {"restore", "restore-fetcher", "restore-unpacker", "restore-docker-agent", "restore-stager.tar"} <= programs
    history = stack.docker("history", "--no-trunc", IMAGE) + stack.docker("inspect", IMAGE)
    assert "SECRET" not in history


@pytest.mark.parametrize("version", ["1.29", "2"])
def test_both_composes_run_it(version, tmp_path):
    """cp .env.example .env, edit it, run: list against the real S3 server."""
    storage = stack.rgw_env()
    bucket = f"compose-{uuid.uuid4().hex[:8]}"
    stack.aws("s3api", "create-bucket", "--bucket", bucket)
    name = harness.backup_name("app")
    (tmp_path / name).write_bytes(b"x")
    try:
        stack.aws("s3", "cp", "--only-show-errors", str(tmp_path / name), f"s3://{bucket}/{name}")
        text = (harness.ROOT / ".env.example").read_text()
        values = {"PROJECT_NAME": "app", "S3_BUCKET_URL": f"s3://{bucket}", **{key: storage[key] for key in (
            "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")}}
        lines = [line for line in text.splitlines() if line.lstrip("#").split("=")[0] not in values]
        (tmp_path / ".env").write_text("\n".join(lines + [f"{key}='{value}'" for key, value in values.items()]) + "\n")
        command = ["docker-compose"] if version == "1.29" else subprocess.run(
            [harness.ROOT / "tests/env/compose_v2.sh"], stdout=subprocess.PIPE, check=True).stdout.decode().split()
        done = subprocess.run([*command, "-p", f"c{uuid.uuid4().hex[:6]}", "-f", str(harness.ROOT / "compose.yaml"), "--env-file",
                               str(tmp_path / ".env"), "run", "--rm", "-T", "restore"],
                              env={"PATH": os.environ["PATH"], "HOME": "/root", "RESTORE_MODE": "list"},
                              capture_output=True, text=True, timeout=120, check=False)
    finally:
        stack.aws("s3", "rb", "--force", f"s3://{bucket}")
    assert done.returncode == 0, done.stderr
    assert name in done.stdout


def test_compose_file_is_hardened():
    command = subprocess.run(["docker-compose", "-f", str(harness.ROOT / "compose.yaml"), "config"], capture_output=True,
                             text=True, check=True).stdout
    for words in ("read_only: true", "no-new-privileges", "ALL", "mem_limit"):
        assert words in command
    assert "tmpfs" not in json.dumps(command)
