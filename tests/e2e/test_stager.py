"""The real stager under its sandbox, as root, with directories for mounts; no engine is needed."""
import hashlib
import io
import os
import random
import shutil
import stat
import subprocess
import tarfile

import pytest

from fetcher_driver import Failed
from stager_driver import Ended, Stager

TIME = 1600000000.25
NEW_TIME = 1600000000_250000000
OLD_TIME = 1500000000_123456789


@pytest.fixture(scope="session", autouse=True)
def engine():
    """Overrides conftest's: nothing here needs an engine."""


@pytest.fixture
def place(tmp_path):
    """A volume whose root is root's, with an application's files in it, and the run's volume."""
    return Place(tmp_path)


class Place:
    def __init__(self, base):
        self.base, self.volume, self.run = base, base / "volume", base / "run"
        self.run.mkdir()
        self.volume.mkdir()
        self.mounts = [self.volume]
        for path, text in {"a/x": "old x", "a/y": "old y", "only-live": "z", "b/c/deep": "d"}.items():
            write(self.volume / path, text)
        os.symlink("a/x", self.volume / "link")
        os.lchown(self.volume / "link", 1000, 1001)
        os.mkfifo(self.volume / "fifo")
        os.chown(self.volume / "fifo", 1000, 1001)
        for directory, _, names in os.walk(self.volume, topdown=False):
            for name in names:
                os.utime(os.path.join(directory, name), ns=(1, OLD_TIME), follow_symlinks=False)
            os.utime(directory, ns=(1, OLD_TIME))

    def stager(self, **options):
        return Stager(self.base, self.mounts, self.run, **options)

    def staged(self, data, **stream):
        stager = self.stager()
        stager.root(0)
        stager.stream(1, **stream)
        stager.stage({1: data})
        return stager


def write(path, text, owner=(1000, 1001), mode=0o640):
    for parent in reversed([p for p in path.parents if not p.exists()]):
        parent.mkdir()
        os.chown(parent, *owner)
    path.write_text(text)
    path.chmod(mode)
    os.chown(path, *owner)


def snapshot(root, skip=()):
    """Everything that a restore must bring back, by name."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in [b"", *names, *files]:
            path = os.path.join(directory, name) if name else directory
            status = os.lstat(path)
            what = [stat.S_IFMT(status.st_mode), oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns]
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    what += [status.st_size, hashlib.sha256(file.read()).hexdigest(), status.st_nlink]
            if stat.S_ISLNK(status.st_mode):
                what.append(os.readlink(path))
            else:
                what.append({k: os.getxattr(path, k) for k in os.listxattr(path)})
            found[os.path.relpath(path, os.fsencode(root))] = what
    return {k: v for k, v in found.items() if not any(k.startswith(s) for s in skip)}


def make_tar(*entries):
    """entries: (name, contents in bytes or a type, {attribute: value})."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, contents, attributes in entries:
            info = tarfile.TarInfo(name)
            info.mtime, info.mode = TIME, 0o755 if contents == DIRECTORY else 0o640
            data = None
            if isinstance(contents, bytes):
                data = contents
                info.size = len(data)
            else:
                info.type = contents.encode()
            for key, value in attributes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


DIRECTORY, FIFO, SYMLINK, LINK = (kind.decode() for kind in
                                  (tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE))
ODD_NAMES = ["-rf", "new\nline", "ü\u0301nï", "%20 space", "x" * 255, "..name", ".hid", "a\\b"]
BACKUP = make_tar(
    (".", DIRECTORY, {"mode": 0o750}),
    ("a", DIRECTORY, {"mode": 0o2775}),
    ("a/x", b"new x", {"mode": 0o604}),
    ("a/new", b"n" * 300_000, {}),
    ("empty", DIRECTORY, {"mode": 0o700}),
    ("link", SYMLINK, {"linkname": "../../etc/passwd"}),
    ("hard", LINK, {"linkname": "a/x"}),
    ("fifo", FIFO, {"mode": 0o600}),
    ("attributes", b"x", {"pax_headers": {"SCHILY.xattr.user.note": "yes"}}),
    ("acl", DIRECTORY, {"pax_headers": {
        "SCHILY.acl.access": "user::rwx,user:bin:r-x:2,group::r-x,mask::r-x,other::---",
        "SCHILY.acl.default": "user::rwx,group::r-x,group:adm:rwx:4,mask::rwx,other::---"}}),
    ("acl/inner", b"i", {"mode": 0o600}),
    *[(name, name.encode(), {}) for name in ODD_NAMES],
)
BACKUP_ENTRIES = 10 + len(ODD_NAMES)


