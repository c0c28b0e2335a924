"""Drives restore-docker-agent as the supervisor does: descriptors 0 to 6, frames as messages.def declares them."""
import os
import select
import struct
import threading
import time

from fetcher_driver import ROOT, Failed, decode, encode, high

BINARY = ROOT / "build/bin/restore-docker-agent"
SOCKET = "/var/run/docker.sock"


class Agent:
    """A running agent, configured for a project and past `ping`; `containers` is its listing by service."""

    def __init__(self, project, timeout=20):
        pipes = [[high(fd) for fd in os.pipe()] for _ in range(3)]
        (in_read, self.control), (self.answers, out_write), (self.log_fd, log_write) = pipes
        null = high(os.open("/dev/null", os.O_RDWR))
        os.set_blocking(log_write, False)
        inside = [null, null, log_write, in_read, out_write, null, null]
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(inside)]
        self.pid = os.posix_spawn(str(BINARY), [str(BINARY)], {}, file_actions=actions)
        for fd in (null, log_write, in_read, out_write):
            os.close(fd)
        self.log, self.warnings, self.status = b"", [], None
        threading.Thread(target=self.read_log, daemon=True).start()
        self.send("agent_config", socket=SOCKET, project=project, self="", stager_image="", timeout=timeout)
        self.expect("ready")
        self.send("ping")
        self.expect("engine")
        self.list_stack()

    def read_log(self):
        while chunk := os.read(self.log_fd, 4096):
            self.log += chunk

    def list_stack(self):
        self.containers = {}
        self.send("list_stack")
        for name, values in self.until("stack_end"):
            if name == "container":
                self.containers[values["service"]] = values["index"]

    def send(agent, name, /, **values):  # the protocol has a field `self`
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

    def receive(self, seconds=120):
        """The next message that is no warning."""
        deadline = time.monotonic() + seconds
        while True:
            _, number, _, length = struct.unpack("<BBHI", self.read_exactly(8, deadline))
            name, values = decode(number, self.read_exactly(length, deadline))
            if name == "failed":
                raise Failed(values["code"], values["message"])
            if name != "warning":
                return name, values
            self.warnings.append(values["message"])

    def until(self, last, seconds=120):
        """All messages up to and with one of that name."""
        got = []
        while not got or got[-1][0] != last:
            got.append(self.receive(seconds))
        return got

    def expect(self, name, seconds=120):
        got, values = self.receive(seconds)
        assert got == name, (got, values)
        return values

    def wait(self):
        if self.status is None:
            time.sleep(0.1)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        """The end of control is the end of the agent; 0 unless its sandbox or the protocol ended it."""
        os.close(self.control)
        status = self.wait()
        os.close(self.answers)
        return status
