"""Space that runs out: on the volume's file system, of bytes and of inodes, at once or because another writes there too;
and on the engine's own disk, where the run's volume is. The old data stays, and no staging is left behind."""
import os
import subprocess

import pytest

import engine_faults as faults
import harness
import held
import stack
from harness import read_tree, restore, write_tree
from engine_faults import fill
from held import Held
from own_engine import Engine

MIB = 1024 * 1024
OLD = {"old": b"old", "sub/old": b"old"}


@pytest.fixture(scope="module", autouse=True)
def binaries():
    held.build()


@pytest.fixture
def small(tmp_path):
    """A file system of its own, of 300 MiB and 1000 files: more than is left free in any case."""
    image, folder = tmp_path / "disk", tmp_path / "small"
    with open(image, "wb") as file:
        file.truncate(300 * MIB)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "1000", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    (folder / "lost+found").rmdir()
    write_tree(folder, {"old": "old", "sub/old": "old"})
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def assert_refused(mini, result, folder, events):
    assert result.code == 7, result
    harness.assert_untouched(mini.project, [folder], [OLD], events)
    assert mini.states() == {mini.names[0]: "running"}


def sparse(folder, path, size):
    """A file of zeros that costs nothing here."""
    target = folder / path
    target.parent.mkdir(parents=True)
    target.touch()
    os.truncate(target, size)
    return folder


@pytest.mark.parametrize("what", ["bytes", "inodes"])
def test_the_volume_is_too_small(mini, store, tmp_path, small, what):
    """Compressed, the archive is tiny: only what is unpacked shows."""
    mini.add("app", paths={"data": "/data"}, mounts=[(small, "/data")], start=True)
    files = {f"app/volumes/data/d{n // 100}/f{n}": "" for n in range(1500)}
    tree = sparse(tmp_path / "tree", "app/volumes/data/big", 64 * MIB) if what == "bytes" else write_tree(tmp_path / "tree", files)
    store.put(mini.project, tree)
    events = harness.Events()
    result = restore(mini.project, store)
    assert_refused(mini, result, small, events)
    assert ("less than" if what == "bytes" else "No space left on device") in result.err


def test_another_fills_the_volume_meanwhile(mini, store, tmp_path, small):
    mini.add("app", paths={"data": "/data"}, mounts=[(small, "/data")], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {f"app/volumes/data/f{n}": os.urandom(50_000) for n in range(20)}))
    events = harness.Events()
    with Held(mini.project, store, "send stage 1", tmp_path) as run:
        filler = fill(small)  # less than one check of the reserve is staged: the file system itself says no
        result = run.finish()
    filler.unlink()
    assert_refused(mini, result, small, events)


def test_the_volume_is_full_when_it_is_swapped(mini, store, tmp_path, small):
    """Renames need no space."""
    mini.add("app", paths={"data": "/data"}, mounts=[(small, "/data")], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/new": "new"}))
    with Held(mini.project, store, "receive watching 2", tmp_path) as run:
        fill(small)
        result = run.finish()
    assert result.code == 0, result
    assert read_tree(small) == {"new": b"new"}
    assert mini.states() == {mini.names[0]: "running"}
    assert harness.leftovers(mini.project) == [] and harness.staging_folders(small) == []


@pytest.fixture(scope="module")
def own():
    engine = Engine(megabytes=520)
    try:
        engine.start()
        engine.load()
        engine.use()
        yield engine
    finally:
        engine.remove()


def test_the_engines_disk_is_full(own, tmp_path):
    """Where journal and note are written, and the engine's own files. (More points: make check-engine-faults.)"""
    assert faults.full_disk(own, tmp_path, "receive watching 2") == []


def test_a_spool_fills_the_engines_disk(own, tmp_path):
    """A path on no volume is spooled on the run's volume; so are dumps."""
    mini, store = harness.MiniStack(), harness.Store(tmp_path / "store")
    try:
        app = mini.add("app", paths={"own": "/own"}, start=True, command=("sh", "-c", "mkdir -p /own; sleep 1000"))
        store.put(mini.project, sparse(tmp_path / "tree", "app/volumes/own/big", 300 * MIB))
        result = restore(mini.project, store, DOCKER_HOST=own.host)
        assert result.code == 7 and "free in the run's volume" in result.err, result
        assert stack.docker("exec", app, "ls", "/own") == ""
        assert harness.leftovers(mini.project) == []
    finally:
        mini.remove()
