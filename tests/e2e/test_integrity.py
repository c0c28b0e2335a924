"""A backup that is not sound changes nothing: the stack is never stopped and nothing staged stays."""
import hashlib
import subprocess

import harness
import pytest
from harness import compress, read_tree, restore, write_tree


@pytest.fixture
def live(mini, tmp_path):
    """A running service with data, and the tree of a backup of it."""
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    root = mini.path(volume)
    write_tree(root, {"live": "data", "sub/more": "data"})
    tree = write_tree(tmp_path / "tree", {f"app/volumes/data/f{index}": "new" * 500 for index in range(50)})
    return mini, root, tree


def sound_archive(tree):
    tar = subprocess.run(["tar", "--owner=0", "--group=0", "-C", tree, "-cf", "-", "app"], stdout=subprocess.PIPE,
                         check=True).stdout
    return compress(tar)


def attempt(live, store, content, code=5, words="Archive integrity check failed", **options):
    mini, root, _ = live
    name = harness.backup_name(mini.project)
    store.put_bytes(name, content)
    before = [read_tree(root)]
    events = harness.Events()
    result = restore(mini.project, store, **options)
    assert result.code == code, result
    assert words in result.err, result
    harness.assert_untouched(mini.project, [root], before, events)
    return result


def test_corrupt(live, store):
    content = bytearray(sound_archive(live[2]))
    content[len(content) // 2] ^= 0x10
    attempt(live, store, bytes(content))


@pytest.mark.parametrize("cut", [1, 4, 100])
def test_truncated(live, store, cut):
    attempt(live, store, sound_archive(live[2])[:-cut])


def test_truncated_between_frames(live, store):
    tar = subprocess.run(["tar", "-C", live[2], "-cf", "-", "app"], stdout=subprocess.PIPE, check=True).stdout
    attempt(live, store, compress(tar[:10240]))


def test_empty_object(live, store):
    attempt(live, store, b"")


def test_something_else(live, store):
    attempt(live, store, b"<html>not an archive</html>")


def test_hostile_name(live, store, tmp_path):
    tree = write_tree(tmp_path / "hostile", {"app/volumes/data/f": "x"})
    tar = subprocess.run(["tar", "-C", tree, "--transform", "s,/f$,/../../../../escape,", "-cf", "-", "app"],
                         stdout=subprocess.PIPE, check=True).stdout
    result = attempt(live, store, compress(tar))
    assert "escape" in result.err


def test_wrong_sha256(live, store):
    content = sound_archive(live[2])
    attempt(live, store, content, BACKUP_SHA256="0" * 64)
    mini, root, _ = live
    result = restore(mini.project, store, BACKUP_SHA256=hashlib.sha256(content).hexdigest().upper())
    assert result.code == 0, result
    assert len(read_tree(root)) == 50


def test_missing(live, store):
    mini, root, _ = live
    attempt(live, store, b"x", code=3, words="not found in S3 bucket", BACKUP_FILE=harness.backup_name(mini.project))


def test_wrong_project(live, store):
    name = store.put_bytes(harness.backup_name("other"), sound_archive(live[2]))
    attempt(live, store, b"x", code=2, words="is a backup of project 'other'", BACKUP_FILE=name)


def test_verify_changes_nothing(live, store):
    mini, root, tree = live
    store.put_bytes(harness.backup_name(mini.project), sound_archive(tree))
    before = [read_tree(root)]
    events = harness.Events()
    result = restore(mini.project, store, RESTORE_MODE="verify")
    assert result.code == 0, result
    assert "The backup is sound" in result.out
    harness.assert_untouched(mini.project, [root], before, events)


def test_verify_finds_a_bad_one(live, store):
    attempt(live, store, sound_archive(live[2])[:-7], RESTORE_MODE="verify")
