"""A sample of `make check-kill`, and the recoveries that need a scene of their own: containers made anew between the
kill and the recovery, new ones beside them, a recovery that cannot go on."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import pytest

import harness
import stack

sys.path.insert(0, str(harness.ROOT / "tests" / "kill"))
import kill_list as points  # noqa: E402
import kill_stacks as stacks  # noqa: E402
from kill_trial import Trial  # noqa: E402

BUILD = pathlib.Path(os.environ.get("RESTORE_BUILD", harness.ROOT / "build"))
SEED = 3
SAMPLE = {"volumes": 14, "databases": 5, "undo dumps": 4}


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    subprocess.run(["make", "-s", f"BUILD={BUILD}", "all", f"{BUILD}/bin/restore-stager.tar", "kill-build"], cwd=harness.ROOT, check=True)
    return Trial(BUILD, tmp_path_factory.mktemp("kill"))


def sample(kind, frames):
    """Points of all stretches, but mostly of the one that counts."""
    if kind == "undo dumps":
        return points.shuffled(points.rotate(kind, points.from_dump(frames), 1), SEED)[:SAMPLE[kind]]
    window = points.rotate(kind, points.of_stretch(frames, points.WINDOW), 2) + points.swap_points(kind, frames)
    others = points.rotate(kind, points.of_stretch(frames, points.BEFORE, points.AFTER), 1)
    count = SAMPLE[kind]
    return points.shuffled(window, SEED)[:count - count // 4] + points.shuffled(others, SEED)[:count // 4]


@pytest.mark.parametrize("make", [stacks.VolumeStack, stacks.DatabaseStack, stacks.LayerStack])
def test_a_sample_of_the_kill_points(trial, tmp_path, make):
    target = make(tmp_path)
    try:
        chosen = sample(target.kind, trial.begin(target))
        outcomes = [(point, trial.run(target, point, f"point {number}", number == len(chosen)))
                    for number, point in enumerate(chosen, 1)]
    finally:
        target.remove()
    assert [(str(point), problems) for point, problems in outcomes if problems] == []
    assert sum(problems is not None for _, problems in outcomes) >= len(chosen) - 1  # all but one were reached


@pytest.fixture
def scene(trial, tmp_path):
    """A stack whose restore can be killed at a named frame."""
    target = stacks.VolumeStack(tmp_path)
    target.mark("before")
    yield target
    target.remove()


def kill_at(trial, target, direction, message, occurrence=1, victim="all", **options):
    frame = points.Frame(direction, message, occurrence, (), points.WINDOW)
    result = trial.strike(target, points.Point(target.kind, frame, victim), **options)
    assert result is not None, "the frame never came"
    return result


def replace_app(target, restart="no"):
    """What `compose up --force-recreate` does: another id, the same service and number."""
    stack.docker("rm", "-f", target.app)
    target.mini.names.remove(target.app)
    mounts = [(f"{target.project}_{name}", f"/{name}") for name in target.roots]
    return target.mini.add("app", paths={name: f"/{name}" for name in target.roots}, mounts=mounts,
                           options=["--restart", restart])


def volumes_of(target):
    return {name: value for name, value in target.take().items() if name in target.roots}


@pytest.mark.parametrize("runs", [True, False])
def test_a_container_made_anew_before_the_recovery(trial, scene, runs):
    """It is found by service and number, stopped for the way back, started after it, and keeps its own policy."""
    old = volumes_of(scene)
    kill_at(trial, scene, "receive", "swapped", 1)
    assert volumes_of(scene) != old
    app = replace_app(scene, "always")
    if runs:
        stack.docker("start", app)
    result = trial.restore(scene, RESTORE_MODE="recover")
    assert result.code == 0, result
    assert volumes_of(scene) == old
    assert scene.containers() == {app: "running", scene.side: "paused"}
    assert scene.policies()[app] == "{always 0}"
    assert harness.leftovers(scene.project) == []


def test_a_container_that_the_run_did_not_know_runs_on(trial, scene):
    kill_at(trial, scene, "receive", "swapped", 1)
    other = scene.mini.add("other", start=True)
    result = trial.restore(scene, RESTORE_MODE="recover")
    assert result.code in (0, 10), result
    assert scene.containers()[other] == "running"


def test_the_containers_are_gone_before_the_recovery(trial, scene):
    """compose down: the data comes back nevertheless."""
    old = volumes_of(scene)
    kill_at(trial, scene, "receive", "swapped", 1)
    stack.docker("rm", "-f", *scene.mini.names)
    scene.mini.names.clear()
    result = trial.restore(scene, RESTORE_MODE="recover")
    assert result.code == 0, result
    assert {name: stacks.tree_digest(root) for name, root in scene.roots.items()} == old
    assert harness.leftovers(scene.project) == []


def test_a_lost_answer_to_the_commit_is_not_called_a_rollback(trial, scene):
    """The docker-agent dies when the commit point is on disk and not yet told: the data is new, and so is said."""
    result = kill_at(trial, scene, "lose", "swapped", 3, "agent")
    assert result.code == 14, result
    assert "The data of the backup is restored" in result.err and "as they were before" not in result.text
    assert (next(iter(scene.roots.values())) / "point").exists() is False
    assert scene.problems({scene.app: "running", scene.side: "paused"}) == []


def test_a_path_in_the_containers_layer_is_undone(trial, scene):
    """Killed after the archive's files were written there: the run's volume has what they replaced."""
    kill_at(trial, scene, "receive", "layer_done", 2)
    result = trial.restore(scene, RESTORE_MODE="recover")
    assert result.code == 10, result
    assert "its former files are back" in result.err
    assert scene.take()["own"] == "before\n"
    assert harness.leftovers(scene.project) == []


def test_a_recovery_waits_for_the_stager_to_end(trial, scene):
    """All but the stager die in the middle of the swap; it ends some time later, as on a slow disk."""
    old = scene.take()
    kill_at(trial, scene, "send", "commit", 1, "orphan")
    stager = next(name for name in harness.leftovers(scene.project) if name.endswith("-1"))
    pid = int(stack.docker("inspect", "-f", "{{.State.Pid}}", stager))
    release = threading.Timer(4, os.kill, (pid, signal.SIGCONT))
    release.start()
    result = trial.restore(scene, RESTORE_MODE="recover")
    assert not release.is_alive() and result.code in (0, 10), result
    assert scene.take() == old and scene.problems({scene.app: "running", scene.side: "paused"}) == []


def test_a_recovery_that_cannot_go_on_says_what_to_do(trial, scene):
    """Someone removed the folder that held the old data: nothing more is touched, and the way out is named."""
    kill_at(trial, scene, "receive", "swapped", 1)
    for folder in harness.staging_folders(*scene.roots.values()):
        shutil.rmtree(folder)
    for _ in range(2):
        result = trial.restore(scene, RESTORE_MODE="recover")
        assert result.code == 12, result
        assert "someone removed what this run kept there" in result.err
        assert "run again with RESTORE_MODE=recover" in result.err and "Nothing was changed" not in result.text
    commands = next(line for line in result.err.splitlines() if "docker volume rm" in line)
    for command in commands.split(": ", 2)[2].split("; then")[0].split("; "):
        stack.docker(*command.split()[1:])
    result = trial.restore(scene)
    assert result.code in (0, 10), result
    assert harness.leftovers(scene.project) == []