def test_a_whole_run(place):
    before = snapshot(place.volume)
    stager = place.stager()
    assert (stager.ready["layers"], stager.ready["missing"]) == (95, "") and stager.ready["filter"]
    stager.root(0)
    stager.send("probe")
    (_, probed), (_, end) = stager.until("probe_end")
    assert probed["refusal"] == probed["foreign"] == "" and probed["entries"] == 5
    assert end["run_volume_free"] > 0
    assert snapshot(place.volume) == before, "a probe leaves no trace"
    stager.stream(1)
    staged = stager.stage({1: BACKUP})
    contents = 5 + 300_000 + 1 + 1 + sum(len(name.encode()) for name in ODD_NAMES)
    assert staged[1] == {"stream": 1, "entries": BACKUP_ENTRIES, "bytes": contents, "different": 0}
    assert stager.close() == 0
    assert snapshot(place.volume, skip=[b".restore-r1"]) == before, "staging leaves the live data alone"

    stager = place.stager()  # stage, commit and undo are separate starts
    assert stager.ask("read_journal", "journal")["phase"] == 1
    assert stager.ask("commit") == {"roots": 1, "entries": 5 + 7 + len(ODD_NAMES), "bytes": 0}
    assert stager.ask("read_journal", "journal")["phase"] == 3
    stager.ask("conclude")
    assert stager.ask("read_journal", "journal")["phase"] == 4
    with pytest.raises(Failed, match="concluded"):
        stager.ask("undo")
    stager.ask("clean")
    stager.ask("clean")
    assert stager.close() == 0 and stager.warnings == []
    check_restored(place.volume)


def check_restored(volume):
    now = snapshot(volume)
    assert set(now) == {os.fsencode(n) for n in [
        ".", "a", "a/x", "a/new", "empty", "link", "hard", "fifo", "attributes", "acl", "acl/inner", *ODD_NAMES]}
    assert (volume / "a/x").read_text() == "new x" and (volume / "a/x").samefile(volume / "hard")
    assert os.readlink(volume / "link") == "../../etc/passwd"
    modes = {"": 0o755, "a": 0o2775, "a/x": 0o604, "empty": 0o700, "fifo": 0o600, "acl/inner": 0o600}
    for name, mode in modes.items():
        assert stat.S_IMODE(os.lstat(volume / name).st_mode) == mode, name
    for name, what in now.items():
        assert what[4] == NEW_TIME, name
        assert what[2:4] == ([0, 0] if name == b"." else [1000, 1001]), name
    assert os.getxattr(volume / "attributes", "user.note") == b"yes"
    assert os.listxattr(volume / "acl/inner") == []
    shown = subprocess.run(["getfacl", "-cpn", volume / "acl"], capture_output=True, text=True, check=True).stdout
    assert "user:2:r-x" in shown and "default:group:4:rwx" in shown


def test_undo_leaves_no_trace(place):
    before = snapshot(place.volume)
    stager = place.staged(BACKUP)
    stager.ask("commit")
    with pytest.raises(Failed, match="undone or concluded"):
        stager.ask("clean")
    stager.ask("undo")
    stager.ask("undo")
    stager.ask("clean")
    assert snapshot(place.volume) == before
    assert stager.close() == 0


def test_undo_stands_names_that_are_taken(place):
    """As of a program that runs and makes its files anew while they are moved away."""
    before = snapshot(place.volume)
    stager = place.staged(BACKUP)
    stager.ask("commit")
    work = next(place.volume.glob(".restore-*"))
    for path in place.volume.iterdir():
        if path != work:
            (work / "new" / path.name).write_text("made anew")
    stager.ask("undo")
    stager.ask("clean")
    assert snapshot(place.volume) == before


def test_undo_with_nothing_to_undo(place):
    stager = place.stager()
    assert stager.ask("read_journal", "journal")["phase"] == 0
    assert stager.ask("undo")["entries"] == 0
    assert stager.ask("clean")["roots"] == 0


def test_end_of_input_discards(place):
    before = snapshot(place.volume)
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    stager.send("stage", reserve_bytes=0)
    stager.send("stream_data", stream=1, bytes=BACKUP[:100_000])
    assert stager.close() == 0
    assert not (place.volume / ".restore-r1/new").exists()
    stager = place.stager()
    stager.ask("commit")  # nothing is staged
    stager.ask("undo")
    stager.ask("clean")
    assert snapshot(place.volume) == before


CALLS = ["renameat2", "fdatasync", "fsync", "fchmod", "fchown", "utimensat", "openat2"]


def recover(place):
    """What a recovery does; returns the phase that it found."""
    stager = place.stager()
    phase = stager.ask("read_journal", "journal")["phase"]
    if phase < 4:
        stager.ask("undo")
    stager.ask("clean")
    assert stager.close() == 0
    return phase


def run_killed(place, verb, kill_at):
    stager = None
    try:
        stager = place.stager(kill_at=kill_at)
        stager.ask(verb)
        stager.close()
        return True
    except Ended:
        return False


@pytest.mark.parametrize("call", CALLS)
def test_killed_in_commit_then_wholly_old(tmp_path, call):
    points = 0
    step = 7 if call == "openat2" else 1
    for n in range(1, 400, step):
        (tmp_path / str(n)).mkdir()
        place = Place(tmp_path / str(n))
        place.staged(BACKUP).close()
        before = snapshot(place.volume, skip=[b".restore-r1"])
        done = run_killed(place, "commit", (call, n))
        if done:
            break
        points += 1
        recover(place)
        assert snapshot(place.volume) == before, (call, n)
    assert done and points > 0


