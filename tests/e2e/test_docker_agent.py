"""The docker-agent alone, against the real engine: what it lists, creates, refuses and cleans up, its sandbox on."""
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import uuid

import pytest

import harness
from engine_driver import BINARY, ROOT, Agent
from fetcher_driver import Failed, encode

IMAGE = "restore-test/base"
STOP, START, PAUSE, UNPAUSE, SET_RESTART = range(5)
POSTGRES, MARIADB = 2, 3


def docker(*arguments, check=True):
    done = subprocess.run(["docker", *arguments], check=check, capture_output=True, text=True)
    return done.stdout.strip()


class Stack:
    """A project of plain containers, removed at the end with all that its runs left."""

    def __init__(self):
        self.project = "ag" + uuid.uuid4().hex[:8]
        self.volumes, self.names = [], []

    def volume(self, name):
        self.volumes.append(f"{self.project}-{name}")
        docker("volume", "create", self.volumes[-1])
        return self.volumes[-1]

    def container(self, service, *arguments, number=1, labels=None, project=None, command=("sleep", "1000")):
        name = f"{self.project}-{service}-{number}"
        self.names.append(name)
        own = {"com.docker.compose.project": project or self.project, "com.docker.compose.service": service,
               "com.docker.compose.container-number": number, **(labels or {})}
        options = [part for label, value in own.items() for part in ("--label", f"{label}={value}")]
        docker("create", "--name", name, *options, *arguments, IMAGE, *command)
        return name

    def remove(self):
        found = docker("ps", "-aq", "--filter", f"label=restore.project={self.project}").split()
        docker("rm", "-fv", *self.names, *found, check=False)
        found = docker("volume", "ls", "-q", "--filter", f"label=restore.project={self.project}").split()
        docker("volume", "rm", *self.volumes, *found, check=False)
        for image in docker("images", "-q", "--filter", f"label=restore.project={self.project}").split():
            docker("rmi", "-f", image, check=False)

    def nothing_left(self):
        label = f"label=restore.project={self.project}"
        assert docker("ps", "-aq", "--filter", label) == ""
        assert docker("volume", "ls", "-q", "--filter", label) == ""
        assert docker("images", "-q", "--filter", label) == ""


@pytest.fixture
def stack():
    made = Stack()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    """The agent's binary beside an image of odd_stager.c."""
    folder = tmp_path_factory.mktemp("odd")
    sources = ["tests/e2e/odd_stager.c", "common/messages.c", "common/io.c"]
    subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-O2", "-Iinclude", "-static", "-o", folder / "restore-stager",
                    *sources], cwd=ROOT, check=True)
    with tarfile.open(folder / "restore-stager.tar", "w") as tar:
        tar.add(folder / "restore-stager", "restore-stager")
    return shutil.copy(BINARY, folder)


def agent_of(stack, binary=BINARY, **config):
    agent = Agent(stack.project, binary, **config)
    agent.ask("ping", "engine")
    return agent


def lock(agent, run="r1", owner="process:1:1", answer="locked"):
    return agent.ask("lock", answer, run=run, owner=owner, boot_id="boot", since=1700000000)


def targets(agent, index, label):
    return agent.collect("target", "target_end", container=index, label=label, stream=1)


def open_stager(agent, run="r1"):
    agent.ask("open_stager", "stager_opened", run=run)
    return agent.ask("stager_config", "stager_ready", run=run)


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def clean_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


# The process and the engine

def test_the_agent_is_locked_down(stack):
    with agent_of(stack) as agent:
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{agent.pid}/status") if ":\t" in line)
        assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
        assert agent.ready["layers"] & 1 and agent.ready["missing"] == ""


def test_ping_tells_of_the_engine(stack):
    with Agent(stack.project) as agent:
        engine = agent.ask("ping", "engine")
        assert engine["version"] == docker("version", "--format", "{{.Server.Version}}")
        assert tuple(map(int, engine["api_version"].split("."))) >= (1, 41)
        assert "seccomp" in engine["security"]


