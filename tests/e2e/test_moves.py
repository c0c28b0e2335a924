"""What else moves while a stack is restored: watchers, Compose and cron that start containers on the targets. The run
aborts, and the data is as before."""
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
import held
import stack
from engine_driver import Agent
from fetcher_driver import Failed
from harness import read_tree, restore, write_tree
from held import Held

# Of a stack of one volume: the stack is down and nothing is swapped; the swap is under way; it is done and was checked.
BEFORE, DURING, AFTER = "receive watching 2", "send commit 1", "receive users_end 4"
OLD = {"old": b"old", "sub/old": b"old"}
STARTED = "was started while its volume is restored"


@pytest.fixture(scope="module", autouse=True)
def binaries():
    held.build()


@pytest.fixture
def scene(mini, tmp_path, store):
    """A running service with one volume, and a backup of it."""
    volume = mini.volume("data")
    app = mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True,
                   options=["--restart", "unless-stopped"])
    root = mini.path(volume)
    write_tree(root, {"old": "old", "sub/old": "old"})
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/new": "new", "app/volumes/data/sub/new": "new"}))
    mini.app, mini.root, mini.data = app, root, volume
    yield mini
    others = stack.docker("ps", "-aq", "--filter", f"volume={volume}").split()
    subprocess.run(["docker", "rm", "-f", *others], capture_output=True, check=False)


def undone(scene, result, old=OLD):
    assert result.code == 6, result
    assert read_tree(scene.root) == old
    assert scene.states()[scene.app] == "running"
    assert stack.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", scene.app).strip() == "unless-stopped"
    assert harness.leftovers(scene.project) == [] and harness.staging_folders(scene.root) == []
    assert "Data and containers are as they were before" in result.out


@pytest.mark.parametrize("point", [BEFORE, AFTER])
def test_a_container_of_the_stack_that_starts_ends_the_run(scene, store, tmp_path, point):
    with Held(scene.project, store, point, tmp_path) as run:
        stack.docker("start", scene.app)
        result = run.finish()
    undone(scene, result)
    assert f"Container '{scene.app}' {STARTED}" in result.err
    result = restore(scene.project, store)
    assert result.code == 0 and read_tree(scene.root) == {"new": b"new", "sub/new": b"new"}, result


def test_one_that_has_ended_again_counts_too(scene, store, tmp_path):
    """By the events alone: nobody runs when the run looks."""
    with Held(scene.project, store, AFTER, tmp_path) as run:
        stack.docker("start", scene.app)
        stack.docker("kill", scene.app)
        result = run.finish()
    undone(scene, result)
    assert STARTED in result.err


def test_one_that_the_stack_did_not_have_counts_too(scene, store, tmp_path):
    """A job of cron, made anew. ALLOW_SHARED_VOLUMES is for other projects' containers."""
    with Held(scene.project, store, AFTER, tmp_path, ALLOW_SHARED_VOLUMES="true") as run:
        stack.docker("run", "-d", "--init", "--name", f"{scene.project}-late-1", "--label",
                     f"com.docker.compose.project={scene.project}", "-v", f"{scene.data}:/x", harness.IMAGE, "sleep", "60")
        result = run.finish()
    assert result.code == 6 and f"Container '{scene.project}-late-1' {STARTED}" in result.err, result
    assert read_tree(scene.root) == OLD


# As a program that makes its files anew whenever they are missing: in new data, in old data, in both.
BUSY = "while :; do mkdir -p /x/sub /x/new.d; : >/x/new; : >/x/seen; done"


def test_a_foreign_container_is_named_and_the_undo_stands_it(scene, store, tmp_path):
    """It is not stopped, and writes all the time. What was there before is there again."""
    with Held(scene.project, store, DURING, tmp_path) as run:
        name = f"{scene.project}-foreign"
        stack.docker("run", "-d", "--name", name, "-v", f"{scene.data}:/x", harness.IMAGE, "sh", "-c", BUSY)
        time.sleep(0.3)
        result = run.finish()
    assert stack.docker("inspect", "-f", "{{.State.Running}}", name).strip() == "true"
    stack.docker("rm", "-f", name)
    assert f"Container '{name}'" in result.err and "ALLOW_SHARED_VOLUMES" in result.err
    theirs = {path: content for path, content in read_tree(scene.root).items() if path not in ("new", "seen", "new.d/")}
    assert theirs == OLD
    undone(scene, result, read_tree(scene.root))


def test_other_containers_may_come_and_go(scene, store, tmp_path):
    with Held(scene.project, store, AFTER, tmp_path) as run:
        stack.docker("run", "--rm", harness.IMAGE, "true")
        stack.docker("run", "--rm", "-v", f"{scene.data}:/x:ro", harness.IMAGE, "true")  # reads, and is named
        result = run.finish()
    assert result.code == 10, result
    assert "reads a volume that is restored" in result.err
    assert read_tree(scene.root) == {"new": b"new", "sub/new": b"new"}


def test_skip_stop_names_what_starts(scene, store, tmp_path):
    stack.docker("stop", "-t", "0", scene.app)
    with Held(scene.project, store, "receive users_end 3", tmp_path, SKIP_STOP="true") as run:
        stack.docker("start", scene.app)
        result = run.finish()
    assert result.code == 10, result
    assert "runs and uses a volume that is restored (SKIP_STOP)" in result.err


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


