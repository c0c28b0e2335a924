"""What each process links, holds and is confined by, seen from outside while the shipped binaries restore."""
import json
import subprocess

import harness
import pytest
from harness import restore, write_tree
from processes import Watch

WORKERS = ("restore-fetcher", "restore-unpacker", "restore-docker-agent", "restore-stretcher")


def libraries(binary):
    done = subprocess.run(["ldd", harness.RESTORE.parent / binary], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_libraries():
    unpacker = libraries("restore-unpacker")
    for name in ("libcurl", "libssl", "expat", "cjson", "libxml2", "libicu"):
        assert name not in unpacker
    fetcher = libraries("restore-fetcher")
    assert "libcurl" in fetcher and "libarchive" not in fetcher and "cjson" not in fetcher
    stretcher = libraries("restore-stretcher")
    for name in ("libcurl", "libssl", "libarchive", "libzstd", "cjson"):
        assert name not in stretcher
    supervisor = libraries("restore")
    for name in ("libcurl", "libarchive", "libzstd", "libssl"):
        assert name not in supervisor
    assert "statically linked" in libraries("restore-stager")


def test_only_the_agent_has_code_for_the_socket():
    sources = [path for folder in ("common", "supervisor", "workers") for path in (harness.ROOT / folder).rglob("*.[ch]")]
    users = {path.parent.name for path in sources
             if any(word in path.read_text() for word in ("AF_UNIX", "UNIX_SOCKET_PATH", "sockaddr_un", "/containers/json"))}
    assert users == {"docker_agent"}
    allowed = {path.stem for path in (harness.ROOT / "policies").glob("*.def") if "AF_UNIX," in path.read_text()}
    assert allowed == {"docker_agent"}
    symbols = subprocess.run(["nm", "-D", harness.RESTORE], capture_output=True, text=True, check=True).stdout
    assert " connect" not in symbols and " socket" not in symbols


def test_hardening_of_the_binaries():
    for binary in ("restore", *WORKERS):
        headers = subprocess.run(["readelf", "-lWd", harness.RESTORE.parent / binary], capture_output=True, text=True,
                                 check=True).stdout
        assert "GNU_RELRO" in headers and "BIND_NOW" in headers and "PIE" in headers
        assert not any("GNU_STACK" in line and "RWE" in line for line in headers.splitlines())


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """One restore of 256 MiB, watched."""
    mini = harness.MiniStack()
    folder = tmp_path_factory.mktemp("watched")
    store = harness.Store(folder / "store")
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    data = write_tree(folder / "tree", {"app/volumes/data/small": "x"}) / "app/volumes/data"
    for index in range(16):
        subprocess.run(["dd", "if=/dev/urandom", f"of={data}/big{index}", "bs=1M", "count=16", "status=none"], check=True)
    store.put(mini.project, folder / "tree")
    with Watch() as watch:
        result = restore(mini.project, store)
    yield watch, result
    mini.remove()


def test_every_worker_is_filtered(watched):
    watch, result = watched
    assert result.code == 0, result
    assert set(watch.confinement) == {"restore", "fetcher", "unpacker", "docker-agent", "stager"}
    for name in ("fetcher", "unpacker", "docker-agent"):
        assert ("2", "1") in watch.confinement[name], name


def test_the_supervisor_is_filtered_too(watched):
    watch, _ = watched
    assert ("2", "1") in watch.confinement["restore"]


def layers_of(log):
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return {record["name"]: set(record["layers"]) for record in records if record["event"] == "worker"}


def test_each_worker_is_a_user_of_its_own(store, tmp_path):
    """What a worker says of itself was compared with /proc before it is recorded."""
    result = restore(harness.unique(), store, RESTORE_MODE="recover", AUDIT_LOG=tmp_path / "log")
    assert result.code == 0 and "Each worker is a user of its own: fetcher 65521, unpacker 65522" in result.out, result
    assert {"own_user", "capabilities"} <= layers_of(tmp_path / "log")["docker-agent"]


def test_without_capabilities_all_are_one_user(store, tmp_path):
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec setpriv --bounding-set=-all --inh-caps=-all "{harness.RESTORE}"\n')
    bare.chmod(0o755)
    result = restore(harness.unique(), store, binary=bare, RESTORE_MODE="recover", AUDIT_LOG=tmp_path / "log")
    assert result.code == 0 and "All workers are user 0" in result.out, result
    assert "own_user" not in layers_of(tmp_path / "log")["docker-agent"]


def test_workers_inherit_exactly_their_descriptors(watched):
    watch, _ = watched
    assert watch.descriptors["unpacker"] == set(range(7))


def test_workers_have_no_environment(watched):
    watch, _ = watched
    for name in ("fetcher", "unpacker", "docker-agent"):
        assert watch.environments.get(name, b"") == b"", name


def test_memory_of_all_processes(watched):
    watch, _ = watched
    total, parts = watch.total_mib()
    assert total < 96, parts
