"""An S3 server for one bucket that fails as it is told; signatures are verified by the real one (tests/env/rgw.sh).

A fault is a function fault(request) that answers in place of the server, or returns False to let it answer. Those
given to `fail()` are used up one request each. Every request is kept in `requests`.
"""
import email.utils
import hashlib
import http.server
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

BUCKET = "backups"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, tls=None, page=1000):
        super().__init__(("127.0.0.1", 0), Request)
        self.objects, self.etags, self.requests, self.faults, self.always = {}, {}, [], [], None
        self.page, self.lock, self.connections = page, threading.Lock(), 0
        self.rate = self.latency = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https" if tls else "http"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def put(self, key, data, modified=1700000000, **headers):
        self.objects[key] = (data, modified, headers)
        self.etags[key] = f'"{hashlib.md5(data).hexdigest()}"'

    def etag(self, key):
        return self.etags[key]

    def fail(self, *faults):
        self.faults += faults

    def next_fault(self):
        with self.lock:
            return self.faults.pop(0) if self.faults else self.always

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        """Broken connections are what this server is for."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def log_message(self, *_):
        """The client's messages are what is tested."""

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.key = urllib.parse.unquote(url.path).removeprefix(f"/{BUCKET}").lstrip("/")
        with self.server.lock:
            self.server.requests.append((self.command, self.path, dict(self.headers)))
        if self.server.latency:
            time.sleep(self.server.latency)
        fault = self.server.next_fault()
        if fault is None or fault(self) is False:
            self.answer()
        self.wfile.flush()

    do_HEAD = do_GET

    def answer(self):
        if not self.key:
            return self.list()
        if self.key not in self.server.objects:
            return error(404, "NoSuchKey")(self)
        if self.headers.get("If-Match", self.server.etag(self.key)) != self.server.etag(self.key):
            return error(412, "PreconditionFailed")(self)
        return self.give()

    def range(self):
        """First and last byte, or None."""
        value = self.headers.get("Range")
        if not value:
            return None
        first, last = value.removeprefix("bytes=").split("-")
        return int(first), int(last)

    def give(self, status=None, headers=(), data=None, length=None):
        """The object or the range asked for; what is given replaces parts of the right answer."""
        whole, modified, extra = self.server.objects[self.key]
        span = self.range()
        part = whole if span is None else whole[span[0]:span[1] + 1]
        fields = {"ETag": self.server.etag(self.key), "Last-Modified": email.utils.formatdate(modified, usegmt=True),
                  "Content-Length": str(len(part) if length is None else length), **extra}
        if span:
            fields["Content-Range"] = f"bytes {span[0]}-{span[0] + len(part) - 1}/{len(whole)}"
        fields.update(headers)
        self.send_response(status or (206 if span else 200))
        for name, value in fields.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.send(part if data is None else data)

    def send(self, data):
        if not self.server.rate:
            self.wfile.write(data)
            return
        for at in range(0, len(data), 65536):
            self.wfile.write(data[at:at + 65536])
            time.sleep(len(data[at:at + 65536]) / self.server.rate)

    def list(self):
        keys = sorted(key for key in self.server.objects if key.startswith(self.query.get("prefix", "")))
        start = int(self.query.get("continuation-token", "token-0").removeprefix("token-"))
        shown, more = keys[start:start + self.server.page], len(keys) > start + self.server.page
        body = '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        body += f"<IsTruncated>{str(more).lower()}</IsTruncated><EncodingType>url</EncodingType>"
        body += f"<NextContinuationToken>token-{start + self.server.page}</NextContinuationToken>" if more else ""
        for key in shown:
            data, modified, _ = self.server.objects[key]
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(modified))
            body += (f"<Contents><Key>{urllib.parse.quote_plus(key)}</Key><LastModified>{when}</LastModified>"
                     f"<ETag>{escape(self.server.etag(key))}</ETag><Size>{len(data)}</Size></Contents>")
        self.page(200, body + "</ListBucketResult>", "application/xml")

    def page(self, status, body, kind, headers=()):
        raw = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(raw)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def reset(self):
        """Ends the connection by RST rather than FIN."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def error(status, code="", message="", headers=(), extra=""):
    body = f"<Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>" if code else ""
    return lambda request: request.page(status, body, "application/xml", headers)


def cut(after, reset=False, only=None):
    """Breaks the connection after so many bytes of the body."""

    def fault(request):
        if request.range() is None or (only and not only(request)):
            return False
        first, last = request.range()
        request.give(length=last - first + 1, data=request.server.objects[request.key][0][first:last + 1][:after])
        request.wfile.flush()
        if reset:
            request.reset()
        else:
            request.close_connection = True
        return None

    return fault


def reset(request):
    request.reset()


def stall(seconds, after=0):
    """Sends so many bytes of the body and then nothing for a while."""

    def fault(request):
        if request.range() is None:
            time.sleep(seconds)
            request.close_connection = True
            return
        first, last = request.range()
        data = request.server.objects[request.key][0][first:last + 1]
        request.give(length=len(data), data=data[:after])
        request.wfile.flush()
        time.sleep(seconds)
        request.close_connection = True

    return fault


def drip(request):
    """A byte now and then, for ever."""
    request.give(data=b"")
    while True:
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.2)


def make_certificate(folder, name="127.0.0.1"):
    """A self-signed certificate with its key, as one PEM file."""
    path = folder / f"{name}.pem"
    kind = "IP" if name[0].isdigit() else "DNS"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
         f"subjectAltName={kind}:{name}", "-keyout", "-", "-out", "-"], check=True, capture_output=True)
    path.write_bytes(made.stdout)
    return path
