"""Sound archives of every make, restored by the whole chain onto a real volume: names, types, contents, links, modes,
owners, times to the nanosecond and attributes are those of the archive. Nothing that is sound is refused."""
import copy
import dataclasses
import os
import stat
import subprocess
import tempfile

import harness
import pytest
from archive_cases import PACKINGS, PLAIN, SOUND, build, expected
from harness import restore
from tar_maker import BLOCK, CHAR, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, zstd

KINDS = {REGULAR: stat.S_ISREG, DIRECTORY: stat.S_ISDIR, SYMLINK: stat.S_ISLNK, CHAR: stat.S_ISCHR, BLOCK: stat.S_ISBLK,
         FIFO: stat.S_ISFIFO}


@pytest.fixture(scope="module")
def target():
    """One service with one volume, restored over and over: each restore has to clear what the one before left."""
    mini = harness.MiniStack()
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    yield mini, os.fsencode(mini.path(volume))
    mini.remove()


LATEST = 15032385535 * 10**9  # in 2446: what ext4 can hold


def nanoseconds(whole, part):
    return min(LATEST, int(whole) * 10**9 + int(part.ljust(9, "0") or 0))


def content_of(path, kind):
    if kind == SYMLINK:
        return os.readlink(path)
    if kind == REGULAR:
        with open(path, "rb") as file:
            return file.read()
    return b""


def user_attributes(path, kind):
    if kind not in (REGULAR, DIRECTORY):
        return {}
    return {os.fsencode(name): os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}


def assert_entry(root, name, entry):
    kind, content, mode, uid, gid, mtime, xattrs = entry
    path = os.path.join(root, name)
    if kind == HARDLINK:
        assert os.lstat(path).st_ino == os.lstat(os.path.join(root, content)).st_ino, name
        return
    status = os.lstat(path)
    assert KINDS[kind](status.st_mode), name
    assert (status.st_uid, status.st_gid) == (uid, gid), name
    assert status.st_mtime_ns == nanoseconds(*mtime), name
    assert kind == SYMLINK or stat.S_IMODE(status.st_mode) == mode, name
    if kind in (SYMLINK, REGULAR):
        assert content_of(path, kind) == content, name
    wanted = {key: value for key, value in xattrs.items() if key.startswith(b"user.")}
    assert user_attributes(path, kind) == wanted, name


def names_below(root):
    """Relative names of everything but folders, which an archive may leave unnamed."""
    found = set()
    for folder, folders, files in os.walk(root):
        for name in files + [name for name in folders if os.path.islink(os.path.join(folder, name))]:
            found.add(os.path.relpath(os.path.join(folder, name), root))
    return found


def assert_restored(target, store, archive, entries, **options):
    mini, root = target
    store.put_bytes(harness.backup_name(mini.project), archive)
    result = restore(mini.project, store, OWNERSHIP="archive", **options)
    assert result.code == 0, result
    wanted = expected(entries)
    for name, entry in wanted.items():
        assert_entry(root, name, entry)
    assert names_below(root) == {name for name, entry in wanted.items() if entry[0] != DIRECTORY}


@pytest.mark.parametrize("case", [case for case in SOUND if case not in ("xattrs", "modes")])
def test_every_make(case, target, store):
    entries, make, limits = SOUND[case]
    options = {"DEVICES": "restore"} if limits.get("restore_devices") else {}
    assert_restored(target, store, zstd(build(entries, make)), entries, **options)


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_packing(packing, target, store):
    assert_restored(target, store, PACKINGS[packing](), PLAIN)


def test_modes_of_files_that_are_not_root_s(target, store):
    entries, make, _ = SOUND["modes"]
    owned = [dataclasses.replace(entry, uid=1000, gid=1000) for entry in entries]
    assert_restored(target, store, zstd(build(owned, make)), owned)


def test_setuid_of_root_is_not_made_up(target, store):
    """An archive that says root of everything may have made a user's setuid file root's."""
    mini, root = target
    entries, make, _ = SOUND["modes"]
    store.put_bytes(harness.backup_name(mini.project), zstd(build(entries, make)))
    result = restore(mini.project, store, OWNERSHIP="archive")
    assert result.code == 10, result
    assert "m4755 lost its setuid or setgid bit" in result.err
    assert stat.S_IMODE(os.lstat(os.path.join(root, b"m4755")).st_mode) == 0o755


def test_attributes(target, store):
    entries, make, _ = SOUND["xattrs"]
    plain = copy.deepcopy(entries)
    for entry in plain:
        entry.xattrs.pop(b"system.posix_acl_access", None)  # four bytes are no ACL that a file system takes
    assert_restored(target, store, zstd(build(plain, make)), plain)


def test_a_member_beyond_8_gib(target, store):
    """9 GiB, all hole: the size is beyond what an octal field holds."""
    mini, root = target
    with tempfile.TemporaryDirectory() as folder:
        path = harness.write_tree(folder, {"app/volumes/data/": ""}) / "app/volumes/data/huge"
        with open(path, "wb") as file:
            file.truncate(9 << 30)
            file.seek(9 << 30)
            file.write(b"end")
        tar = subprocess.run(["tar", "--sparse", "--format=pax", "-C", folder, "-cf", "-", "app"], stdout=subprocess.PIPE,
                             check=True).stdout
    store.put_bytes(harness.backup_name(mini.project), harness.compress(tar))
    result = restore(mini.project, store)
    assert result.code == 0, result
    huge = os.path.join(root, b"huge")
    assert os.path.getsize(huge) == (9 << 30) + 3
    assert os.lstat(huge).st_blocks * 512 < 1 << 20
    with open(huge, "rb") as file:
        file.seek(9 << 30)
        assert file.read() == b"end"
