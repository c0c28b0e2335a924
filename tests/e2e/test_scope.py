"""STOP_SCOPE=affected: what has nothing to do with what is restored runs on, through a failure and a recovery as well."""
import json
import os
import signal

import pytest

import harness
import held
import stack
from harness import restore, write_tree

LEFT_ALONE = {"cache"}


@pytest.fixture
def volume(mini, store, tmp_path):
    """`web` is restored; `reader` mounts its volume; `front` depends on it, `edge` on that one; `cache` is on its own; `idle`
    does not run."""
    data = mini.volume("data")
    mini.add("web", paths={"data": "/data"}, mounts=[(data, "/data")], start=True)
    mini.add("reader", mounts=[(data, "/there", "ro")], start=True)
    for service, needs in (("front", "web"), ("edge", "front")):
        mini.add(service, start=True, options=["--label", f"com.docker.compose.depends_on={needs}:service_started:false"])
    mini.add("cache", mounts=[(mini.volume("cache"), "/cache")], start=True, options=["--restart", "unless-stopped"])
    mini.add("idle")
    store.put(mini.project, write_tree(tmp_path / "tree", {"web/volumes/data/f": "backup"}))
    write_tree(mini.path(data), {"f": "live"})
    return mini.path(data)


def service_of(name):
    return name.rsplit("-", 2)[1]


def lives(mini):
    """When each container that runs was started."""
    return {service_of(name): stack.docker("inspect", "-f", "{{.State.StartedAt}}", name).strip()
            for name, state in mini.states().items() if state == "running"}


def stopped_since(mini, before):
    now = lives(mini)
    assert set(now) == set(before)
    return {service for service, since in now.items() if since != before[service]}


def policy(mini):
    return stack.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", f"{mini.project}-cache-1").strip()


def test_only_what_is_affected_is_stopped(mini, store, volume):
    before = lives(mini)
    assert set(before) == {"web", "reader", "front", "edge", "cache"}
    result = restore(mini.project, store, STOP_SCOPE="affected")
    assert result.code == 0, result
    assert (volume / "f").read_text() == "backup"
    assert stopped_since(mini, before) == set(before) - LEFT_ALONE
    assert policy(mini) == "unless-stopped"
    assert harness.leftovers(mini.project) == []


def test_the_whole_stack_is_stopped_otherwise(mini, store, volume):
    before = lives(mini)
    assert restore(mini.project, store).code == 0
    assert stopped_since(mini, before) == set(before)


def test_the_plan_names_what_is_stopped(mini, store, volume):
    result = restore(mini.project, store, RESTORE_MODE="plan", STOP_SCOPE="affected", LOG_FORMAT="json")
    plan = next(json.loads(line)["plan"] for line in result.out.splitlines() if '"plan"' in line)
    stops = {item["service"] for item in plan["containers"] if item["stop"]}
    assert stops == {"web", "reader", "front", "edge"}
    assert {item["service"] for item in plan["containers"] if item["start"]} == stops


def test_a_recovery_leaves_alone_what_the_run_left_alone(mini, store, volume, tmp_path):
    held.build()
    before = lives(mini)
    with held.Held(mini.project, store, "receive users_end 4", tmp_path, STOP_SCOPE="affected") as run:
        assert set(lives(mini)) == LEFT_ALONE and policy(mini) == "unless-stopped"
        assert (volume / "f").read_text() == "backup"
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.communicate(timeout=60)
    result = restore(mini.project, store, RESTORE_MODE="recover")
    assert result.code == 0, result
    assert (volume / "f").read_text() == "live"
    assert stopped_since(mini, before) == set(before) - LEFT_ALONE
    assert harness.leftovers(mini.project) == []