@pytest.mark.parametrize("call", ["renameat2", "fdatasync", "fsync", "utimensat"])
def test_killed_in_undo_then_wholly_old(tmp_path, call):
    for n in range(1, 100):
        (tmp_path / str(n)).mkdir()
        place = Place(tmp_path / str(n))
        before = snapshot(place.volume)
        stager = place.staged(BACKUP)
        stager.ask("commit")
        stager.close()
        done = run_killed(place, "undo", (call, n))
        recover(place)
        assert snapshot(place.volume) == before, (call, n)
        if done:
            break
    assert done and n > 1


def test_killed_in_clean_after_conclude_then_wholly_new(tmp_path):
    for n in range(1, 100):
        (tmp_path / str(n)).mkdir()
        place = Place(tmp_path / str(n))
        stager = place.staged(BACKUP)
        stager.ask("commit")
        stager.ask("conclude")
        stager.close()
        done = run_killed(place, "clean", ("unlinkat", n))
        assert recover(place) == 4
        check_restored(place.volume)
        if done:
            break
    assert done and n > 5


def test_owners_of_a_root_that_is_roots(place):
    """New names at the top get the one owner that the application's files have."""
    place.staged(make_tar(("top", b"", {}), ("a/x", b"", {}), ("a/fresh/n", b"", {}))).ask("commit")
    for name in ["top", "a", "a/x", "a/fresh", "a/fresh/n"]:
        assert os.stat(place.volume / name)[4:6] == (1000, 1001), name
    assert os.stat(place.volume)[4:6] == (0, 0)


def test_owners_of_several_users(place):
    write(place.volume / "b/of-another", "", owner=(33, 33))
    place.staged(make_tar(("top", b"", {}), ("b/of-another", b"", {}), ("b/new", b"", {}))).ask("commit")
    assert os.stat(place.volume / "top")[4:6] == (1000, 1001), "most entries are theirs"
    assert os.stat(place.volume / "b/of-another")[4:6] == (33, 33)
    assert os.stat(place.volume / "b/new")[4:6] == (1000, 1001)


def test_owners_of_an_empty_volume(tmp_path):
    place = Place(tmp_path)
    subprocess.run(["find", place.volume, "-mindepth", "1", "-delete"], check=True)
    place.staged(make_tar(("d", DIRECTORY, {}), ("d/f", b"", {})), default_uid=70, default_gid=71).ask("commit")
    assert os.stat(place.volume / "d/f")[4:6] == os.stat(place.volume / "d")[4:6] == (70, 71)
    assert os.stat(place.volume)[4:6] == (0, 0)


KNOWS = make_tar((".", DIRECTORY, {"uid": 0, "mode": 0o711}), ("a", DIRECTORY, {}), ("a/x", b"", {"mode": 0o4755}),
                 ("a/y", b"", {"uid": 55, "gid": 56}), ("late", b"", {}))


def test_an_archive_that_knows_owners(place):
    stager = place.staged(KNOWS)
    stager.ask("commit")
    assert os.stat(place.volume / "a/y")[4:6] == (55, 56)
    for name in ["", "a", "a/x", "late"]:
        assert os.stat(place.volume / name)[4:6] == (0, 0), name
    assert stat.S_IMODE(os.stat(place.volume).st_mode) == 0o711, "and the root's mode"
    assert stat.S_IMODE(os.stat(place.volume / "a/x").st_mode) == 0o4755, "it was root's in the archive"
    assert stager.warnings == []


def test_ownership_existing(place):
    place.staged(KNOWS, ownership=2).ask("commit")
    assert os.stat(place.volume / "a/y")[4:6] == (1000, 1001)


def test_ownership_archive(place):
    place.staged(make_tar(("a/x", b"", {}), ("a/y", b"", {"uid": 9})), ownership=1).ask("commit")
    assert os.stat(place.volume / "a/x")[4:6] == (0, 0)
    assert os.stat(place.volume / "a/y")[4:6] == (9, 0)


def test_setuid_never_becomes_roots(place):
    write(place.volume / "roots", "", owner=(0, 0))
    stager = place.staged(make_tar(("a/x", b"", {"mode": 0o4755}), ("roots", b"", {"mode": 0o4755}),
                                   ("a/y", b"", {"mode": 0o2755})), ownership=0)
    stager.ask("commit")
    modes = {name: stat.S_IMODE(os.stat(place.volume / name).st_mode) for name in ["a/x", "a/y", "roots"]}
    assert modes == {"a/x": 0o4755, "a/y": 0o2755, "roots": 0o4755} and stager.warnings == []


