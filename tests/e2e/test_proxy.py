"""A restore of the whole stack through HAProxy with the published allowlist: it succeeds, and all else is answered 403. README's
table, the allowlist and the code are one list."""
import http.client
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import damage
import fill
import harness
import make_backup
import pytest
import stack
import state
from harness import restore

sys.path.insert(0, str(harness.ROOT / "tests/policy"))
import engine_requests  # noqa: E402

PROJECT = "e2eproxy"
CONFIG = harness.ROOT / "policies/docker-proxy.cfg"
ID = "0123456789abcdef" * 4


class Proxy:
    """HAProxy with the published configuration, its sockets apart."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="proxy"))
        self.path = self.folder / "docker.sock"
        config = CONFIG.read_text()
        assert config.count("/run/restore-proxy/docker.sock") == 2
        (self.folder / "haproxy.cfg").write_text(config.replace("/run/restore-proxy", str(self.folder)))
        self.log = open(self.folder / "log", "w+")
        self.start()

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", self.folder / "haproxy.cfg"], stdout=self.log,
                                        stderr=subprocess.STDOUT)
        while not self.path.exists():
            assert self.process.poll() is None, self.lines()
            time.sleep(0.05)

    def lines(self):
        return (self.folder / "log").read_text()

    def requests(self):
        """(verdict, method, URI) of every connection that has ended."""
        return re.findall(r"(stream|permitted|denied) (\S+) (/\S*)$", self.lines(), re.M)

    def ask(self, method, uri):
        connection = http.client.HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.path))
        connection.request(method, uri)
        return connection.getresponse().status

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)


@pytest.fixture
def proxy():
    made = Proxy()
    yield made
    made.close()


def test_the_documents_are_the_table():
    subprocess.run([sys.executable, harness.ROOT / "tests/policy/engine_requests.py", "--check"], check=True)


def row_of(method, uri):
    """The table's line that a request through the proxy is an example of."""
    path = re.sub(r"^/v1\.\d+", "", uri.split("?")[0])
    found = [row for row in engine_requests.rows() if row[0] == method and re.fullmatch(engine_requests.pattern(row[1]), path)]
    return found[0][:2] if found else None


def test_a_whole_restore_through_the_allowlist(proxy, tmp_path):
    stack.down(PROJECT)
    try:
        stack.up(PROJECT)
        fill.fill(PROJECT)
        before = state.take(PROJECT)
        make_backup.build_archive(PROJECT, tmp_path)
        damage.damage(PROJECT)
        result = restore(PROJECT, harness.Store(tmp_path), DOCKER_HOST=f"unix://{proxy.path}")
        assert result.code == 0, result
        assert {name: lines for name, lines in state.compare(before, state.take(PROJECT)).items() if lines} == {}
    finally:
        stack.down(PROJECT)
    time.sleep(0.2)
    seen = proxy.requests()
    assert len(seen) > 50
    assert [request for request in seen if request[0] == "denied"] == []
    used = {row_of(method, uri) for _, method, uri in seen}
    assert None not in used
    streams = [uri for verdict, _, uri in seen if verdict == "stream"]
    assert any("/exec/" in uri for uri in streams) and any("/attach" in uri for uri in streams)



DENIED = [
    ("GET", "/v1.41/secrets"), ("GET", "/v1.41/networks"), ("POST", "/v1.41/build"), ("POST", "/v1.41/swarm/init"),
    ("POST", "/v1.41/containers/prune"), ("POST", "/v1.41/volumes/prune"), ("POST", "/v1.41/images/create?fromImage=debian"),
    ("POST", "/v1.41/images/create?fromSrc=http%3A%2F%2Fexample.org%2Fx"), ("POST", "/v1.41/containers/app-web-1/stop"),
    ("POST", f"/v1.41/containers/{ID[:12]}/start"), ("POST", f"/v1.41/containers/{ID}/rename?name=x"),
    ("GET", f"/v1.41/containers/{ID}/logs?stdout=1"), ("GET", f"/v1.41/containers/{ID}/export"),
    ("DELETE", "/v1.41/containers/app-web-1?force=1"), ("DELETE", f"/v1.41/containers/{ID}?force=1&v=1"),
    ("GET", "/v1.41/containers/../secrets"), ("GET", "/v1.41/containers/x/../../secrets/json"),
    ("GET", "/v1.41/images/a%2F..%2F..%2Fsecrets/json"), ("POST", "/v1.41/version"), ("GET", "/v1.41/plugins"),
    ("GET", "/containers/json"), ("GET", "//v1.41/info"), ("PUT", "/v1.41/containers/app-web-1/archive?path=/"),
    ("POST", f"/v1.41/containers/{ID}/attach?stream=1&logs=1"), ("GET", "/v1.41/system/df"), ("HEAD", "/_ping"),
]


def test_all_else_is_forbidden(proxy):
    assert proxy.ask("GET", "/version") == 200
    assert proxy.ask("GET", "/v1.41/containers/json?all=1") == 200
    assert proxy.ask("GET", f"/v1.41/containers/{ID}/json") == 404
    answers = {(method, uri): proxy.ask(method, uri) for method, uri in DENIED}
    assert {request for request, status in answers.items() if status != 403} == set()
    assert {request[0] for request in proxy.requests() if request[1:] in DENIED} <= {"denied"}


def test_nothing_follows_a_refused_stream_on_its_connection(proxy):
    """What passes unread after the head of a stream: the Engine refuses the stream (no such process) and hangs up."""
    body = b'{"Detach":false,"Tty":false}'
    head = (f"POST /v1.41/exec/{ID}/start HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: Upgrade, close\r\n"
            f"Content-Type: application/json\r\nUpgrade: tcp\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(proxy.path))
        connection.sendall(head + body + b"GET /v1.41/secrets HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 404 ")
    time.sleep(0.2)
    assert [request[0] for request in proxy.requests()] == ["stream"]


def test_a_stream_without_close_does_not_pass_unread(proxy):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(proxy.path))
        connection.sendall(f"POST /v1.41/exec/{ID}/start HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
                           "GET /v1.41/secrets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert b"HTTP/1.1 403 " in answer or answer.count(b"HTTP/1.1 ") == 1


def test_without_one_of_its_lines_the_restore_fails(mini, store, tmp_path):
    """It is the list that lets the restore through, not a gap beside it."""
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    store.put(mini.project, harness.write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))
    proxy = Proxy()
    try:
        config = (proxy.folder / "haproxy.cfg").read_text()
        assert restore(mini.project, store, DOCKER_HOST=f"unix://{proxy.path}").code == 0
        lines = [line for line in config.splitlines() if "/images/create(" in line]
        assert len(lines) == 1
        for line in lines:
            proxy.process.terminate()
            proxy.process.wait()
            os.unlink(proxy.path)
            (proxy.folder / "haproxy.cfg").write_text(config.replace(line + "\n", ""))
            proxy.start()
            assert restore(mini.project, store, DOCKER_HOST=f"unix://{proxy.path}").code == 6
            assert harness.leftovers(mini.project) == []
    finally:
        proxy.close()
