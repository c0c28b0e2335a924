"""Faults on the engine's side at a frame of a restore, and what has to hold after them: an end in bounded time with a code
of the table; after `recover` the data is wholly old or wholly new, and what ran runs."""
import os
import signal
import subprocess
import sys
import threading
import time

import harness
import stack
from harness import read_tree, restore, write_tree
from held import Held

sys.path.insert(0, str(harness.ROOT / "tests" / "kill"))
import kill_stacks  # noqa: E402

OLD = {"old": b"old", "sub/old": b"old"}
NEW = {"new": b"new", "sub/new": b"new"}
CODES = {0, 1, 6, 7, 8, 9, 10, 12, 14}
SECONDS = 120  # more than any deadline of OPTIONS together
OPTIONS = {"DOCKER_TIMEOUT": 20, "STOP_TIMEOUT": 3}

# One a phase, and more where the most is at stake. In order of the run of a stack with one volume.
POINTS = ["receive engine 1", "send prepare 1", "send probe 1",
          "send head 1",
          "send stage 1", "receive staged 1",
          "receive noted 1", "receive act_end 1", "receive watching 2",
          "send commit 1", "receive swapped 1", "receive users_end 4",
          "send conclude 1", "receive swapped 2", "receive act_end 4", "send clean 1", "send remove_run 1"]


class Scene:
    """A running service with one volume, one beside it, and a backup of the volume. policy: of the service; an engine that
    was killed starts what is `unless-stopped` no more, by itself."""

    def __init__(self, folder, engine=None, elsewhere=False, policy="unless-stopped"):
        self.mini = harness.MiniStack()
        self.project = self.mini.project
        self.folder = folder
        self.store = harness.Store(folder / f"{self.project}-store")
        self.options = {**OPTIONS, **({"DOCKER_HOST": engine.host} if engine else {})}
        volume = folder / f"{self.project}-data" if elsewhere else self.mini.volume("data")
        if elsewhere:
            volume.mkdir()
        self.policy = policy
        self.app = self.mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True,
                                 options=["--restart", policy])
        self.side = self.mini.add("side", start=True, options=["--restart", "always"])
        self.root = volume if elsewhere else self.mini.path(volume)
        tree = write_tree(folder / f"{self.project}-tree", {"app/volumes/data/new": "new", "app/volumes/data/sub/new": "new"})
        self.store.put(self.project, tree)
        self.reset()

    def reset(self):
        """Old data, all running."""
        subprocess.run(["find", self.root, "-mindepth", "1", "-delete"], check=True)
        write_tree(self.root, {"old": "old", "sub/old": "old"})
        for name in self.mini.names:
            stack.docker("start", name)

    def held(self, point, **options):
        return Held(self.project, self.store, point, self.folder, **{**self.options, **options})

    def restore(self, **options):
        return restore(self.project, self.store, **{**self.options, **options})

    def problems(self, result, gone=()):
        """What does not hold after a fault; `gone`: containers that the fault removed."""
        found = [] if result.code in CODES else [f"the run ended with {result.code}"]
        data = read_tree(self.root) if result.code in (0, 10) else None
        if data is not None and data != NEW:
            found.append("a success that is not the new data")
        recovered = self.restore(RESTORE_MODE="recover")
        found += [] if recovered.code in (0, 10) else [f"recover ended with {recovered.code}"]
        data = read_tree(self.root)
        if data not in (OLD, NEW):
            found.append(f"neither old nor new: {data}")
        if "as they were before" in result.text and data != OLD or result.code in (0, 10) and data != NEW:
            found.append("not what the run said")
        states = {name: state for name, state in self.states().items() if name not in gone}
        wanted = {self.app: f"running {self.policy}", self.side: "running always"}
        found += [f"{name} is {state}" for name, state in states.items() if state != wanted[name]]
        found += [f"left behind: {name}" for name in harness.leftovers(self.project) + harness.staging_folders(self.root)]
        return found + ([f"{title}: {what}" for title, what in (("run", result), ("recovery", recovered))] if found else [])

    def states(self):
        form = "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}"
        return {name: stack.docker("inspect", "-f", form, name).strip() for name in self.mini.names if self.exists(name)}

    @staticmethod
    def exists(name):
        return subprocess.run(["docker", "inspect", name], capture_output=True, check=False).returncode == 0

    def remove(self):
        self.mini.remove()


def restart(scene, engine, point, number=signal.SIGTERM, away=1.0):
    """The engine ends at the point and is back a second later; the run goes on meanwhile."""
    with scene.held(point) as run:
        engine.stop(number)
        back = threading.Timer(away, engine.start)
        back.start()
        result = run.finish(SECONDS)
    back.join()
    deadline = time.monotonic() + 20  # the engine starts those with a policy after it answers
    while any(not state.startswith("running") for state in scene.states().values()) and time.monotonic() < deadline:
        if scene.restore(RESTORE_MODE="recover").code in (0, 10):
            break
    return scene.problems(result)


def remove_container(scene, point, which):
    """docker rm -f of the application's container, or of the run's stager."""
    with scene.held(point) as run:
        name = scene.app if which == "app" else next(
            (name for name in harness.leftovers(scene.project) if name.endswith("-1")), None)
        if name is not None:
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
        result = run.finish(SECONDS)
    return scene.problems(result, gone=[scene.app] if which == "app" else [])


def kill_stager(scene, point):
    with scene.held(point) as run:
        for name in harness.leftovers(scene.project):
            subprocess.run(["docker", "kill", name], capture_output=True, check=False)
        result = run.finish(SECONDS)
    return scene.problems(result)


def fill(folder):
    """Every block that is left, in a file of its own; returns it."""
    filler = folder / "filler"
    with open(filler, "wb") as file:
        for size in (1024 * 1024, 4096):
            try:
                while True:
                    os.write(file.fileno(), b"\xff" * size)
            except OSError:
                pass
    return filler


def full_disk(engine, folder, point):
    """The engine's disk is full from the point to the end of the run; then there is room again. The volume itself lies
    elsewhere."""
    scene = Scene(folder, engine, elsewhere=True)
    try:
        with scene.held(point) as run:
            filler = fill(engine.data)
            result = run.finish(SECONDS)
        filler.unlink()
        return scene.problems(result)
    finally:
        scene.remove()


def client_hangs(folder, point, **options):
    """From the point on, psql in the server's container sleeps. Both databases are as before."""
    target = kill_stacks.DatabaseStack(folder)
    try:
        target.mark("before")
        old, before = target.take(), target.containers()
        with Held(target.project, target.store, point, folder, STOP_TIMEOUT=10, **options) as run:
            stack.docker("exec", "-u", "0", target.pg, "sh", "-c",
                         "p=$(command -v psql); mv $p $p.real; printf '#!/bin/sh\\nexec sleep 1000\\n' >$p; chmod 755 $p")
            result = run.finish(SECONDS)
        stack.docker("exec", "-u", "0", target.pg, "sh", "-c", "p=$(command -v psql); mv $p.real $p")
        found = [] if result.code == 8 else [f"the run ended with {result.code}"]
        now = target.take()
        found += [f"{name}: {now[name]!r}, not {value!r}" for name, value in old.items() if now[name] != value]
        found += target.problems(before)
        return found + ([f"run: {result}"] if found else [])
    finally:
        target.remove()