def test_setuid_is_taken_away(place):
    stager = place.staged(make_tar(("a/x", b"", {"mode": 0o6755})), ownership=1)
    stager.ask("commit")
    assert stat.S_IMODE(os.stat(place.volume / "a/x").st_mode) == 0o755
    assert "setuid" in stager.warnings[0] and "a/x" in stager.warnings[0]


def test_streams_interleaved(place):
    second = place.base / "second"
    second.mkdir()
    place.mounts.append(second)
    stager = place.stager()
    other = make_tar(*[(f"f{i}", os.urandom(3000), {}) for i in range(50)])
    stager.root(0)
    stager.root(1)
    stager.stream(1, root=0)
    stager.stream(2, root=1)
    stager.send("stage", reserve_bytes=0)
    for at in range(0, max(len(BACKUP), len(other)), 777):
        for number, data in [(1, BACKUP), (2, other)]:
            if data[at:at + 777]:
                stager.send("stream_data", stream=number, bytes=data[at:at + 777])
    stager.send("stream_end", stream=1)
    stager.send("stream_end", stream=2)
    stager.send("streams_end")
    assert [values["entries"] for name, values in stager.until("stage_end") if name == "staged"] == [BACKUP_ENTRIES, 50]
    assert stager.ask("commit")["roots"] == 2
    stager.ask("conclude")
    stager.ask("clean")
    check_restored(place.volume)
    assert len(list(second.iterdir())) == 50


def test_replicas_of_a_scaled_service(place):
    """One stream, a volume for each container, and one that both mount below."""
    second, shared = place.base / "second", place.base / "shared"
    for path in (second, shared):
        path.mkdir()
        write(path / "old", "")
    (second / "both").mkdir()
    (place.volume / "both").mkdir()
    place.mounts += [second, shared]
    stager = place.stager()
    for number in range(3):
        stager.root(number)
    for root, prefix in [(0, ""), (2, "both"), (1, ""), (2, "both")]:
        stager.stream(1, root=root, prefix=prefix, compare=1)
    staged = stager.stage({1: make_tar((".", DIRECTORY, {}), ("f", b"ff", {}), ("both", DIRECTORY, {}),
                                       ("both/g", b"g", {}))})
    assert staged == {1: {"stream": 1, "entries": 3, "bytes": 3, "different": 0}}
    stager.ask("commit")
    stager.ask("conclude")
    stager.ask("clean")
    for volume in (place.volume, second):
        assert sorted(os.listdir(volume)) == ["both", "f"] and os.listdir(volume / "both") == []
        assert (volume / "f").read_text() == "ff"
    assert os.listdir(shared) == ["g"]


def test_a_shared_root_whose_streams_end_together(place):
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    stager.stream(2, compare=1)
    stager.send("stage", reserve_bytes=0)
    for number in (1, 2):
        for at in range(0, len(BACKUP), 200_000):
            stager.send("stream_data", stream=number, bytes=BACKUP[at:at + 200_000])
    for number in (1, 2):
        stager.send("stream_end", stream=number)
    stager.send("streams_end")
    assert [values["different"] for name, values in stager.until("stage_end") if name == "staged"] == [0, 0]


def test_mount_points_below_the_path(place):
    """The container mounts another volume at b/c: its entries go there, and neither b nor b/c is renamed."""
    inner = place.base / "inner"
    inner.mkdir()
    write(inner / "was", "here")
    place.mounts.append(inner)
    inode = os.stat(place.volume / "b/c").st_ino, os.stat(place.volume / "b").st_ino
    before = snapshot(place.volume), snapshot(inner)
    stager = place.stager()
    stager.root(0)
    stager.root(1)
    stager.stream(1, root=0)
    stager.stream(1, root=1, prefix="b/c")
    stager.stage({1: make_tar(("b", DIRECTORY, {"mode": 0o711}), ("b/beside", b"1", {}), ("b/c", DIRECTORY, {}),
                              ("b/c/in", b"22", {}), ("top", b"", {}))})
    stager.ask("commit")
    assert (os.stat(place.volume / "b/c").st_ino, os.stat(place.volume / "b").st_ino) == inode
    assert sorted(p.name for p in inner.iterdir()) == [".restore-r1", "in"]
    assert sorted(p.name for p in (place.volume / "b").iterdir()) == ["beside", "c"]
    assert stat.S_IMODE(os.stat(place.volume / "b").st_mode) == 0o711
    assert os.stat(place.volume / "b").st_mtime_ns == NEW_TIME
    stager.ask("undo")
    stager.ask("clean")
    assert (snapshot(place.volume), snapshot(inner)) == before


