"""Volumes, restored by the whole chain of processes into real volumes."""
import os
import subprocess
import time

import harness
import stack
from harness import read_tree, restore, write_tree


def simple(mini, tmp_path, store, files, label="data", path="/data"):
    """One service with one volume, and a backup of `files`."""
    volume = mini.volume("data")
    mini.add("app", paths={label: path}, mounts=[(volume, path)])
    store.put(mini.project, write_tree(tmp_path / "tree", {f"app/volumes/{label}/": "", **{
        f"app/volumes/{label}/{name}": content for name, content in files.items()}}))
    return mini.path(volume)


def test_replaces_what_is_there(mini, tmp_path, store):
    root = simple(mini, tmp_path, store, {"a": "new", "sub/b": "b", ".dot": "d", "..name": "n"})
    write_tree(root, {"a": "old", "stale": "s", ".hidden-stale": "h", "sub/stale": "s"})
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(root) == {"a": b"new", "sub/b": b"b", ".dot": b"d", "..name": b"n"}
    assert harness.leftovers(mini.project) == []


def test_running_stack_is_stopped_and_started(mini, tmp_path, store):
    volume = mini.volume("data")
    name = mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    other = mini.add("cache", start=True)
    parked = mini.add("parked")
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "new"}))
    events = harness.Events()
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert mini.states() == {name: "running", other: "running", parked: "created"}
    assert "die" in events.actions(mini.project)
    assert read_tree(mini.path(volume)) == {"f": b"new"}


def test_several_volumes_of_a_service(mini, tmp_path, store):
    first, second = mini.volume("first"), mini.volume("second")
    mini.add("app", paths={"a.b": "/one", "a-b": "/two"}, mounts=[(first, "/one"), (second, "/two")])
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/a.b/f": "one", "app/volumes/a-b/f": "two"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(mini.path(first)) == {"f": b"one"}
    assert read_tree(mini.path(second)) == {"f": b"two"}


def test_scaled_service_sharing_a_volume(mini, tmp_path, store):
    shared = mini.volume("shared")
    for number in (1, 2):
        mini.add("app", paths={"data": "/data"}, mounts=[(shared, "/data")], number=number)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(mini.path(shared)) == {"f": b"x"}


def test_scaled_service_with_a_volume_each(mini, tmp_path, store):
    volumes = [mini.volume(f"v{number}") for number in (1, 2)]
    for number, volume in enumerate(volumes, 1):
        mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], number=number)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x", "app/volumes/data/d/g": "y"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    for volume in volumes:
        assert read_tree(mini.path(volume)) == {"f": b"x", "d/g": b"y"}


def test_path_inside_a_volume(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"inner": "/data/in/side"}, mounts=[(volume, "/data")])
    root = mini.path(volume)
    write_tree(root, {"keep": "k", "in/side/old": "o", "in/keep": "k"})
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/inner/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(root) == {"keep": b"k", "in/side/f": b"x", "in/keep": b"k"}


