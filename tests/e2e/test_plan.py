"""RESTORE_MODE=plan: what a restore would do, as text and JSON with a hash that a later run can be held to."""
import hashlib
import json
import re

import pytest

import harness
from harness import restore, write_tree


@pytest.fixture
def scene(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    mini.add("side", start=True)
    mini.add("parked")
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "backup", "gone/volumes/v/f": "x"}))
    write_tree(mini.path(volume), {"f": "live", "g": "live"})
    return mini.path(volume)


def hash_of(result):
    return re.search(r"^Plan SHA-256: ([0-9a-f]{64})$", result.out, re.M).group(1)


def test_the_plan_says_what_would_be_done_and_does_nothing(mini, store, scene):
    before, events = harness.read_tree(scene), harness.Events()
    result = restore(mini.project, store, RESTORE_MODE="plan")
    assert result.code == 10, result  # a service of the backup that the stack lacks
    assert f"  Stop     {mini.project}-app-1, {mini.project}-side-1\n" in result.out
    assert f"  Start    {mini.project}-app-1, {mini.project}-side-1\n" in result.out
    assert re.search(rf"^  Replace  {mini.project}_data: 2 entries there now by app/data: 1 entries, 6 B", result.out, re.M)
    assert "No container found for service 'gone'" in result.err
    harness.assert_untouched(mini.project, [scene], [before], events)


def test_the_json_carries_what_the_hash_covers(mini, store, scene):
    result = restore(mini.project, store, RESTORE_MODE="plan", LOG_FORMAT="json")
    line = next(line for line in result.out.splitlines() if line.startswith('{"plan":'))
    document = json.loads(line)
    covered = re.match(r'\{"plan":(.*),"plan_sha256":', line).group(1)
    assert hashlib.sha256(covered.encode()).hexdigest() == document["plan_sha256"]
    plan = document["plan"]
    assert plan["project"] == mini.project and list(plan) == sorted(plan)
    assert sorted((item["service"], item["stop"], item["start"]) for item in plan["containers"]) == [
        ("app", True, True), ("parked", False, False), ("side", True, True)]
    assert [(item["service"], item["name"], item["entries"], item["bytes"]) for item in plan["volumes"]] == [
        ("app", "data", 1, 6)]
    assert [item["entries"] for item in document["now"]] == [2]


def test_only_the_approved_plan_is_carried_out(mini, store, scene, tmp_path):
    approved = hash_of(restore(mini.project, store, RESTORE_MODE="plan"))
    write_tree(scene, {"h": "live data may change meanwhile"})
    before, events = harness.read_tree(scene), harness.Events()
    result = restore(mini.project, store, APPROVED_PLAN_SHA256="0" * 64)
    assert result.code == 2, result
    assert f"ERROR: The plan is not the approved one: its SHA-256 is {approved}" in result.err
    result = restore(mini.project, store, APPROVED_PLAN_SHA256=approved, OWNERSHIP="archive")
    assert result.code == 2, result
    harness.assert_untouched(mini.project, [scene], [before], events)
    store.put(mini.project, write_tree(tmp_path / "other", {"app/volumes/data/f": "newer"}), when="20260601-000000")
    assert restore(mini.project, store, APPROVED_PLAN_SHA256=approved).code == 2  # another archive is the latest now
    name = next(path.name for path in store.directory.iterdir() if "20260101" in path.name)
    result = restore(mini.project, store, APPROVED_PLAN_SHA256=approved.upper(), BACKUP_FILE=name)
    assert result.code == 10, result
    assert harness.read_tree(scene) == {"f": b"backup"}


def test_a_hash_that_is_none(mini, store, scene):
    result = restore(mini.project, store, APPROVED_PLAN_SHA256="abc")
    assert result.code == 2 and "ERROR: APPROVED_PLAN_SHA256: 'abc' is not a SHA-256" in result.err, result