class Autoheal:
    """Starts a container whenever it does not run, as the watchers of that name do, but at once."""

    def __init__(self, name):
        self.name, self.started, self.done = name, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.done.is_set():
            state = subprocess.run(["docker", "inspect", "-f", "{{.State.Running}}", self.name], capture_output=True, check=False)
            if state.stdout.strip() == b"false":
                self.started += subprocess.run(["docker", "start", self.name], capture_output=True, check=False).returncode == 0

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def test_a_watcher_that_starts_again_and_again(scene, store, tmp_path):
    """Also while the former data is brought back."""
    with Held(scene.project, store, AFTER, tmp_path, STOP_TIMEOUT=2) as run, Autoheal(scene.app) as watcher:
        wait_for(lambda: watcher.started)
        result = run.finish()
        assert watcher.thread.is_alive()
    undone(scene, result)


COMPOSE = """
version: "3.8"
services:
  app:
    image: {image}
    command: sleep infinity
    init: true
    volumes: ["data:/data"]
    labels: {{"backup.volume-path.data": "/data"}}
volumes:
  data: {{}}
"""


def test_compose_up_during_the_run(store, tmp_path):
    project = harness.unique("up")
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE.format(image=harness.IMAGE))
    try:
        stack.compose(project, "up", "-d", files=[file])
        root = stack.volumes(project)["app/data"]
        write_tree(root, {"old": "old", "sub/old": "old"})
        store.put(project, write_tree(tmp_path / "tree", {"app/volumes/data/new": "new"}))
        for arguments in (["up", "-d"], ["up", "-d", "--force-recreate"]):
            with Held(project, store, AFTER, tmp_path) as run:
                stack.compose(project, *arguments, files=[file])
                result = run.finish()
            assert result.code == 6 and STARTED in result.err, result
            assert read_tree(root) == OLD
            assert stack.container(project, "app").state["Running"]
        assert harness.leftovers(project) == [] and harness.staging_folders(root) == []
    finally:
        stack.compose(project, "down", "-v", "-t", "0", files=[file])


# The docker-agent alone

OFF, FOLLOW, REPORT = range(3)


def watching(scene, **config):
    agent = Agent(scene.project, **config)
    agent.ask("ping", "engine")
    index = agent.stack()[scene.app]["index"]
    agent.collect("target", "target_end", container=index, label="data", stream=1)
    agent.ask("watch", "watching", mode=FOLLOW)
    return agent, index


def test_what_starts_before_it_counts_is_dropped(scene):
    agent, index = watching(scene)
    with agent:
        stack.docker("restart", "-t", "0", scene.app)
        agent.ask("watch", "watching", mode=REPORT)
        agent.act((index, 0, {"seconds": 0}), deadline=20)  # stop, and
        assert agent.act((index, 1, {}), deadline=20)[index] == (1, "")  # start: it is ours
        agent.ask("watch", "watching", mode=OFF)
        stack.docker("restart", "-t", "0", scene.app)
        agent.ask("ping", "engine")


def test_a_container_that_is_gone_when_it_is_looked_at(scene):
    """docker run --rm: the event of its volume is what is left of it."""
    agent, _ = watching(scene)
    with agent:
        agent.ask("watch", "watching", mode=REPORT)
        os.kill(agent.pid, signal.SIGSTOP)
        stack.docker("run", "--rm", "-v", f"{scene.data}:/x", harness.IMAGE, "true")
        os.kill(agent.pid, signal.SIGCONT)
        told = agent.expect("user_started")
        assert (told["in_stack"], told["read_only"], told["mount"], len(told["name"])) == (0, 0, 0, 12)
        agent.ask("watch", "watching", mode=OFF)


class Relay(threading.Thread):
    """A unix socket before the engine's, as a socket proxy is; `cut` ends the streams of events and lets none begin."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.path = str(folder / "relay.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.streams, self.broken, self.followed = [], False, 0
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        head = client.recv(65536)
        is_events = b"/events?" in head.split(b"\r\n")[0]
        if is_events and self.broken:
            client.close()
            return
        engine = socket.socket(socket.AF_UNIX)
        engine.connect("/var/run/docker.sock")
        engine.sendall(head)
        if is_events:
            self.streams.append(client)
            self.followed += 1
        threading.Thread(target=self.copy, args=[client, engine], daemon=True).start()
        self.copy(engine, client)

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        self.broken = True
        while self.streams:
            self.streams.pop().shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_stream_that_is_lost_is_subscribed_to_again(scene, tmp_path, goes_on):
    """Nothing falls in between: neither what runs by then nor what has ended."""
    relay = Relay(tmp_path)
    agent, _ = watching(scene, socket=relay.path)
    with agent:
        stack.docker("restart", "-t", "0", scene.app)  # an event whose time is remembered
        stack.docker("kill", scene.app)
        assert relay.followed == 1
        agent.ask("watch", "watching", mode=REPORT)
        relay.cut()
        stack.docker("run", *(["-d", "--init"] if goes_on else []), "--name", f"{scene.project}-foreign", "-v",
                     f"{scene.data}:/x", harness.IMAGE, *(["sleep", "60"] if goes_on else ["true"]))
        time.sleep(0.5)
        relay.broken = False
        assert agent.expect("user_started")["name"] == f"{scene.project}-foreign"
        wait_for(lambda: relay.followed == 2)


def test_without_events_the_run_ends(scene, tmp_path):
    relay = Relay(tmp_path)
    agent, _ = watching(scene, socket=relay.path, timeout=2)
    with agent:
        agent.ask("watch", "watching", mode=REPORT)
        relay.cut()
        with pytest.raises(Failed, match="events cannot be followed any more"):
            agent.receive(20)
