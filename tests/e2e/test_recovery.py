"""Ends that were not planned: signals, kill -9, failures, a second run; and what a recovery makes of them."""
import os
import re
import signal
import subprocess
import time

import harness
import pytest
import stack
from harness import read_tree, restore, start_restore, write_tree
from processes import of_run


@pytest.fixture
def big(mini, tmp_path, store):
    """A running stack whose backup takes a while: something to be killed in."""
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    root = mini.path(volume)
    write_tree(root, {"old": "old", "sub/old": "old"})
    data = write_tree(tmp_path / "tree", {f"app/volumes/data/d{n // 50}/f{n}": "new" * 100 for n in range(3000)})
    subprocess.run(["dd", "if=/dev/urandom", f"of={data}/app/volumes/data/blob", "bs=1M", "count=48", "status=none"],
                   check=True)
    store.put(mini.project, tmp_path / "tree")
    return mini, root


def finish(process):
    out, err = process.communicate(timeout=120)
    return harness.Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def staging_has_begun(root):
    return any(root.glob(".restore-*/new/*"))


def is_old(root):
    return read_tree(root) == {"old": b"old", "sub/old": b"old"}


def is_new(root):
    return len(read_tree(root)) == 3001


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_cleanly(big, store, number):
    mini, root = big
    events = harness.Events()
    process = start_restore(mini.project, store)
    wait_for(lambda: staging_has_begun(root))
    process.send_signal(number)
    result = finish(process)
    assert result.code == 128 + number, result
    assert is_old(root)
    assert harness.leftovers(mini.project) == [] and harness.staging_folders(root) == []
    assert "die" not in events.actions(mini.project)


def test_ctrl_c_on_a_terminal_reaches_the_supervisor_alone(big, store):
    """The whole foreground process group gets SIGINT; the workers are in groups of their own."""
    mini, root = big
    process = start_restore(mini.project, store)
    wait_for(lambda: staging_has_begun(root))
    os.killpg(process.pid, signal.SIGINT)
    result = finish(process)
    assert result.code == 130, result
    assert "killed by signal" not in result.text
    assert is_old(root) and harness.leftovers(mini.project) == []


def kill_everything(process, mini):
    for pid in of_run(process.pid, mini.project):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def test_recover_after_all_were_killed_while_staging(big, store):
    mini, root = big
    process = start_restore(mini.project, store)
    wait_for(lambda: staging_has_begun(root))
    kill_everything(process, mini)
    finish(process)
    assert harness.leftovers(mini.project) != []
    result = restore(mini.project, store, RESTORE_MODE="recover")
    assert result.code == 0, result
    assert "Recovered" in result.out
    assert is_old(root)
    assert harness.leftovers(mini.project) == [] and harness.staging_folders(root) == []


def test_the_next_run_recovers_by_itself(big, store):
    mini, root = big
    process = start_restore(mini.project, store)
    wait_for(lambda: staging_has_begun(root))
    kill_everything(process, mini)
    finish(process)
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert "did not end: recovering" in result.out
    assert is_new(root) and harness.leftovers(mini.project) == []


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.4, 0.8])
def test_recover_after_a_kill_in_the_stopped_window(big, store, delay):
    """Wherever the kill hits: wholly old or wholly new, and the stack runs."""
    mini, root = big
    process = start_restore(mini.project, store)
    wait_for(lambda: mini.states()[mini.names[0]] != "running" or process.poll() is not None)
    time.sleep(delay)
    kill_everything(process, mini)
    finish(process)
    result = restore(mini.project, store, RESTORE_MODE="recover")
    assert result.code == 0, result
    assert is_old(root) or is_new(root)
    assert mini.states()[mini.names[0]] == "running"
    assert stack.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", mini.names[0]).strip() == "no"
    assert harness.leftovers(mini.project) == [] and harness.staging_folders(root) == []


def test_nothing_to_recover(mini, store):
    mini.add("app")
    result = restore(mini.project, store, RESTORE_MODE="recover")
    assert result.code == 0, result
    assert "Nothing to recover" in result.out


@pytest.mark.parametrize("victim", ["fetcher", "unpacker", "docker-agent", "stager"])
def test_a_killed_worker_ends_the_run_and_undoes_it(big, store, victim):
    mini, root = big
    process = start_restore(mini.project, store)
    wait_for(lambda: "fetcher" in of_run(process.pid, mini.project).values() and staging_has_begun(root))
    by_name = {name: pid for pid, name in of_run(process.pid, mini.project).items()}
    os.kill(by_name["stager"], signal.SIGSTOP)  # nothing ends before its time
    os.kill(by_name[victim], signal.SIGKILL)
    if victim != "stager":
        os.kill(by_name["stager"], signal.SIGCONT)
    result = finish(process)
    assert result.code in (6, 14), result
    assert is_old(root)
    assert harness.leftovers(mini.project) == [] and harness.staging_folders(root) == []


def test_a_second_run_learns_who_holds_the_lock(big, store):
    mini, root = big
    process = start_restore(mini.project, store)
    wait_for(lambda: staging_has_begun(root))
    os.kill(process.pid, signal.SIGSTOP)
    try:
        second = restore(mini.project, store)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert second.code == 11, second
    assert re.search(r"is being restored by run \d{14}-\w{8} \(process:\d+:\d+\) since \d{4}-\d\d-\d\d", second.err)
    assert finish(process).code == 0
    assert is_new(root)


def test_restart_policies_and_pauses_come_back(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], options=["--restart", "on-failure:3"], start=True)
    paused = mini.add("paused", options=["--restart", "always"], start=True)
    stack.docker("pause", paused)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert mini.states() == {mini.names[0]: "running", paused: "paused"}
    policies = [stack.docker("inspect", "-f", "{{.HostConfig.RestartPolicy}}", name).strip() for name in mini.names]
    assert policies == ["{on-failure 3}", "{always 0}"]


def test_one_off_and_foreign_containers_are_left_alone(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    job = mini.add("job", start=True, options=["--label", "com.docker.compose.oneoff=True"])
    started = stack.docker("inspect", "-f", "{{.State.StartedAt}}", job)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert stack.docker("inspect", "-f", "{{.State.StartedAt}}", job) == started


def test_swarm_services_are_refused(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")],
             options=["--label", "com.docker.swarm.service.id=abc"])
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    result = restore(mini.project, store)
    assert result.code == 6, result
    assert "Swarm" in result.err


def test_dependencies_order_stop_and_start(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True,
             options=["--label", "com.docker.compose.depends_on=db:service_started:false"])
    mini.add("db", start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    events = harness.Events()
    result = restore(mini.project, store)
    assert result.code == 0, result
    order = [event for event in events.of(mini.project) if event[0] in ("die", "start")]
    assert order == [("die", "app"), ("die", "db"), ("start", "db"), ("start", "app")]


def test_an_unhealthy_stack_is_said(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True, options=[
        "--health-cmd", "test ! -e /data/bad", "--health-interval", "1s", "--health-retries", "1"])
    wait_for(lambda: stack.docker("inspect", "-f", "{{.State.Health.Status}}", mini.names[0]).strip() == "healthy")
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/bad": "x"}))
    result = restore(mini.project, store, HEALTH_TIMEOUT=6)
    assert result.code == 9, result
    assert "healthy" in result.err
