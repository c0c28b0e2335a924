"""Choosing what is restored: services, volumes, databases by pattern, backups by time."""
import pytest

import harness
from harness import restore, write_tree


@pytest.fixture
def pair(mini, store, tmp_path):
    """Two services with two volumes each, damaged, and a backup of all four."""
    volumes = {}
    for service in ("app", "web"):
        names = {name: mini.volume(f"{service}-{name}") for name in ("uploads", "config")}
        mini.add(service, paths={name: f"/{name}" for name in names},
                 mounts=[(volume, f"/{name}") for name, volume in names.items()], start=True)
        volumes.update({f"{service}/{name}": mini.path(volume) for name, volume in names.items()})
    tree = write_tree(tmp_path / "tree", {f"{name.replace('/', '/volumes/')}/f": f"backup of {name}" for name in volumes})
    store.put(mini.project, tree)
    for path in volumes.values():
        write_tree(path, {"f": "live"})
    return volumes


def restored(volumes):
    return {name for name, path in volumes.items() if harness.read_tree(path) == {"f": f"backup of {name}".encode()}}


@pytest.mark.parametrize("options,expected", [
    ({"RESTORE_SERVICES": "app"}, {"app/uploads", "app/config"}),
    ({"RESTORE_SERVICES": "!app"}, {"web/uploads", "web/config"}),
    ({"RESTORE_VOLUMES": "uploads"}, {"app/uploads", "web/uploads"}),
    ({"RESTORE_VOLUMES": "app/*,!app/config"}, {"app/uploads"}),
    ({"RESTORE_SERVICES": "web", "RESTORE_VOLUMES": "c*"}, {"web/config"})])
def test_only_what_is_chosen_is_restored(mini, store, pair, options, expected):
    result = restore(mini.project, store, **options)
    assert result.code == 0, result
    assert restored(pair) == expected
    for name, path in pair.items():
        if name not in expected:
            assert harness.read_tree(path) == {"f": b"live"}
            service, volume = name.split("/")
            assert f"Not chosen, left as it is: volume of service '{service}': {volume}" in result.out
    assert harness.leftovers(mini.project) == []


@pytest.mark.parametrize("variable,pattern,what", [
    ("RESTORE_SERVICES", "ap", "service"), ("RESTORE_VOLUMES", "app/upload", "volume label"),
    ("RESTORE_DATABASES", "app", "service with a database")])
def test_a_pattern_without_a_match_is_an_error(mini, store, pair, variable, pattern, what):
    events = harness.Events()
    result = restore(mini.project, store, **{variable: f"!web,{pattern}"})
    assert result.code == 2, result
    assert f"ERROR: {variable}: '{pattern}' matches no {what} of project '{mini.project}'" in result.err
    harness.assert_untouched(mini.project, list(pair.values()), [{"f": b"live"}] * 4, events)


def test_the_newest_backup_before_a_time(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    for day in ("01", "02", "03"):
        store.put(mini.project, write_tree(tmp_path / day, {"app/volumes/data/f": day}), when=f"202601{day}-120000")
    for before, expected in (("2026-01-03T12:00", b"02"), ("2026-01-02", b"01"), ("2026-01-03T12:00:01", b"03")):
        result = restore(mini.project, store, BACKUP_BEFORE=before)
        assert result.code == 0, result
        assert harness.read_tree(mini.path(volume)) == {"f": expected}
    result = restore(mini.project, store, BACKUP_BEFORE="2026-01-03", RESTORE_MODE="list")
    assert result.code == 0 and "2 backups" in result.out, result
    result = restore(mini.project, store, BACKUP_BEFORE="2026-01-01")
    assert result.code == 3, result
    assert f"No backups found for project '{mini.project}' in S3 bucket before 2026-01-01" in result.err
    result = restore(mini.project, store, BACKUP_BEFORE="last week")
    assert result.code == 2 and "ERROR: BACKUP_BEFORE: 'last week' is not a time" in result.err, result


def test_a_backup_of_one_stack_into_another(mini, store, tmp_path):
    """Only the target's containers stop, only its volumes change; lock and leftovers are of its name."""
    other = harness.MiniStack()
    try:
        for stack in (mini, other):
            stack.add("app", paths={"data": "/data"}, mounts=[(stack.volume("data"), "/data")], start=True)
            write_tree(stack.path(f"{stack.project}_data"), {"f": "live"})
        store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "backup"}))
        events = harness.Events()
        result = restore(mini.project, store, TARGET_PROJECT_NAME=other.project)
        assert result.code == 0, result
        assert events.actions(mini.project) == []
        assert harness.read_tree(mini.path(f"{mini.project}_data")) == {"f": b"live"}
        assert harness.read_tree(other.path(f"{other.project}_data")) == {"f": b"backup"}
        assert harness.leftovers(mini.project) == harness.leftovers(other.project) == []
        result = restore(mini.project, store, TARGET_PROJECT_NAME="no/name")
        assert result.code == 2 and "ERROR: TARGET_PROJECT_NAME: 'no/name'" in result.err, result
    finally:
        other.remove()