def test_mounts_inside_a_bind_source(place):
    """Something is mounted below the bind source that no label names: it gets an area of its own."""
    inner = place.base / "inner"
    inner.mkdir()
    write(inner / "was", "here")
    place.mounts.append((inner, "mounts/0/b/c", "rw"))
    before = snapshot(place.volume), snapshot(inner)
    stager = place.staged(make_tar(("b/c/in", b"22", {}), ("b/beside", b"1", {})))
    stager.ask("commit")
    assert sorted(p.name for p in inner.iterdir()) == [".restore-r1", "in"]
    assert sorted(p.name for p in (place.volume / "b").iterdir()) == ["beside", "c"]
    assert [p.name for p in (place.volume / "b/c").iterdir()] == ["deep"], "hidden below the mount: not ours to touch"
    stager.ask("undo")
    stager.ask("clean")
    assert (snapshot(place.volume), snapshot(inner)) == before


def test_a_path_that_does_not_exist_yet(place):
    before = snapshot(place.volume)
    stager = place.stager()
    stager.root(0, mount=0, subpath="b/new/path")
    stager.send("probe")
    assert stager.until("probe_end")[0][1]["inode"] == 0
    stager.stream(1)
    stager.stage({1: make_tar((".", DIRECTORY, {"mode": 0o711}), ("f", b"1", {}))})
    stager.ask("commit")
    assert (place.volume / "b/new/path/f").read_text() == "1"
    assert os.stat(place.volume / "b/new/path")[4:6] == (1000, 1001)
    assert stat.S_IMODE(os.stat(place.volume / "b/new/path").st_mode) == 0o711
    assert (place.volume / "b/c/deep").exists()
    stager.ask("undo")
    stager.ask("clean")
    assert snapshot(place.volume) == before


def test_a_label_within_anothers_path(place):
    stager = place.stager()
    stager.root(0)
    stager.root(1, mount=0, subpath="a")
    stager.stream(1, root=0)
    stager.stream(2, root=1)
    stager.stage({1: make_tar(("a", DIRECTORY, {}), ("a/x", b"outer", {}), ("top", b"", {})),
                  2: make_tar((".", DIRECTORY, {}), ("x", b"inner", {}))})
    assert stager.ask("commit")["roots"] == 1
    assert (place.volume / "a/x").read_text() == "inner" and (place.volume / "top").exists()


def test_a_label_within_anothers_path_alone(place):
    """The outer one's section is missing: swapping its area would lose what lies beside the inner path."""
    before = snapshot(place.volume)
    stager = place.stager()
    stager.root(0)
    stager.root(1, mount=0, subpath="a")
    stager.stream(1, root=0)
    stager.stream(2, root=1)
    with pytest.raises(Failed, match="but not the rest"):
        stager.stage({2: make_tar(("x", b"inner", {}))})
    stager.ask("clean")
    assert snapshot(place.volume) == before


def test_sections_that_do_not_come(place):
    """Their volumes stay as they are; others are swapped."""
    other = place.base / "other"
    other.mkdir()
    write(other / "f", "stays")
    before = snapshot(other)
    place.mounts.append(other)
    stager = place.stager()
    stager.root(0)
    stager.root(1)
    stager.stream(1, root=0)
    stager.stream(2, root=1)
    stager.stage({1: BACKUP})
    assert stager.ask("commit")["roots"] == 1
    stager.ask("conclude")
    stager.ask("clean")
    check_restored(place.volume)
    assert snapshot(other) == before


@pytest.mark.parametrize("change, different", [(None, 0), ("text", 1), ("mode", 1), ("kind", 1)])
def test_a_shared_root_is_compared(place, change, different):
    first = [("a", DIRECTORY, {}), ("a/x", b"same", {}), ("l", SYMLINK, {"linkname": "t"})]
    second = list(first)
    if change == "text":
        second[1] = ("a/x", b"sAme", {})
    if change == "mode":
        second[1] = ("a/x", b"same", {"mode": 0o600})
    if change == "kind":
        second[2] = ("l", b"t", {})
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    stager.stream(2, compare=1)
    staged = stager.stage({2: make_tar(*first), 1: make_tar(*second)})  # the one that comes first is written
    assert [staged[n]["different"] for n in (2, 1)] == [0, different]
    assert staged[1]["entries"] == staged[2]["entries"] == 3


