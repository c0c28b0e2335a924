"""Drives restore-docker-agent as the supervisor does, with its data pipe and whatever configuration a test wants."""
import os
import select
import struct
import threading
import time
from pathlib import Path

from fetcher_driver import Failed, decode, encode, high

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "build/bin/restore-docker-agent"


class Agent:
    """One docker-agent, ready. All that it says is kept in `messages`."""

    def __init__(agent, project, binary=BINARY, wrap=(), /, **config):  # the protocol has a field `self`
        pipes = [[high(fd) for fd in os.pipe()] for _ in range(4)]
        (in_read, agent.control), (agent.answers, out_write), (data_read, agent.data), (agent.log_fd, log_write) = pipes
        null = high(os.open("/dev/null", os.O_RDWR))
        os.set_blocking(log_write, False)
        inside = [null, null, log_write, in_read, out_write, data_read, null]
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(inside)]
        argv = [*wrap, str(binary)]
        agent.pid = os.posix_spawnp(argv[0], argv, {"PATH": os.environ["PATH"]}, file_actions=actions)
        for fd in (null, log_write, in_read, out_write, data_read):
            os.close(fd)
        agent.log, agent.messages, agent.status = b"", [], None
        agent.log_thread = threading.Thread(target=agent.read_log, daemon=True)
        agent.log_thread.start()
        agent.send("agent_config", project=project, **{"socket": "/var/run/docker.sock", "timeout": 20, **config})
        agent.ready = agent.expect("ready")

    def read_log(self):
        while chunk := os.read(self.log_fd, 4096):
            self.log += chunk

    def send(agent, name, /, **values):
        os.write(agent.control, encode(name, **values))

    def read_exactly(self, size, deadline):
        data = b""
        while len(data) < size:
            ready, _, _ = select.select([self.answers], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no answer in time; log: {self.log.decode()}"
            chunk = os.read(self.answers, size - len(data))
            if not chunk:
                raise EOFError(f"status {self.wait()}; log: {self.log.decode()}")
            data += chunk
        return data

    def receive(self, seconds=30):
        """The next message but warnings; `failed` and `stager_failed` are raised."""
        deadline = time.monotonic() + seconds
        while True:
            _, number, _, length = struct.unpack("<BBHI", self.read_exactly(8, deadline))
            name, values = decode(number, self.read_exactly(length, deadline))
            self.messages.append((name, values))
            if name in ("failed", "stager_failed"):
                raise Failed(values["code"], values["message"])
            if name not in ("warning", "stager_warning"):
                return name, values

    def expect(self, name, seconds=30):
        got, values = self.receive(seconds)
        assert got == name, (got, values)
        return values

    def ask(agent, verb, answer, /, seconds=30, **values):
        agent.send(verb, **values)
        return agent.expect(answer, seconds)

    def collect(agent, verb, end, wait=30, /, **values):
        """All messages up to `end`, as (name, values), and `end` itself."""
        agent.send(verb, **values)
        found = []
        while True:
            name, got = agent.receive(wait)
            if name == end:
                return found, got
            found.append((name, got))

    def stack(self):
        """Containers of the project by name."""
        found, _ = self.collect("list_stack", "stack_end")
        return {values["name"]: values for name, values in found if name == "container"}

    def act(self, *actions, deadline=30):
        """Queues (index, action, further fields) and runs them: {index: (ok, message)}."""
        for index, action, fields in actions:
            self.send("act", container=index, action=action, **fields)
        acted, _ = self.collect("act_run", "act_end", deadline + 10, deadline=deadline)
        return {values["container"]: (values["ok"], values["message"]) for _, values in acted}

    def wait(self):
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            self.log_thread.join(1)
        return self.status

    def close(self):
        """Hangs up, as the supervisor does at the end, and returns the exit status."""
        os.close(self.control)
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if self.status is None and kind is not None:
            os.kill(self.pid, 9)
        if self.status is None:
            status = self.close()
            assert kind is not None or status == 0, f"{status}: {self.log.decode()}"
        for fd in (self.answers, self.data):
            os.close(fd)