def test_volume_mounted_below_the_path(mini, tmp_path, store):
    outer, inner = mini.volume("outer"), mini.volume("inner")
    mini.add("app", paths={"data": "/data"}, mounts=[(outer, "/data"), (inner, "/data/deep/cache")])
    write_tree(mini.path(outer), {"old": "o", "deep/old": "o", "deep/cache/": ""})
    write_tree(mini.path(inner), {"old": "o"})
    store.put(mini.project, write_tree(tmp_path / "tree", {
        "app/volumes/data/f": "x", "app/volumes/data/deep/g": "y", "app/volumes/data/deep/cache/h": "z"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(mini.path(outer)) == {"f": b"x", "deep/g": b"y", "deep/cache/": b""}
    assert read_tree(mini.path(inner)) == {"h": b"z"}


def test_bind_mount(mini, tmp_path, store):
    bind = write_tree(tmp_path / "bind", {"old": "o"})
    mini.add("app", paths={"data": "/data"}, mounts=[(bind, "/data")])
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(bind) == {"f": b"x"}


def test_read_only_mount_is_restored(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data", "ro")])
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(mini.path(volume)) == {"f": b"x"}


def test_label_path_with_a_space(mini, tmp_path, store):
    root = simple(mini, tmp_path, store, {"f": "x"}, path="/srv/my data")
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(root) == {"f": b"x"}


def test_owners_come_from_the_live_tree(mini, tmp_path, store):
    root = simple(mini, tmp_path, store, {"f": "1", "sub/g": "2", "sub/new/h": "3", "top-new": "4"})
    write_tree(root, {"f": "old", "sub/g": "old"})
    for path in (root / "f", root / "sub", root / "sub/g"):
        os.chown(path, 1000, 1001)
    result = restore(mini.project, store)
    assert result.code == 0, result
    owners = {str(path.relative_to(root)): (path.lstat().st_uid, path.lstat().st_gid) for path in root.rglob("*")}
    assert owners == {name: (1000, 1001) for name in ("f", "sub", "sub/g", "sub/new", "sub/new/h", "top-new")}
    assert root.stat().st_uid == 0


def test_ownership_archive_keeps_root(mini, tmp_path, store):
    root = simple(mini, tmp_path, store, {"f": "1"})
    write_tree(root, {"f": "old"})
    os.chown(root / "f", 1000, 1000)
    result = restore(mini.project, store, OWNERSHIP="archive")
    assert result.code == 0, result
    assert (root / "f").stat().st_uid == 0


def test_mode_of_the_root_stays(mini, tmp_path, store):
    root = simple(mini, tmp_path, store, {"f": "1"})
    root.chmod(0o750)
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert root.stat().st_mode & 0o7777 == 0o750


def test_odd_names_links_modes_and_times(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    tree = write_tree(tmp_path / "tree", {f"app/volumes/data/{name}": name for name in (
        "line\nbreak", "-dash", "ünï", "x" * 255, "sp ace", "quote'\"", "back\\slash", "*glob?")})
    data = tree / "app/volumes/data"
    with open(os.fsencode(data) + b"/not-utf8-\xff\xfe", "wb") as file:
        file.write(b"raw")
    (data / "empty").mkdir()
    os.symlink("/etc/passwd", data / "absolute")
    os.symlink("nowhere", data / "dangling")
    os.link(data / "-dash", data / "hard")
    os.mkfifo(data / "fifo")
    (data / "mode0").write_text("m")
    (data / "mode0").chmod(0)
    (data / "sticky").mkdir()
    (data / "sticky").chmod(0o1777)
    os.utime(data / "-dash", ns=(10**18, 10**18))
    store.put(mini.project, tree)
    result = restore(mini.project, store)
    assert result.code == 0, result
    expected, found = (subprocess.run(
        ["find", ".", "-mindepth", "1", "-printf", r"%P|%y|%m|%T@|%l|%n\0"], cwd=root, stdout=subprocess.PIPE,
        check=True).stdout.split(b"\0") for root in (data, mini.path(volume)))
    assert sorted(map(drop_nanoseconds, found)) == sorted(map(drop_nanoseconds, expected))
    assert read_tree(mini.path(volume))["sp ace"] == b"sp ace"


def drop_nanoseconds(line):
    """GNU tar's default format holds whole seconds."""
    fields = line.split(b"|")
    if len(fields) > 3:
        fields[-3] = fields[-3].split(b".")[0]
    return fields


def test_path_on_no_mount(mini, tmp_path, store):
    name = mini.add("app", paths={"conf": "/srv/conf"})
    source = write_tree(tmp_path / "live", {"conf/old": "o", "conf/same": "live"})
    stack.docker("cp", f"{source}/conf", f"{name}:/srv/conf")
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/conf/same": "new", "app/volumes/conf/d/g": "y"}))
    result = restore(mini.project, store)
    assert result.code == 10, result
    assert "on no volume" in result.text and "old" in result.text
    stack.docker("cp", f"{name}:/srv/conf", str(tmp_path / "after"))
    assert read_tree(tmp_path / "after") == {"same": b"new", "d/g": b"y", "old": b"o"}


def test_services_and_labels_missing_from_the_stack(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    store.put(mini.project, write_tree(tmp_path / "tree", {
        "app/volumes/data/f": "x", "app/volumes/gone/f": "x", "removed/volumes/v/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 10, result
    assert "No container found for service 'removed'. Skipping volume restoration." in result.err
    assert "backup.volume-path.gone" in result.err
    assert read_tree(mini.path(volume)) == {"f": b"x"}


def test_nothing_matches_is_an_error(mini, tmp_path, store):
    mini.add("app")
    store.put(mini.project, write_tree(tmp_path / "tree", {"other/volumes/v/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 6, result
    assert "No container found for service 'other'. Skipping volume restoration." in result.err


def test_tmpfs_is_refused_before_anything(mini, tmp_path, store):
    mini.add("app", paths={"data": "/data"}, options=["--tmpfs", "/data"], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    events = harness.Events()
    result = restore(mini.project, store)
    assert result.code == 6, result
    assert "tmpfs" in result.err
    assert "die" not in events.actions(mini.project)


def test_foreign_user_of_the_volume_is_refused(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    other = harness.MiniStack()
    try:
        name = other.add("reader", mounts=[(volume, "/x")], start=True)
        store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
        result = restore(mini.project, store)
        assert result.code == 6, result
        assert name in result.err
        result = restore(mini.project, store, ALLOW_SHARED_VOLUMES="yes")
        assert result.code == 10, result
    finally:
        other.remove()


def test_the_same_volume_in_two_services(mini, tmp_path, store):
    shared = mini.volume("shared")
    mini.add("web", paths={"files": "/files"}, mounts=[(shared, "/files")])
    mini.add("worker", paths={"data": "/data"}, mounts=[(shared, "/data")])
    tree = write_tree(tmp_path / "tree", {"web/volumes/files/f": "x", "worker/volumes/data/f": "x"})
    store.put(mini.project, tree)
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert read_tree(mini.path(shared)) == {"f": b"x"}
    write_tree(tree, {"worker/volumes/data/f": "y"})
    store.put(mini.project, tree, when="20260202-120000")
    result = restore(mini.project, store)
    assert result.code == 5, result
    assert "twice with different content" in result.err
    assert read_tree(mini.path(shared)) == {"f": b"x"}


def test_a_shell_less_read_only_image(mini, tmp_path, store):
    empty = subprocess.run(["tar", "-cf", "-", "-T", "/dev/null"], stdout=subprocess.PIPE, check=True).stdout
    image = f"restore-test/empty-{mini.project}"
    stack.docker("import", "-", image, stdin=empty)
    try:
        volume = mini.volume("data")
        mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], image=image, command=("/none",),
                 options=["--read-only"])
        store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
        result = restore(mini.project, store)
        assert result.code == 0, result
        assert read_tree(mini.path(volume)) == {"f": b"x"}
    finally:
        mini.remove()
        stack.docker("rmi", image)


def test_skip_stop_warns_about_who_runs(mini, tmp_path, store):
    volume = mini.volume("data")
    name = mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    events = harness.Events()
    result = restore(mini.project, store, SKIP_STOP="TRUE")
    assert result.code == 10, result
    assert f"'{name}' runs and uses a volume that is restored" in result.err
    assert events.actions(mini.project) == []
    assert read_tree(mini.path(volume)) == {"f": b"x"}


def test_skip_start_leaves_the_stack_stopped(mini, tmp_path, store):
    volume = mini.volume("data")
    name = mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True,
                    options=["--restart", "unless-stopped"])
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    result = restore(mini.project, store, SKIP_START="yes")
    assert result.code == 0, result
    assert mini.states() == {name: "exited"}
    assert stack.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", name).strip() == "unless-stopped"
    assert read_tree(mini.path(volume)) == {"f": b"x"}


def test_a_stack_that_did_not_run_is_started(mini, tmp_path, store):
    volume = mini.volume("data")
    name = mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert mini.states() == {name: "running"}


def test_a_section_that_the_archive_lacks_is_left_as_it_is(mini, tmp_path, store):
    kept, restored = mini.volume("kept"), mini.volume("restored")
    mini.add("app", paths={"kept": "/k", "restored": "/r"}, mounts=[(kept, "/k"), (restored, "/r")])
    write_tree(mini.path(kept), {"f": "live"})
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/restored/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 10, result
    assert "backup.volume-path.kept" in result.err
    assert read_tree(mini.path(kept)) == {"f": b"live"}
    assert read_tree(mini.path(restored)) == {"f": b"x"}


def test_a_forged_staging_folder_is_reported_and_left_alone(mini, tmp_path, store):
    root = simple(mini, tmp_path, store, {"f": "x"})
    write_tree(root, {".restore-20200101000000-deadbeef/new/evil": "e"})
    result = restore(mini.project, store)
    assert ".restore-20200101000000-deadbeef" in result.err, result
    assert "evil" in str(list(root.rglob("*"))) and result.code in (6, 10)


def test_staging_folders_in_an_archive_are_refused(mini, tmp_path, store):
    root = simple(mini, tmp_path, store, {".restore-x/new/f": "x"})
    write_tree(root, {"f": "live"})
    result = restore(mini.project, store)
    assert result.code == 5, result
    assert ".restore-x" in result.err
    assert read_tree(root) == {"f": b"live"}


def test_attributes_of_files(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    tree = write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"})
    os.setxattr(tree / "app/volumes/data/f", "user.colour", b"blue")
    subprocess.run(["setfacl", "-m", "u:1234:r", tree / "app/volumes/data/f"], check=True)
    tar = subprocess.run(["tar", "--xattrs", "--acls", "--format=pax", "-C", tree, "-cf", "-", "app"],
                         stdout=subprocess.PIPE, check=True).stdout
    store.put_bytes(harness.backup_name(mini.project), harness.compress(tar))
    result = restore(mini.project, store)
    assert result.code == 0, result
    restored = mini.path(volume) / "f"
    assert os.getxattr(restored, "user.colour") == b"blue"
    acl = subprocess.run(["getfacl", "-n", restored], capture_output=True, text=True, check=True).stdout
    assert "user:1234:r--" in acl


def test_old_data_is_gone_before_anything_starts(mini, store, tmp_path):
    """An image that walks its data at start (find, chown -R) dies of a folder that vanishes meanwhile."""
    volume = mini.volume("data")
    walk = "for n in 1 2 3 4 5 6 7 8; do find /data > /tmp/seen || exit 1; ! grep -q /.restore- /tmp/seen || exit 2; done; " \
           "exec sleep infinity"
    name = mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], command=("sh", "-c", walk))
    write_tree(mini.path(volume), {f"old/{n % 100}/{n}": "" for n in range(20000)})
    stack.docker("start", name)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "new"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    time.sleep(1)
    assert mini.states() == {name: "running"}
    assert harness.read_tree(mini.path(volume)) == {"f": b"new"}
