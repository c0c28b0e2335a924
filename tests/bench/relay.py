"""A link with a limit for every connection: a relay in front of the S3 server.

Each connection brings at most `rate` bytes a second, and each request waits `delay` seconds before it is passed on, as a
round trip would make it. (Kernels without netem are common, and no queueing discipline limits single connections.)
"""
import socket
import threading
import time

CHUNK = 128 << 10


class Relay:
    def __init__(self, target, rate, delay=0.0):
        self.target, self.rate, self.delay = target, rate, delay
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self.answers, args=(server, client), daemon=True).start()

    def requests(self, client, server):
        time.sleep(self.delay)  # the connection's own round trip
        try:
            while piece := client.recv(CHUNK):
                time.sleep(self.delay)
                server.sendall(piece)
        except OSError:
            pass
        _hang_up(server)

    def answers(self, server, client):
        free_at = time.monotonic()
        try:
            while piece := server.recv(CHUNK):
                free_at = max(free_at, time.monotonic() - 0.01) + len(piece) / self.rate
                client.sendall(piece)
                time.sleep(max(0.0, free_at - time.monotonic()))
        except OSError:
            pass
        _hang_up(client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def _hang_up(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