HOSTILE = {
    "parent": [("../out", b"", {})],
    "inner parent": [("a/../../out", b"", {})],
    "parent that stays within": [("a", DIRECTORY, {}), ("a/../out", b"", {})],
    "absolute": [("/out", b"", {})],
    "through a symlink": [("s", SYMLINK, {"linkname": "/run-volume"}), ("s/out", b"", {})],
    "through a symlink, deeper": [("s", SYMLINK, {"linkname": "a"}), ("s/d/out", b"", {})],
    "through a symlink within": [("a", DIRECTORY, {}), ("s", SYMLINK, {"linkname": "a"}), ("s/out", b"", {})],
    "hard link out": [("h", LINK, {"linkname": "../../run-volume/journal"})],
    "hard link absolute": [("h", LINK, {"linkname": "/run-volume/journal"})],
    "hard link to nothing": [("h", LINK, {"linkname": "nothing"})],
    "hard link through a symlink": [("s", SYMLINK, {"linkname": "/run-volume"}), ("h", LINK, {"linkname": "s/journal"})],
    "hard link to a directory": [("d", DIRECTORY, {}), ("h", LINK, {"linkname": "d"})],
    "our own folder": [(".restore-r1", DIRECTORY, {})],
    "another run's folder": [(".restore-x/f", b"", {})],
    "root is a file": [(".", b"x", {})],
    "a file used as a directory": [("f", b"", {}), ("f/g", b"", {})],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_tars_are_refused(place, entries):
    before, outside = snapshot(place.volume), sorted(os.listdir(place.base))
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    with pytest.raises(Failed) as failure:
        stager.stage({1: make_tar(*entries)})
    assert failure.value.code == 5, failure.value
    stager.ask("undo")
    stager.ask("clean")
    assert snapshot(place.volume) == before and sorted(os.listdir(place.base)) == sorted(outside + ["root"])


@pytest.mark.parametrize("size", [10, 511, 513, 700, 1500, 4000])
def test_a_cut_tar_is_refused(place, size):
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    with pytest.raises(Failed) as failure:
        stager.stage({1: make_tar(("f", b"x" * 5000, {}))[:size]})
    assert failure.value.code == 5


def test_frames_on_their_way_after_a_failure_are_dropped(place):
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    stager.send("stage", reserve_bytes=0)
    for _ in range(3):
        stager.send("stream_data", stream=1, bytes=b"no tar at all" * 1000)
    stager.send("stream_end", stream=1)
    stager.send("streams_end")
    with pytest.raises(Failed):
        stager.receive()
    assert stager.ask("undo")["entries"] == 0


def test_the_last_of_several_entries_stands(place):
    stager = place.staged(make_tar(("f", b"1", {}), ("f", b"22", {}), ("k", b"", {}), ("k", SYMLINK, {"linkname": "f"})))
    stager.ask("commit")
    assert (place.volume / "f").read_text() == "22" and os.readlink(place.volume / "k") == "f"


@pytest.fixture
def small(tmp_path):
    """A file system of 8 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=2000", "tmpfs", mount], check=True)
    write(mount / "live", "data")
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)


@pytest.mark.parametrize("reserve, size", [(0, 20_000_000), (6_000_000, 7_000_000)])
def test_space_runs_out(place, small, reserve, size):
    before = snapshot(small)
    place.mounts = [small]
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    with pytest.raises(Failed) as failure:
        stager.stage({1: make_tar(*[(f"f{n}", b"x" * (size // 10), {}) for n in range(10)])}, reserve=reserve)
    assert failure.value.code == 7
    stager.ask("clean")
    assert snapshot(small) == before


def test_inodes_run_out(place, small):
    place.mounts = [small]
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    with pytest.raises(Failed) as failure:
        stager.stage({1: make_tar(*[(f"f{n}", b"", {}) for n in range(3000)])})
    assert failure.value.code == 7


def test_an_exchanged_root_is_not_touched(place):
    stager = place.staged(BACKUP)
    stager.close()
    os.rename(place.volume, place.base / "elsewhere")
    place.volume.mkdir()
    write(place.volume / "f", "")
    before = snapshot(place.volume)
    stager = place.stager()
    with pytest.raises(Failed) as failure:
        stager.ask("commit")
    assert failure.value.code == 12 and snapshot(place.volume) == before
    assert "another directory than the one this run began with" in failure.value.message


def test_a_forged_folder_of_the_run_is_not_used(place):
    """Root's, of mode 700 and of the right name, but not the one that the journal knows."""
    place.staged(BACKUP).close()
    os.rename(place.volume / ".restore-r1", place.base / "elsewhere")
    (place.volume / ".restore-r1/new").mkdir(parents=True)
    (place.volume / ".restore-r1").chmod(0o700)
    write(place.volume / ".restore-r1/new/planted", "")
    before = snapshot(place.volume)
    stager = place.stager()
    with pytest.raises(Failed) as failure:
        stager.ask("commit")
    assert failure.value.code == 12 and snapshot(place.volume) == before
    assert "is not the folder that this run made" in failure.value.message


def test_a_root_through_a_symlink_is_refused(place):
    os.symlink("/run-volume", place.volume / "s")
    stager = place.stager()
    stager.root(0, mount=0, subpath="s")
    stager.send("probe")
    assert stager.until("probe_end")[0][1]["refusal"] != ""


def probe(place):
    stager = place.stager()
    stager.root(0)
    stager.send("probe")
    return stager.until("probe_end")[0][1]


def test_probe_of_database_directories(place):
    (place.volume / "PG_VERSION").write_text("15\n")
    before = snapshot(place.volume)
    assert probe(place)["database"] == 2
    assert snapshot(place.volume) == before
    os.rename(place.volume / "PG_VERSION", place.volume / "ibdata1")
    assert probe(place)["database"] == 3


def test_probe_refusals(place):
    (place.volume / ".restore-other").mkdir()
    assert probe(place)["foreign"] == ".restore-other"
    subprocess.run(["chattr", "+i", place.volume / "a/x"], check=True)
    try:
        assert "immutable" in probe(place)["refusal"]
    finally:
        subprocess.run(["chattr", "-i", place.volume / "a/x"], check=True)
    place.mounts = [(place.volume, "mounts/0", "ro")]
    assert "ead-only" in probe(place)["refusal"]
    place.mounts = [place.volume / "only-live"]
    assert "single file" in probe(place)["refusal"]


def test_lost_and_found_and_foreign_folders_stay(place):
    (place.volume / "lost+found").mkdir(mode=0o700)
    (place.volume / ".restore-other").mkdir()
    stager = place.staged(make_tar((".", DIRECTORY, {}), ("lost+found", DIRECTORY, {}), ("f", b"", {})))
    stager.ask("commit")
    stager.ask("conclude")
    stager.ask("clean")
    assert sorted(os.listdir(place.volume)) == [".restore-other", "f", "lost+found"]


def test_default_acl_and_setgid_of_the_root_are_not_inherited(place):
    subprocess.run(["setfacl", "-d", "-m", "u:99:rwx", place.volume], check=True)
    os.chmod(place.volume, 0o2755)
    before = snapshot(place.volume)
    stager = place.staged(make_tar(("d", DIRECTORY, {"mode": 0o750}), ("d/f", b"", {})))
    stager.ask("commit")
    assert stat.S_IMODE(os.stat(place.volume / "d").st_mode) == 0o750
    assert os.listxattr(place.volume / "d") == os.listxattr(place.volume / "d/f") == []
    assert os.listxattr(place.volume) == ["system.posix_acl_default"], "the archive says nothing of the root"
    stager.ask("undo")
    stager.ask("clean")
    assert snapshot(place.volume) == before


def make_database(place):
    (place.volume / "PG_VERSION").write_text("15\n")
    os.link(place.volume / "a/x", place.volume / "a/hard")
    os.setxattr(place.volume / "a/y", "user.k", b"v")
    with open(place.volume / "sparse", "wb") as file:
        file.truncate(5_000_000)
        file.seek(1_000_000)
        file.write(b"data")
    os.chown(place.volume / "sparse", 1000, 1001)
    os.utime(place.volume, ns=(1, OLD_TIME))


def test_cold_copy_and_undo(place):
    make_database(place)
    before = snapshot(place.volume)
    stager = place.stager()
    stager.root(0)
    copied = stager.ask("copy_root", root=0)
    assert copied["bytes"] >= 5_000_000
    assert os.stat(place.volume / ".restore-r1/old/sparse").st_blocks < 1000
    stager.close()
    (place.volume / "a/x").write_text("loaded")
    (place.volume / "created").write_text("by the load")
    os.unlink(place.volume / "a/y")
    os.chmod(place.volume, 0o700)
    assert recover(place) == 2
    assert snapshot(place.volume) == before


def test_copies_count_when_the_last_one_has_brought_all_on_disk(place):
    """Until then an undo leaves the directories as they are, and a copy is thrown away."""
    other = place.base / "other"
    other.mkdir()
    write(other / "table", "rows")
    place.mounts.append(other)
    make_database(place)
    before = snapshot(place.volume), snapshot(other)
    for more, phase in ((1, 1), (0, 2)):
        stager = place.stager()
        stager.root(0)
        stager.root(1)
        stager.ask("copy_root", root=0, more=1)
        stager.ask("copy_root", root=1, more=more)
        stager.kill()
        if more == 0:
            (place.volume / "a/x").write_text("loaded")
            (other / "table").write_text("loaded")
        assert recover(place) == phase
        assert (snapshot(place.volume), snapshot(other)) == before
        shutil.rmtree(place.run)
        place.run.mkdir()


def test_file_systems_are_synced_once_for_all_copies(place):
    other = place.base / "other"
    other.mkdir()
    write(other / "table", "rows")
    place.mounts.append(other)
    stager = place.stager(kill_at=("syncfs", 2))
    stager.root(0)
    stager.root(1)
    stager.ask("copy_root", root=0, more=1)
    stager.ask("copy_root", root=1)
    assert stager.close() == 0


def test_cold_copy_killed_half_way(tmp_path):
    for n in range(1, 40, 3):
        (tmp_path / str(n)).mkdir()
        place = Place(tmp_path / str(n))
        make_database(place)
        before = snapshot(place.volume)
        try:
            stager = place.stager(kill_at=("fchown", n))
            stager.root(0)
            stager.ask("copy_root", root=0)
            stager.close()
        except Ended:
            pass
        recover(place)
        assert snapshot(place.volume) == before


def test_cold_copy_of_what_leads_out_is_refused(place):
    make_database(place)
    os.symlink("/elsewhere", place.volume / "b/16384")
    stager = place.stager()
    stager.root(0)
    with pytest.raises(Failed, match="16384") as failure:
        stager.ask("copy_root", root=0)
    assert failure.value.code == 8


def test_a_volume_and_a_copy_are_undone_together(place):
    data = place.base / "data"
    data.mkdir()
    write(data / "table", "rows")
    place.mounts.append(data)
    before = snapshot(place.volume), snapshot(data)
    stager = place.staged(BACKUP)
    stager.root(1)
    stager.ask("copy_root", root=1)
    stager.ask("commit")
    (data / "table").write_text("loaded")
    stager.close()
    assert recover(place) == 3
    assert (snapshot(place.volume), snapshot(data)) == before


def test_spools(place):
    stager = place.stager()
    data = random.Random(1).randbytes(700_000)
    stager.stream(5, spool=1)
    assert stager.stage({5: data})[5] == {"stream": 5, "entries": 0, "bytes": 700_000, "different": 0}
    stager.close()
    stager = place.stager(spool_only=1)
    stager.send("spool_send", stream=5)
    answers = stager.until("spool_end")
    assert b"".join(values["bytes"] for _, values in answers[:-1]) == data and answers[-1][1]["bytes"] == len(data)
    stager.send("spool_receive", stream=6)
    for at in range(0, len(data), 200_000):
        stager.send("spool_fill", bytes=data[at:at + 200_000])
    assert stager.ask("spool_full", "spool_end")["bytes"] == len(data)
    assert (place.run / "spool/6").read_bytes() == data
    with pytest.raises(Failed):
        stager.ask("spool_send", "spool_end", stream=9)


def test_the_note(place):
    stager = place.stager()
    stager.send("read_note")
    assert [name for name, _ in stager.until("note_end")] == ["note_end"]
    text = "{" + "ä" * 10_000 + "}"
    raw = text.encode()
    stager.ask("note", "noted", last=0, text=raw[:12288])
    stager.ask("note", "noted", last=1, text=raw[12288:])
    stager.kill()
    stager = place.stager()
    stager.send("read_note")
    parts = [values["text"].encode(errors="surrogateescape") for name, values in stager.until("note_end")[:-1]]
    assert b"".join(parts) == raw


def test_merging_a_layer(place):
    saved = make_tar(("./", DIRECTORY, {"uid": 5}), ("./keep", DIRECTORY, {"uid": 33, "gid": 34}),
                     ("./keep/f", b"", {"uid": 33, "gid": 34}), ("./keep/stays", b"", {"uid": 33}))
    archive = make_tar((".", DIRECTORY, {}), ("keep", DIRECTORY, {}), ("keep/f", b"new", {}), ("keep/ü", b"1", {}))
    stager = place.stager()
    stager.stream(1, spool=1)
    stager.stream(2, spool=1)
    stager.stage({1: archive, 2: saved})
    counts = stager.ask("layer_merge", stream=1, saved=2, merged=3, ownership=0)
    assert counts == {"roots": 1, "entries": 3, "bytes": 4}
    assert len(stager.warnings) == 1 and "keep/stays is" in stager.warnings[0]
    with tarfile.open(place.run / "spool/3") as tar:
        found = {m.name: (m.uid, m.gid, m.size) for m in tar}
    assert found == {".": (5, 0, 0), "keep": (33, 34, 0), "keep/f": (33, 34, 3), "keep/ü": (33, 34, 1)}
    assert sorted(os.listdir(place.run)) == ["journal", "spool"]


def test_sparse_files_stay_sparse(place, tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(300 << 20)
        file.seek(100 << 20)
        file.write(b"middle")
    data = subprocess.run(["tar", "--posix", "-S", "-cC", tmp_path, "sparse"], capture_output=True, check=True).stdout
    stager = place.stager()
    stager.root(0)
    stager.stream(1)
    assert stager.stage({1: data})[1]["bytes"] == 300 << 20
    stager.ask("commit")
    status = os.stat(place.volume / "sparse")
    assert status.st_size == 300 << 20 and status.st_blocks < 2000


def test_many_entries_in_little_memory(place):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for directory in range(2000):
            info = tarfile.TarInfo(f"d{directory}")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
            for number in range(10):
                tar.addfile(tarfile.TarInfo(f"d{directory}/f{number}"))
    stager = place.staged(out.getvalue())
    with open(f"/proc/{stager.process.pid}/status", encoding="ascii") as status:
        peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    assert peak < 12 * 1024
    assert stager.ask("commit")["entries"] == 2005


def test_a_message_out_of_its_state_ends_it(place):
    stager = place.stager()
    stager.send("stream_end", stream=3)  # late frames are dropped only where a stage failed
    with pytest.raises(Failed):
        stager.receive()
    stager.send("stager_config", run="again")
    with pytest.raises(Ended, match="14"):
        stager.receive()


def test_a_damaged_journal_is_not_believed(place):
    stager = place.staged(BACKUP)
    stager.ask("commit")
    stager.close()
    journal = place.run / "journal"
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 1
    journal.write_bytes(data)
    stager = place.stager()
    with pytest.raises(Failed, match="damaged") as failure:
        stager.receive()
    assert failure.value.code == 12 and stager.status() == 12