class FakeEngine:
    """Answers every connection to its socket with the same bytes, or with nothing."""

    def __init__(self, folder, answer=None, json_answers=None):
        self.path = str(folder / "docker.sock")
        self.answer, self.json_answers = answer, json_answers
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.open = []
        self.requests = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            self.open.append(connection)
            request = connection.recv(65536).decode()
            self.requests.append(request)
            answer = self.answer
            for path, body in (self.json_answers or {}).items():
                if path in request.split("\r\n")[0]:
                    body = json.dumps(body).encode()
                    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            if answer is not None:
                try:
                    connection.sendall(answer)
                except OSError:
                    pass
                connection.close()


OLD = {"/version": {"ApiVersion": "1.40", "Version": "19.03"}}
BODY = b'{"message":"page not found"}'
UNUSABLE = {
    "stalls": (None, None, "within 1 s"),
    "no-http": (b"SSH-2.0-OpenSSH\r\n", None, ""),
    "no-json": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", None, "no JSON"),
    "refuses": (b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY, None, "page not found"),
    "endless": (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 9_000_000, None, "longer than"),
    "deep": (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 4_000_000, None, "no JSON"),
    "many": (b"HTTP/1.1 200 OK\r\n\r\n[" + b"0," * 4_000_000 + b"0]", None, "too long"),
    "old": (None, OLD, "1.40"),
    "cut": (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", None, ""),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_engine_is_one_clear_error(case, tmp_path):
    answer, json_answers, words = UNUSABLE[case]
    fake = FakeEngine(tmp_path, answer, json_answers)
    with Agent("app", socket=fake.path, timeout=1) as agent:
        with pytest.raises(Failed) as failed:
            agent.ask("ping", "engine")
        assert failed.value.code == 6
        assert failed.value.message.startswith("Cannot access Docker daemon. Is /var/run/docker.sock mounted? (")
        assert words in failed.value.message and "\n" not in failed.value.message


def test_a_missing_socket_is_one_clear_error(tmp_path):
    with Agent("app", socket=str(tmp_path / "none")) as agent:
        with pytest.raises(Failed) as failed:
            agent.ask("ping", "engine")
        assert failed.value.message.startswith("Cannot access Docker daemon. Is /var/run/docker.sock mounted? (")


@pytest.mark.parametrize("frame", [
    encode("stage"), encode("locked"), encode("ping") + b"x" * 8, encode("want"), b"\1\377\0\0\0\0\0\0",
    encode("act", action=7), encode("act", action=SET_RESTART, policy="sometimes"),
    encode("database_target", kind=1),
])
def test_what_breaks_the_protocol_ends_the_agent(frame, stack):
    agent = agent_of(stack)
    os.write(agent.control, frame + encode("ping"))
    with pytest.raises(EOFError):
        for _ in range(3):
            agent.receive()
    assert agent.wait() == 14


def test_foreign_bulk_is_not_read_outside_a_staging(stack):
    with agent_of(stack) as agent:
        os.write(agent.data, b"garbage of an unpacker")
        agent.ask("ping", "engine")


# The stack

def test_the_stack_is_told_by_labels_alone(stack):
    volume = stack.volume("v")
    web2 = stack.container("web", "-v", f"{volume}:/data", "--user", "1000", "--restart", "on-failure:3", number=2,
                           labels={"backup.volume-path.a.b": "/data", "backup.volume-path.a-b": "/data/x y",
                                   "com.docker.compose.depends_on": "db:service_healthy:false"})
    web1 = stack.container("web")
    db = stack.container("db", "-e", "POSTGRES_PASSWORD=geheim", labels={"com.docker.swarm.service.id": "x"})
    job = stack.container("job", labels={"com.docker.compose.oneoff": "True"}, command=("sh", "-c", "exit 5"))
    stack.container("other", project=stack.project + "x")
    docker("start", web1)
    docker("start", "-a", job, check=False)
    own = docker("inspect", "--format", "{{.Id}}", web1)
    with agent_of(stack, self=own[:12]) as agent:
        found, _ = agent.collect("list_stack", "stack_end")
        containers = [values for name, values in found if name == "container"]
        assert [c["name"] for c in containers] == [db, job, web1, web2]
        assert [c["index"] for c in containers] == [0, 1, 2, 3]
        by_name = {c["name"]: c for c in containers}
        assert by_name[web1]["self"] == 1 and by_name[web2]["self"] == 0 and by_name[web1]["id"] == own
        assert by_name[db]["swarm"] == 1 and by_name[db]["databases"] == 4 and by_name[web1]["databases"] == 0
        assert by_name[job]["oneoff"] == 1 and (by_name[job]["state"], by_name[job]["exit_code"]) == ("exited", 5)
        assert (by_name[web1]["state"], by_name[web2]["state"]) == ("running", "created")
        assert (by_name[web2]["restart_policy"], by_name[web2]["restart_retries"]) == ("on-failure", 3)
        assert by_name[web2]["user"] == "1000" and by_name[web2]["number"] == 2
        assert by_name[web2]["depends_on"] == "db:service_healthy:false"
        labels = {(v["container"], v["name"]): v["path"] for n, v in found if n == "volume_label"}
        assert labels == {(3, "a.b"): "/data", (3, "a-b"): "/data/x y"}
        assert not any("geheim" in str(message) for message in agent.messages)


def test_targets_are_the_mounts_of_the_label(stack, tmp_path):
    data, below = stack.volume("data"), stack.volume("below")
    labels = {f"backup.volume-path.{name}": path for name, path in {
        "all": "/data", "in": "/data//x/./y/", "bind": "/bound", "layer": "/opt/app", "none": "/a/../b",
        "tmp": "/scratch", "sock": "/run"}.items()}
    stack.container("web", "-v", f"{data}:/data", "-v", f"{below}:/data/be low:ro", "-v", f"{tmp_path}:/bound",
                    "--tmpfs", "/scratch", "-v", "/var/run/docker.sock:/run/docker.sock", labels=labels)
    stack.container("twin", "-v", f"{data}:/elsewhere", labels={"backup.volume-path.same": "/elsewhere"})
    with agent_of(stack) as agent:
        index = {c["service"]: c["index"] for c in agent.stack().values()}

        def roots(service, label):
            found, end = targets(agent, index[service], label)
            return [(r["type"], r["source"], r["subpath"], r["prefix"]) for _, r in found], end

        got, end = roots("web", "all")
        assert got == [("volume", data, "", ""), ("volume", below, "", "be low")]
        assert (end["covered"], end["refusal"]) == (1, "")
        assert roots("web", "in")[0] == [("volume", data, "x/y", "")]
        assert roots("web", "bind")[0] == [("bind", str(tmp_path), "", "")]
        got, end = roots("web", "layer")
        assert got == [] and (end["covered"], end["refusal"]) == (0, "")
        for label, words in {"none": "..", "tmp": "tmpfs", "sock": "socket"}.items():
            got, end = roots("web", label)
            assert got == [] and words in end["refusal"]
        mounts = {name: v["mount"] for name, v in agent.messages if name == "target_root" and v["source"] == data}
        found, _ = targets(agent, index["twin"], "same")
        assert found[0][1]["mount"] == mounts["target_root"] == 0
        with pytest.raises(Failed, match="no label"):
            targets(agent, index["web"], "unknown")


@pytest.mark.parametrize("kind, options, root", [
    (POSTGRES, ("-e", "PGDATA=/srv/pg/in"), "in"), (MARIADB, (), "")])
def test_data_directories_are_found(kind, options, root, stack):
    volume = stack.volume("db")
    place = "/srv/pg" if kind == POSTGRES else "/var/lib/mysql"
    stack.container("db", "-v", f"{volume}:{place}", *options)
    with agent_of(stack) as agent:
        agent.stack()
        found, end = agent.collect("database_target", "target_end", container=0, kind=kind)
        assert [(r["source"], r["subpath"]) for _, r in found] == [(volume, root)] and end["covered"] == 1


def test_a_container_is_checked_before_each_use(stack):
    name = stack.container("web", labels={"backup.volume-path.x": "/x"})
    with agent_of(stack) as agent:
        agent.stack()
        docker("rm", name)
        stack.container("web", labels={"backup.volume-path.x": "/x"})
        with pytest.raises(Failed) as failed:
            targets(agent, 0, "x")
        assert failed.value.code == 6
        ok, message = agent.act((0, START, {}))[0]
        assert ok == 0 and name in message
        assert agent.ask("inspect", "container_state", container=0)["exists"] == 0
        with pytest.raises(Failed):
            agent.ask("inspect", "container_state", container=1)
    assert docker("inspect", "--format", "{{.State.Status}}", name) == "created"


def test_actions_run_at_the_same_time(stack):
    stubborn = ("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    names = [stack.container("web", number=number, command=stubborn) for number in (1, 2, 3)]
    with agent_of(stack) as agent:
        agent.stack()
        assert all(ok for ok, _ in agent.act(*[(i, START, {}) for i in range(3)]).values())
        assert all(ok for ok, _ in agent.act(*[(i, SET_RESTART, {"policy": "always"}) for i in range(3)]).values())
        assert docker("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", names[1]) == "always"
        assert all(ok for ok, _ in agent.act((0, PAUSE, {})).values())
        assert agent.ask("inspect", "container_state", container=0)["state"] == "paused"
        assert all(ok for ok, _ in agent.act((0, UNPAUSE, {})).values())
        events = harness.Events()
        assert all(ok for ok, _ in agent.act(*[(i, STOP, {"seconds": 5}) for i in range(3)]).values())
        actions = events.actions(stack.project)
        assert actions[:3] == ["kill"] * 3 and actions.count("die") == 3, actions  # asked to end before the first was ended
        assert agent.ask("inspect", "container_state", container=2)["state"] == "exited"
        assert all(ok for ok, _ in agent.act((0, STOP, {"seconds": 1})).values())  # stopped already


def test_actions_end_at_their_deadline(stack):
    stack.container("web", command=("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"))
    with agent_of(stack) as agent:
        agent.stack()
        assert agent.act((0, START, {}))[0][0] == 1
        begin = time.monotonic()
        ok, message = agent.act((0, STOP, {"seconds": 20}), deadline=1)[0]
        assert ok == 0 and "deadline" in message and time.monotonic() - begin < 5


def test_the_agent_does_not_act_on_its_own_container(stack):
    name = stack.container("restore")
    docker("start", name)
    with agent_of(stack, self=docker("inspect", "--format", "{{.Id}}", name)) as agent:
        agent.stack()
        for action in range(5):
            ok, message = agent.act((0, action, {"policy": "no"}))[0]
            assert ok == 0 and "this restore" in message
    assert docker("inspect", "--format", "{{.State.Status}}", name) == "running"


def test_users_of_the_targets_are_named(stack, tmp_path):
    volume = stack.volume("v")
    (tmp_path / "in").mkdir()
    stack.container("web", "-v", f"{volume}:/data", "-v", f"{tmp_path}/in:/bound",
                    labels={"backup.volume-path.v": "/data", "backup.volume-path.b": "/bound"})
    foreign = stack.container("foreign", "-v", f"{volume}:/x:ro", project="another")
    above = stack.container("above", "-v", f"{tmp_path}:/all", project="third")
    idle = stack.container("idle", "-v", f"{volume}:/x", project="fourth")
    near = stack.container("near", "-v", f"{stack.volume('w')}:/data", project="fifth")
    docker("start", foreign, above, near)
    assert idle
    with agent_of(stack) as agent:
        agent.stack()
        targets(agent, 0, "v")
        targets(agent, 0, "b")
        agent.act((0, START, {}))
        found, _ = agent.collect("list_users", "users_end")
        users = {(v["name"], v["mount"], v["read_only"], v["in_stack"], v["project"]) for _, v in found}
        web = f"{stack.project}-web-1"
        assert users == {(web, 0, 0, 1, stack.project), (web, 1, 0, 1, stack.project), (foreign, 0, 1, 0, "another"),
                         (above, 1, 0, 0, "third")}


# Lock, leftovers, removal

def test_only_one_run_has_the_lock(stack):
    with agent_of(stack) as first, agent_of(stack) as second:
        lock(first, "one", "process:4:5")
        held = lock(second, "two", answer="lock_held")
        assert (held["run"], held["owner"], held["since"], held["boot_id"]) == ("one", "process:4:5", 1700000000, "boot")
        assert held["stager_runs"] == 0
        found, _ = second.collect("list_leftovers", "leftovers_end")
        assert [v["run"] for _, v in found] == ["one"]  # nothing of the run that did not get it
        second.ask("unlock", "removed")
        lock(second, "two", answer="lock_held")
        first.ask("unlock", "removed")
        lock(second, "two")
        second.ask("remove_run", "removed", run="two")
        second.ask("remove_run", "removed", run="one")
    stack.nothing_left()


def test_a_lock_without_owner_is_taken_over(stack):
    owner = stack.container("restore")
    identity = docker("inspect", "--format", "{{.Id}}", owner)
    docker("start", owner)
    with agent_of(stack) as first, agent_of(stack) as second:
        lock(first, "one", f"container:{identity}")
        lock(second, "two", answer="lock_held")
        docker("kill", owner)
        lock(second, "two", f"container:{identity}")
        docker("rm", owner)
        lock(first, "three")
        for agent, run in ((first, "three"), (second, "two"), (second, "one")):
            agent.ask("remove_run", "removed", run=run)
    stack.nothing_left()


def test_of_many_one_gets_a_stale_lock(stack):
    with agent_of(stack) as dead:
        lock(dead, "dead", "container:" + "0" * 64)
    agents = [agent_of(stack) for _ in range(5)]
    for number, agent in enumerate(agents):
        agent.send("lock", run=f"r{number}", owner="process:1:1", boot_id="b", since=1)
    answers = []
    for agent in agents:
        try:
            answers.append(agent.receive()[0])
        except Failed as failed:
            answers.append(failed.code)
    assert answers.count("locked") == 1, answers
    assert set(answers) <= {"locked", "lock_held"}, answers
    for agent in agents:
        agent.close()


def test_a_lock_is_not_broken_while_a_stager_runs(stack):
    with agent_of(stack) as first, agent_of(stack) as second:
        lock(first, "one", "container:" + "0" * 64)
        first.ask("prepare", "prepared", run="one")
        open_stager(first, "one")
        held = lock(second, "two", answer="lock_held")
        assert held["stager_runs"] == 1
        with pytest.raises(Failed) as failed:
            second.ask("break_lock", "removed", run="one")
        assert failed.value.code == 11
        first.ask("close_stager", "stager_closed")
        with pytest.raises(Failed):
            second.ask("break_lock", "removed", run="other")
        second.ask("break_lock", "removed", run="one")
        lock(second, "two")


def test_a_foreign_container_of_the_locks_name_is_left_alone(stack):
    stack.names.append(f"restore-{stack.project}")
    docker("create", "--name", f"restore-{stack.project}", IMAGE, "true")
    with agent_of(stack) as agent:
        with pytest.raises(Failed, match="no lock of ours"):
            lock(agent)
    assert docker("inspect", "--format", "{{.State.Status}}", f"restore-{stack.project}") == "created"


def test_leftovers_are_found_and_removed(stack):
    with agent_of(stack) as agent:
        lock(agent, "one")
        agent.ask("prepare", "prepared", run="one")
    with agent_of(stack) as agent:
        agent.ask("break_lock", "removed", run="one")
        lock(agent, "two")
        found, _ = agent.collect("list_leftovers", "leftovers_end")
        assert [(v["run"], v["has_volume"], v["has_stager"]) for _, v in found] == [("one", 1, 1)]
        for run in ("one", "one", "two", "two"):
            agent.ask("remove_run", "removed", run=run)
        assert agent.collect("list_leftovers", "leftovers_end")[0] == []
    stack.nothing_left()


# The stager

def prepared(stack, binary=BINARY, run="r1", **config):
    agent = agent_of(stack, binary, **config)
    lock(agent, run)
    agent.stack()
    targets(agent, 0, "v")
    agent.ask("prepare", "prepared", run=run)
    return agent


def web(stack, *arguments):
    volume = stack.volume("v")
    stack.container("web", "-v", f"{volume}:/data:ro", *arguments, labels={"backup.volume-path.v": "/data",
                                                                           "backup.volume-path.layer": "/opt/my app"})
    return volume


def test_the_stager_has_its_mounts_and_nothing_else(stack):
    volume = web(stack, "-v", "/var/run/docker.sock:/var/run/docker.sock")
    with prepared(stack):
        made = json.loads(docker("inspect", f"restore-{stack.project}-r1-1"))[0]
    host, config = made["HostConfig"], made["Config"]
    mounts = {(m["Type"], m["Name"], m["Destination"], m["RW"]) for m in made["Mounts"]}
    assert mounts == {("volume", volume, "/mounts/0", True), ("volume", f"restore-{stack.project}-r1", "/run-volume", True)}
    assert host["NetworkMode"] == "none" and host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
    assert set(host["CapAdd"]) == {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"} and not host["Privileged"]
    assert "no-new-privileges:true" in host["SecurityOpt"] and host["LogConfig"]["Type"] == "none"
    assert host["RestartPolicy"]["Name"] in ("", "no") and not host["Binds"] and not host["VolumesFrom"]
    assert config["User"] == "0:0" and config["StdinOnce"] and not config["Tty"]
    labels = json.loads(docker("volume", "inspect", f"restore-{stack.project}-r1"))[0]["Labels"]
    assert labels["restore.run"] == "r1"
    assert json.loads(labels["restore.mounts"]) == [{"type": "volume", "source": volume, "subpath": ""}]


def test_device_nodes_are_allowed_on_demand(stack):
    with agent_of(stack) as agent:
        agent.ask("prepare", "prepared", run="r1", devices=1)
    made = json.loads(docker("inspect", f"restore-{stack.project}-r1-1"))[0]
    assert "MKNOD" in made["HostConfig"]["CapAdd"]


def test_frames_and_bulk_reach_the_stager(stack, odd):
    web(stack)
    with prepared(stack, odd) as agent:
        for _ in range(2):  # a stager is started again for each step
            open_stager(agent)
            assert agent.ask("probe", "probe_end")["run_volume_free"] == 1
            sizes = [1, 0, 262080, 17, 100_000] * 20
            agent.send("stage", reserve_bytes=0)
            frames = b"".join(encode("stream_data", stream=size % 7, bytes=b"x" * size) for size in sizes)
            feeder = threading.Thread(target=write_all, args=(agent.data, frames + encode("streams_end")))
            feeder.start()
            staged = {}
            while (got := agent.receive())[0] == "staged":
                staged[got[1]["stream"]] = got[1]["bytes"]
            feeder.join()
            assert got[0] == "stage_end" and sum(staged.values()) == sum(sizes)
            assert agent.ask("close_stager", "stager_closed")["exit_code"] == 0
        assert "stager: hello of run r1" in agent.log.decode()


def test_a_slow_stager_holds_the_unpacker_back(stack, odd):
    web(stack)
    with prepared(stack, odd, run="odd-slow") as agent:
        open_stager(agent, "odd-slow")
        agent.send("stage")
        frame = encode("stream_data", stream=1, bytes=b"x" * 262000)
        os.set_blocking(agent.data, False)
        taken, end = 0, time.monotonic() + 3
        while time.monotonic() < end:
            try:
                taken += os.write(agent.data, frame[taken % len(frame):])
            except BlockingIOError:
                time.sleep(0.01)
        resident = int(next(line for line in open(f"/proc/{agent.pid}/status") if line.startswith("VmRSS")).split()[1])
        assert taken < 60_000_000 and resident < 24 * 1024, (taken, resident)  # it takes 50 frames a second
        begin = time.monotonic()
        os.kill(agent.pid, 9)
        agent.wait()
        name = f"restore-{stack.project}-odd-slow-1"
        while docker("inspect", "--format", "{{.State.Running}}", name) == "true":
            assert time.monotonic() - begin < 60
            time.sleep(0.1)


ODD = {
    "odd-exit": (14, "exit code 7"),
    "odd-frame": (14, "broke the protocol"),
    "odd-bytes": (14, "broke the protocol"),
}


@pytest.mark.parametrize("run", ODD)
def test_an_odd_stager_is_named(run, stack, odd):
    web(stack)
    with prepared(stack, odd, run=run) as agent:
        open_stager(agent, run)
        agent.send("stage")
        write_all(agent.data, encode("stream_data", stream=1, bytes=b"x"))
        with pytest.raises(Failed) as failed:
            while agent.receive():
                pass
        code, words = ODD[run]
        assert failed.value.code == code and words in failed.value.message
        agent.ask("ping", "engine")
        assert docker("inspect", "--format", "{{.State.Running}}", f"restore-{stack.project}-{run}-1") == "false"
        agent.ask("remove_run", "removed", run=run)
        if run == "odd-exit":
            assert "E stager: the file system burns" in agent.log.decode()


def test_an_early_word_of_the_stager_is_named(stack, odd):
    web(stack)
    with prepared(stack, odd, run="odd-talk") as agent:
        agent.ask("open_stager", "stager_opened", run="odd-talk")
        agent.send("stager_config", run="odd-talk")
        with pytest.raises(Failed, match="out of its state"):
            agent.receive()


def test_a_killed_stager_is_told(stack):
    web(stack)
    with prepared(stack) as agent:
        open_stager(agent)
        docker("kill", f"restore-{stack.project}-r1-1")
        with pytest.raises(Failed, match="killed"):
            agent.receive()
        open_stager(agent)
        agent.ask("close_stager", "stager_closed")


def test_bulk_that_is_no_bulk_ends_the_agent(stack, odd):
    web(stack)
    agent = prepared(stack, odd)
    open_stager(agent)
    agent.send("stage")
    write_all(agent.data, encode("undo"))
    with pytest.raises(EOFError):
        agent.receive()
    assert agent.wait() == 14


def test_the_real_stager_stages_and_swaps(stack):
    volume = web(stack)
    docker("run", "--rm", "-v", f"{volume}:/data", IMAGE, "sh", "-c", "echo old > /data/old; chown 1000 /data")
    with prepared(stack) as agent:
        open_stager(agent)
        agent.send("stager_root", root=0, mount=0)
        found, _ = agent.collect("probe", "probe_end")
        assert found[0][1]["refusal"] == "" and found[0][1]["uid"] == 1000
        agent.send("stager_stream", stream=1, root=0)
        agent.send("stage")
        tar = clean_tar({"./new": b"new data", "./more": b"x" * 300_000})
        pieces = [tar[at:at + 200_000] for at in range(0, len(tar), 200_000)]
        bulk = b"".join(encode("stream_data", stream=1, bytes=piece) for piece in pieces)
        write_all(agent.data, bulk + encode("stream_end", stream=1) + encode("streams_end"))
        staged = {}
        while (got := agent.receive())[0] != "stage_end":
            staged = got[1] if got[0] == "staged" else staged
        assert (staged["entries"], staged["bytes"]) == (2, 300_008)
        agent.ask("commit", "swapped")
        agent.ask("close_stager", "stager_closed")
        listing = docker("run", "--rm", "-v", f"{volume}:/data", IMAGE, "ls", "/data").split()
        assert listing == ["more", "new"]


def test_a_stager_is_made_anew_from_the_runs_volume(stack):
    volume = web(stack)
    with prepared(stack):
        pass
    docker("rm", "-f", f"restore-{stack.project}-r1-1", f"restore-{stack.project}")
    docker("rmi", "-f", "restore-stager:r1")
    with agent_of(stack) as agent:
        lock(agent, "r2")
        open_stager(agent, "r1")
        agent.ask("close_stager", "stager_closed")
        mounts = {m["Name"] for m in json.loads(docker("inspect", f"restore-{stack.project}-r1-1"))[0]["Mounts"]}
        assert mounts == {volume, f"restore-{stack.project}-r1"}
        for run in ("r1", "r2"):
            agent.ask("remove_run", "removed", run=run)
    stack.nothing_left()


def test_a_volume_that_is_gone_is_not_made_anew(stack):
    volume = web(stack)
    with prepared(stack):
        pass
    docker("rm", "-f", f"restore-{stack.project}-r1-1", *stack.names)
    docker("volume", "rm", volume)
    with agent_of(stack) as agent:
        with pytest.raises(Failed, match=volume):
            agent.ask("open_stager", "stager_opened", run="r1")
    assert volume not in docker("volume", "ls", "-q").split()


def test_a_preloaded_image_is_used_and_kept(stack):
    image = f"preloaded-{stack.project}"
    subprocess.run(["docker", "import", "-", image], check=True, capture_output=True,
                   input=(BINARY.parent / "restore-stager.tar").read_bytes())
    web(stack)
    with prepared(stack, stager_image=image) as agent:
        open_stager(agent)
        agent.ask("close_stager", "stager_closed")
        agent.ask("remove_run", "removed", run="r1")
        stack.nothing_left()
    assert docker("images", "-q", image)
    docker("rmi", image)


# A path in the container's own layer

def test_a_layers_path_is_saved_and_put_back(stack):
    web(stack)
    name = f"{stack.project}-web-1"
    docker("start", name)
    docker("exec", name, "sh", "-c", "mkdir -p '/opt/my app/d' && cd '/opt/my app' && echo hello > d/f && chown 7:8 d/f "
                                     "&& ln -s d/f link && head -c 3000000 /dev/urandom > big && sha256sum big > sum")
    docker("stop", "-t", "0", name)
    with prepared(stack) as agent:
        saved = agent.ask("layer_save", "layer_done", container=0, label="layer", stream=1000)
        assert saved["bytes"] > 3_000_000
        docker("start", name)
        docker("exec", name, "sh", "-c", "cd '/opt/my app' && rm d/f link && echo damaged > big")
        docker("stop", "-t", "0", name)
        assert agent.ask("layer_put", "layer_done", container=0, label="layer", stream=1000) == saved
        docker("start", name)
        shown = docker("exec", name, "sh", "-c", "cd '/opt/my app' && sha256sum -c sum && stat -c %u:%g d/f && readlink link")
        assert shown.split("\n") == ["big: OK", "7:8", "d/f"]
        left = docker("ps", "-aq", "--filter", f"label=restore.project={stack.project}", "--filter", "label=restore.role=spool")
        assert left == ""


def test_a_layers_path_that_is_missing_is_an_error(stack):
    web(stack)
    with prepared(stack) as agent:
        with pytest.raises(Failed, match="/opt/my app"):
            agent.ask("layer_save", "layer_done", container=0, label="layer", stream=1000)
        with pytest.raises(Failed, match="no usable label"):
            agent.ask("layer_save", "layer_done", container=0, label="other", stream=1000)
        left = docker("ps", "-aq", "--filter", f"label=restore.project={stack.project}", "--filter", "label=restore.role=spool")
        assert left == ""


def test_a_full_spool_is_told_in_the_helpers_words(stack, odd):
    web(stack)
    docker("start", f"{stack.project}-web-1")
    docker("exec", f"{stack.project}-web-1", "sh", "-c", "mkdir -p '/opt/my app' && head -c 9000000 /dev/zero > '/opt/my app/f'")
    with prepared(stack, odd, run="odd-full") as agent:
        with pytest.raises(Failed) as failed:
            agent.ask("layer_save", "layer_done", container=0, label="layer", stream=9)
        assert failed.value.code == 7 and "No space left" in failed.value.message
