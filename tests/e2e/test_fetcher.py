"""restore-fetcher, locked down as it ships, against a server with faults, a directory and a real S3 server."""
import hashlib
import os
import random
import signal
import socket
import subprocess
import threading
import time

import fault_server
import harness
import pytest
from fault_server import BUCKET, Server, cut, drip, error, make_certificate, reset, stall
from fetcher_driver import ROOT, Failed, Fetcher, Redirected

NAME = "p/backup_app_20231105-120000_abc.tar.zst"
PART = 2 << 20
SECRET, TOKEN = "wJalrXUtnFEMI-planted-secret", "planted-session-token-0123456789"
HTML = "<!DOCTYPE html><html><body>Welcome to the console</body></html>"


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def worker(server):
    with Fetcher() as started:
        yield started.open(server.endpoint, BUCKET, "p", secret=SECRET)


def blob(size, seed=1):
    return random.Random(seed).randbytes(size)


def fetch(worker, server, key=NAME, seconds=60):
    """Downloads, checks every byte, and returns `got`."""
    data = server.objects[key][0]
    before = worker.sink.size
    got = worker.get(key, len(data), server.etag(key), seconds=seconds)
    worker.sink.wait(before + len(data))
    assert bytes(worker.sink.data[before:]) == data
    assert got["bytes"] == len(data)
    return got


def fails(call, *parts, code=4):
    with pytest.raises(Failed) as failure:
        call()
    assert failure.value.code == code, failure.value
    for part in parts:
        assert part in failure.value.message, failure.value
    assert "\n" not in failure.value.message
    return failure.value.message


def ranges(server):
    return [headers["Range"] for command, _, headers in server.requests if command == "GET" and "Range" in headers]


# listing


def test_list_pages_and_selects(server, worker):
    """The two halves of a project's backups, each page over a connection of its own, without other projects' pages."""
    server.page = 10
    wanted = {f"p/backup_app_{start}{i:03}&<é + %41" for start in "12" for i in range(35)}
    others = {"p/backup_app_1x/deeper", "p/backup_apple_1", "backup_app_1", "p/other", *(f"p/backup_app_two_{i}" for i in range(50))}
    for key in wanted | others:
        server.put(key, key.encode())
    listed = worker.list("app")
    assert {entry["key"] for entry in listed} == wanted and len(listed) == len(wanted)
    assert all(entry["size"] == len(entry["key"].encode()) and entry["modified"] == 1700000000 for entry in listed)
    assert all(entry["etag"] == server.etag(entry["key"]) for entry in listed)
    assert [path.split("?")[0] for _, path, _ in server.requests] == [f"/{BUCKET}/"] * 8
    assert server.connections == 8


def test_list_of_nothing(worker):
    assert worker.list("app") == []


def test_list_without_prefix(server):
    server.put("backup_app_1", b"x")
    server.put("folder/backup_app_2", b"x")
    with Fetcher() as worker:
        worker.open(server.endpoint, BUCKET)
        assert [entry["key"] for entry in worker.list("app")] == ["backup_app_1"]


TRANSIENT = {
    "500": error(500, "InternalError"), "503": error(503, "SlowDown"), "429": error(429), "bare 502": error(502),
    "RequestTimeout": error(400, "RequestTimeout"), "reset": reset, "stall": stall(4),
    "close": lambda request: setattr(request, "close_connection", True),
}


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
def test_list_recovers(server, worker, fault):
    server.put(NAME, b"x")
    server.fail(fault, fault)
    assert [entry["key"] for entry in worker.list("app")] == [NAME]
    assert all(headers["Authorization"].startswith("AWS4-HMAC-SHA256") for _, _, headers in server.requests)


def test_list_page_that_breaks_is_read_again(server, worker):
    server.put(NAME, b"x")
    server.put(NAME + "2", b"x")

    def half(request):
        body = '<ListBucketResult><Contents><Key>p/backup_app_1</Key>'
        request.page(200, body, "application/xml", {"Content-Length": "5000"})
        request.close_connection = True

    server.fail(half)
    assert len(worker.list("app")) == 2


def test_list_gives_up(server, worker):
    server.always = error(503, "SlowDown")
    fails(lambda: worker.list("app"), "503 SlowDown", "given up after 3 attempts", "try again later", server.endpoint)
    for start in "12":
        assert sum(path.endswith(f"backup_app_{start}") for _, path, _ in server.requests) <= 3


def test_list_gives_up_on_a_server_that_drips(server, worker):
    def slow(request):
        request.page(200, "", "application/xml", {"Content-Length": "100000"})
        drip(request)

    server.always = slow
    fails(lambda: worker.list("app"), "given up after 3 attempts")


def test_retry_after_is_honoured(server, worker):
    server.fail(error(503, "SlowDown", headers={"Retry-After": "2"}))
    began = time.monotonic()
    worker.list("app")
    assert time.monotonic() - began > 1.9


NO_LIST = {
    "web page": lambda request: request.page(200, HTML, "text/html"),
    "other xml": lambda request: request.page(200, "<a><b/></a>", "application/xml"),
    "nothing": lambda request: request.page(200, "", "application/xml"),
    "web page of 404": lambda request: request.page(404, HTML, "text/html"),
    "doctype": lambda request: request.page(
        200, '<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult>&b;</ListBucketResult>', "application/xml"),
}


@pytest.mark.parametrize("answer", NO_LIST.values(), ids=NO_LIST)
def test_what_is_no_list_is_not_taken_for_an_empty_one(server, worker, answer):
    server.always = answer
    fails(lambda: worker.list("app"), "is AWS_ENDPOINT_URL the address of the S3 service")


def test_list_of_missing_key_is_an_error(server, worker):
    server.always = error(404, "NoSuchKey")
    fails(lambda: worker.list("app"), "404 NoSuchKey")


def test_list_without_an_end(server, worker):
    def again(request):
        request.page(200, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t"
                          "</NextContinuationToken></ListBucketResult>", "application/xml")

    server.always = again
    fails(lambda: worker.list("app"), "repeats itself")


def test_list_page_that_is_too_long(server, worker):
    server.always = lambda request: request.page(200, "<ListBucketResult>" + "x" * (5 << 20), "application/xml")
    fails(lambda: worker.list("app"), "more than")


def test_list_page_made_to_take_memory(server, worker):
    names = " ".join(f"a{i}='{i}'" for i in range(250000))
    server.always = lambda request: request.page(200, f"<ListBucketResult {names}/>", "application/xml")
    fails(lambda: worker.list("app"), "out of memory")


# refusals

REFUSALS = [
    (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"), (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
    (403, "AccessDenied", "s3:ListBucket"), (400, "ExpiredToken", "session token has expired"),
    (400, "InvalidToken", "AWS_SESSION_TOKEN"), (404, "NoSuchBucket", "no such bucket"),
]


@pytest.mark.parametrize("status,code,advice", REFUSALS)
def test_refusals_are_final_and_say_what_to_do(server, worker, status, code, advice):
    server.always = error(status, code, "text of\nthe server")
    for call in (lambda: worker.head(NAME), lambda: worker.get(NAME, 10, '"e"'), lambda: worker.list("app")):
        server.requests.clear()
        fails(call, f"{status} {code}", "text of?the server", advice, f"bucket '{BUCKET}' at {server.endpoint}")
        assert len(server.requests) <= 2


def test_archived_object(server, worker):
    server.put(NAME, b"x" * 10, **{"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="true"',
                                   "x-amz-version-id": "v1"})
    info = worker.head(NAME)
    assert (info["storage_class"], info["restore"], info["version_id"]) == ("GLACIER", 'ongoing-request="true"', "v1")
    server.always = error(403, "InvalidObjectState")
    fails(lambda: worker.get(NAME, 10), "archive tier")


def test_head(server, worker):
    server.put(NAME, b"x" * 1234)
    info = worker.head(NAME)
    assert (info["exists"], info["size"], info["modified"], info["etag"]) == (1, 1234, 1700000000, server.etag(NAME))
    assert worker.head("p/other")["exists"] == 0
    assert worker.head(NAME[:-1])["exists"] == 0
    server.always = lambda request: request.page(404, HTML, "text/html")
    fails(lambda: worker.head(NAME), "is AWS_ENDPOINT_URL the address")


def test_head_recovers(server, worker):
    server.put(NAME, b"x")
    server.fail(error(503), reset)
    assert worker.head(NAME)["exists"] == 1


# downloads


@pytest.mark.parametrize("size", [0, 1, 1000, PART - 1, PART, PART + 1, 7 * PART + 12345])
def test_get(server, worker, size):
    server.put(NAME, blob(size))
    assert fetch(worker, server)["resumed"] == 0
    assert all(headers["If-Match"] == server.etag(NAME) for _, _, headers in server.requests)
    assert len(server.requests) == -(-size // PART)


def test_get_twice_over_the_same_connections(server, worker):
    server.put(NAME, blob(3 * PART))
    fetch(worker, server)
    fetch(worker, server)
    assert server.connections <= 3


def test_get_of_a_version(server, worker):
    server.put(NAME, b"x" * 10)
    worker.get(NAME, 10, server.etag(NAME), version_id="v+/1")
    assert server.requests[-1][1].endswith("?versionId=v%2B%2F1")


@pytest.mark.parametrize("hard", [False, True])
def test_get_continues_where_it_broke(server, worker, hard):
    server.put(NAME, blob(1 << 20))
    server.fail(cut(300000, reset=hard), cut(300000, reset=hard))
    assert fetch(worker, server)["resumed"] == 2
    starts = [int(value.removeprefix("bytes=").split("-")[0]) for value in ranges(server)]
    assert starts[0] == 0 and len(starts) == 3
    if not hard:
        assert starts == [0, 300000, 600000]


def test_progress_keeps_a_bad_link_alive(server, worker):
    server.put(NAME, blob(1 << 20))
    server.fail(*[cut(100000)] * 8)
    assert fetch(worker, server)["resumed"] == 8


def test_get_without_progress_gives_up(server, worker):
    server.put(NAME, blob(1 << 20))
    server.always = cut(10)
    fails(lambda: worker.get(NAME, 1 << 20, server.etag(NAME)), "given up after 3 attempts", NAME)


@pytest.mark.parametrize("after", [0, 1000, 400000])
def test_get_after_a_stall(server, worker, after):
    server.put(NAME, blob(1 << 20))
    server.fail(stall(120, after))
    fetch(worker, server)


def test_get_from_a_server_that_drips(server, worker):
    server.put(NAME, blob(100000))
    server.always = drip
    fails(lambda: worker.get(NAME, 100000, server.etag(NAME)), "given up after 3 attempts")


def test_get_recovers_from_many_faults(server, worker):
    server.put(NAME, blob(6 * PART))
    server.fail(error(500), reset, cut(100000), error(503, "SlowDown"), cut(1 << 20, reset=True), error(429))
    fetch(worker, server)


def only_second_part(fault):
    return lambda request: fault(request) if request.range() and request.range()[0] == PART else False


WRONG = {
    "200": (lambda request: request.give(status=200, headers={"Content-Range": None}), "does not support ranges"),
    "other range": (lambda request: request.give(headers={"Content-Range": f"bytes 0-9/{3 * PART}"}), "the range"),
    "no range": (lambda request: request.give(headers={"Content-Range": None}), "the range"),
    "other size": (lambda request: request.give(headers={"Content-Range": f"bytes {PART}-{2 * PART - 1}/99"}),
                   "the range"),
    "other etag": (lambda request: request.give(headers={"ETag": '"other"'}), "was replaced"),
    "no etag": (lambda request: request.give(headers={"ETag": None}), "was replaced"),
    "412": (error(412, "PreconditionFailed"), "was replaced"),
    "bare 412": (error(412), "was replaced"),
    "416": (error(416, "InvalidRange"), "was replaced"),
    "gone": (error(404, "NoSuchKey"), "no such object"),
    "longer": (lambda request: request.give(
        length=PART + 10, data=request.server.objects[NAME][0][PART:2 * PART + 10]), "more than"),
}


@pytest.mark.parametrize("fault,words", WRONG.values(), ids=WRONG)
def test_wrong_answers_are_refused_at_once(server, worker, fault, words):
    server.put(NAME, blob(3 * PART))
    server.always = only_second_part(fault)
    fails(lambda: worker.get(NAME, 3 * PART, server.etag(NAME)), words, NAME)
    worker.sink.settle()
    assert bytes(worker.sink.data) == server.objects[NAME][0][:len(worker.sink.data)]
    assert len(worker.sink.data) <= (2 * PART if words == "more than" else PART)
    server.always = None
    fetch(worker, server)


def test_shorter_answers_are_continued(server, worker):
    server.put(NAME, blob(200000))
    short = lambda request: request.give(  # noqa: E731
        length=70000, data=server.objects[NAME][0][request.range()[0]:][:70000],
        headers={"Content-Range": f"bytes {request.range()[0]}-199999/200000"})
    server.fail(short)
    assert fetch(worker, server)["resumed"] == 1


def test_object_replaced_between_two_ranges(server, worker):
    server.put(NAME, blob(8 * PART))
    etag = server.etag(NAME)

    def replace(request):
        if request.range()[0] >= 3 * PART:
            server.put(NAME, blob(8 * PART, seed=2))
        return False

    server.always = replace
    fails(lambda: worker.get(NAME, 8 * PART, etag), "replaced while it was being downloaded")


def test_a_download_begins_with_four_ranges_at_once(server):
    """Each of them is answered only when all four were asked for."""
    server.put(NAME, blob(4 * PART))
    all_asked = threading.Barrier(4, timeout=60)

    def together(_):
        all_asked.wait()
        return False

    with Fetcher() as worker:
        worker.open(server.endpoint, BUCKET, "p", stall_timeout=30)
        server.always = together
        assert fetch(worker, server, seconds=60)["resumed"] == 0
    assert len(server.requests) == 4


def test_connections_are_added_while_the_reader_waits(server, worker):
    server.rate = 4 << 20
    server.put(NAME, blob(20 * PART))
    fetch(worker, server)
    assert server.connections >= 6


def test_fewer_connections_when_the_server_asks(server, worker):
    server.put(NAME, blob(16 * PART))
    running, most = [0], [0]
    lock = threading.Lock()

    def crowded(request):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            refused = running[0] > 2
        time.sleep(0.02)
        error(503, "SlowDown")(request) if refused else request.answer()
        with lock:
            running[0] -= 1

    server.always = crowded
    fetch(worker, server)
    assert most[0] <= 6


@pytest.mark.parametrize("idle", [None, 1])
def test_a_reader_that_waits_costs_no_attempt(server, worker, monkeypatch, idle):
    """Also where the server closes connections that are idle meanwhile."""
    monkeypatch.setattr(fault_server.Request, "timeout", idle)
    server.put(NAME, blob(24 * PART))
    worker.sink.pause.set()
    worker.send("get", key=NAME, size=24 * PART, etag=server.etag(NAME))
    time.sleep(5)
    asked = len(server.requests)
    assert asked < 12
    worker.sink.pause.clear()
    assert worker.expect("got")["resumed"] == 0
    worker.sink.wait(24 * PART)
    assert bytes(worker.sink.data) == server.objects[NAME][0]
    assert len(server.requests) == 24


def test_memory_is_bounded(server, worker):
    server.put(NAME, blob(40 * PART))
    worker.sink.rate = 40 << 20
    fetch(worker, server)
    with open(f"/proc/{worker.pid}/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 36 << 10


def test_progress_is_reported(server, worker):
    server.rate = 2 << 20
    server.put(NAME, blob(3 << 20))
    fetch(worker, server)
    seen = [values["bytes"] for name, values in worker.messages if name == "fetched"]
    assert 3 <= len(seen) <= 12 and seen == sorted(seen) and seen[-1] <= 3 << 20


def test_a_reader_that_goes_away_ends_the_verb(server):
    server.put(NAME, blob(PART))
    with Fetcher(sink=False) as worker:
        worker.open(server.endpoint, BUCKET)
        os.close(worker.data_read)
        fails(lambda: worker.get(NAME, PART, server.etag(NAME)), "the reader of the download has gone", code=1)
        assert worker.list("app") == []


# regions, redirects, clocks


def test_region_in_a_header(server, worker):
    server.always = error(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-1"})
    for call in (lambda: worker.list("app"), lambda: worker.head(NAME), lambda: worker.get(NAME, 10)):
        with pytest.raises(Redirected, match="eu-west-1"):
            call()


def test_region_in_the_body(server, worker):
    server.always = error(400, "AuthorizationHeaderMalformed", extra="<Region>eu-central-1</Region>")
    with pytest.raises(Redirected, match="eu-central-1"):
        worker.list("app")


@pytest.mark.parametrize("region", ["us-east-1", "", "bad region/"])
def test_region_that_leads_nowhere(server, worker, region):
    server.always = error(301, "PermanentRedirect", headers={"x-amz-bucket-region": region})
    fails(lambda: worker.list("app"), "301 PermanentRedirect", "AWS_DEFAULT_REGION")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_never_go_to_another_host(server, worker, status):
    with Server() as other:
        server.always = error(status, headers={"Location": f"{other.endpoint}/{BUCKET}/{NAME}"})
        for call in (lambda: worker.list("app"), lambda: worker.head(NAME), lambda: worker.get(NAME, 10)):
            fails(call, str(status))
        assert other.connections == 0


def skewed(seconds):
    """A server whose clock differs, and that refuses dates more than 15 minutes from it."""

    def fault(request):
        now = time.time() + seconds
        request.date_time_string = lambda timestamp=None: time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
        signed = time.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
        scope = request.headers["Authorization"].split("/")[1]
        assert scope == time.strftime("%Y%m%d", signed)
        if abs(now - time.mktime(signed) + time.timezone) > 900:
            return error(403, "RequestTimeTooSkewed")(request)
        return False

    return fault


@pytest.mark.parametrize("seconds", [-7200, 86400 * 3])
@pytest.mark.parametrize("verb", ["list", "head", "get"])
def test_a_wrong_clock_is_corrected_once(server, worker, seconds, verb):
    server.put(NAME, blob(PART + 1))
    server.always = skewed(seconds)
    if verb == "list":
        assert len(worker.list("app")) == 1
    elif verb == "head":
        assert worker.head(NAME)["exists"] == 1
    fetch(worker, server)
    assert worker.close() == 0
    assert worker.log.count(b"W S3: the clocks of this machine and the server differ by") == 1


def test_a_clock_that_cannot_be_corrected(server, worker):
    server.always = error(403, "RequestTimeTooSkewed")
    fails(lambda: worker.list("app"), "RequestTimeTooSkewed", "clock is wrong")
    assert len(server.requests) <= 4  # each half of the list twice


# TLS, names, proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_tls(certificate):
    with Server(tls=certificate) as server, Fetcher() as worker:
        server.put(NAME, blob(12 * PART))
        worker.open(server.endpoint, BUCKET, "p", ca_bundle=str(certificate))
        assert len(worker.list("app")) == 1
        fetch(worker, server)


def test_tls_recovers(certificate):
    with Server(tls=certificate) as server, Fetcher() as worker:
        server.put(NAME, blob(3 * PART))
        worker.open(server.endpoint, BUCKET, "p", ca_bundle=str(certificate), attempts=5)
        server.fail(reset, cut(100000, reset=True), cut(5), stall(4, after=10))
        fetch(worker, server)


def test_tls_over_many_connections(certificate):
    """Random numbers are seeded once, before the lock-down: no connection may ask the kernel for more."""
    with Server(tls=certificate) as server, Fetcher() as worker:
        worker.open(server.endpoint, BUCKET, ca_bundle=str(certificate))
        server.always = lambda request: setattr(request, "close_connection", True) or False
        for _ in range(150):
            assert worker.list("app") == []
        assert server.connections == 300  # two halves of each list


def test_tls_that_is_not_trusted(certificate, tmp_path):
    other = make_certificate(tmp_path)
    with Server(tls=certificate) as server:
        for bundle in ("", str(other)):
            with Fetcher() as worker:
                worker.open(server.endpoint, BUCKET, ca_bundle=bundle)
                fails(lambda w=worker: w.list("app"), "certificate is not trusted", "AWS_CA_BUNDLE",
                      bundle or "/etc/ssl/certs/ca-certificates.crt")
        assert not server.requests


def test_tls_for_another_name(tmp_path):
    other = make_certificate(tmp_path, "s3.example.test")
    with Server(tls=other) as server, Fetcher() as worker:
        worker.open(server.endpoint, BUCKET, ca_bundle=str(other))
        fails(lambda: worker.list("app"), "certificate is not trusted")
        assert not server.requests


@pytest.mark.parametrize("content,words", [(None, "cannot be opened"), (b"", "no certificate"),
                                           (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no")])
def test_bundle_that_cannot_be_used(tmp_path, content, words):
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    with Fetcher() as worker:
        fails(lambda: worker.open("https://127.0.0.1:9", BUCKET, ca_bundle=str(path)), words, str(path), code=2)
        assert worker.wait() == 2
        worker.status = 0


def test_endpoints_that_cannot_be_used():
    for endpoint, words in (("ftp://127.0.0.1", "http://"), ("127.0.0.1:9000", "URL"), ("http://u:p@h", "user")):
        with Fetcher() as worker:
            fails(lambda w=worker, e=endpoint: w.open(e, BUCKET), words, code=2)
            worker.wait()
            worker.status = 0


def test_a_name_that_does_not_resolve():
    with Fetcher() as worker:
        fails(lambda: worker.open("http://no-such-host.invalid", BUCKET), "no-such-host.invalid", "cannot be resolved")
        assert worker.wait() == 4
        worker.status = 0


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with Fetcher() as worker:
        worker.open(endpoint, BUCKET)
        fails(lambda: worker.list("app"), "given up after 3 attempts", endpoint)


def test_the_wrong_kind_of_server(certificate):
    with Server(tls=certificate) as server, Fetcher() as worker:
        worker.open(server.endpoint.replace("https", "http"), BUCKET, attempts=1)
        fails(lambda: worker.list("app"), server.endpoint.replace("https", "http"))
    with socket.create_server(("127.0.0.1", 0)) as listener, Fetcher() as worker:
        threading.Thread(target=lambda: listener.accept()[0].sendall(b"220 smtp\r\n"), daemon=True).start()
        worker.open(f"http://127.0.0.1:{listener.getsockname()[1]}", BUCKET)
        fails(lambda: worker.list("app"), "that is no HTTP server")


def test_proxy_and_virtual_host(server):
    server.put(NAME, blob(PART + 1))
    with Fetcher() as worker:
        worker.open("http://s3.test.invalid", BUCKET, "p", proxy=server.endpoint, addressing=2)
        assert len(worker.list("app")) == 1
        worker.get(NAME, PART + 1, server.etag(NAME))
    assert all(path.startswith(f"http://{BUCKET}.s3.test.invalid/") for _, path, _ in server.requests)
    assert server.requests[0][2]["Host"] == f"{BUCKET}.s3.test.invalid"


def test_proxies_of_the_environment_are_not_used(server):
    env = {name: "http://127.0.0.1:9" for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY")}
    with Fetcher(env={**env, "PATH": os.environ["PATH"]}) as worker:
        worker.open(server.endpoint, BUCKET)
        assert worker.list("app") == []


# the process


def test_no_secret_leaks(server):
    with Fetcher() as worker:
        worker.open(server.endpoint, BUCKET, secret=SECRET, token=TOKEN)
        assert worker.list("app") == []
        assert server.requests[0][2]["x-amz-security-token"] == TOKEN
        assert "x-amz-security-token" in server.requests[0][2]["Authorization"]
        server.always = error(403, "AccessDenied", f"your token is {TOKEN}")
        message = fails(lambda: worker.list("app"), "AccessDenied")
        server.always = error(500, "InternalError", f"your token is {TOKEN}")
        message += fails(lambda: worker.list("app"), "InternalError")
    assert TOKEN not in message and SECRET not in message
    assert TOKEN.encode() not in worker.log and SECRET.encode() not in worker.log
    assert all(SECRET not in str(request) for request in server.requests)


@pytest.mark.parametrize("field", ["key", "secret", "token"])
def test_credentials_cannot_carry_headers(server, field):
    with Fetcher() as worker:
        worker.open(server.endpoint, BUCKET, **{field: "a\r\nHost: evil"})
        fails(worker.receive, "a line break", code=2)
        assert not server.requests


def test_no_credentials(server):
    with Fetcher() as worker:
        worker.send("fetcher_config", endpoint=server.endpoint, bucket=BUCKET)
        worker.expect("ready")
        for call in (lambda: worker.list("app"), lambda: worker.head(NAME), lambda: worker.get(NAME, 1)):
            fails(call, "no credentials", code=2)
    assert not server.requests


def test_it_ends_when_the_supervisor_hangs_up(server, worker):
    server.put(NAME, blob(1000))
    asked = threading.Event()
    silent = stall(120)
    server.always = lambda request: asked.set() or silent(request)
    worker.send("get", key=NAME, size=1000, etag=server.etag(NAME))
    assert asked.wait(60)
    assert worker.close() == 0


def test_a_message_out_of_its_state_ends_it(server, worker):
    server.always = stall(30)
    worker.send("list", project="app")
    worker.send("head", key="x")
    assert worker.wait() == 14
    assert b"protocol violation: message out of its state" in worker.log


def test_it_survives_being_stopped(server, worker):
    server.put(NAME, blob(1000))
    server.fail(stall(1.2))
    worker.send("get", key=NAME, size=1000, etag=server.etag(NAME))
    for _ in range(3):
        time.sleep(0.2)
        os.kill(worker.pid, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(worker.pid, signal.SIGCONT)
    worker.expect("got")


def test_it_is_locked_down(worker):
    assert worker.ready["layers"] & 0b11101 == 0b11101
    with open(f"/proc/{worker.pid}/status", encoding="ascii") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


# a directory as the store


@pytest.fixture
def store(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / NAME).write_bytes(blob(3 << 20))
    (tmp_path / "p/backup_app_folder").mkdir()
    (tmp_path / "p/backup_app_link").symlink_to("/etc/passwd")
    (tmp_path / "p/other").write_bytes(b"x")
    return tmp_path


def test_directory(store):
    with Fetcher() as worker:
        worker.send("fetcher_config", endpoint="file:", bucket=str(store), prefix="p")
        worker.expect("ready")
        listed = worker.list("app")
        assert [(entry["key"], entry["size"]) for entry in listed] == [(NAME, 3 << 20)]
        info = worker.head(NAME)
        assert info["etag"] == listed[0]["etag"] and info["exists"] == 1
        assert worker.head("p/none")["exists"] == 0
        worker.get(NAME, info["size"], info["etag"])
        worker.sink.wait(3 << 20)
        assert hashlib.sha256(worker.sink.data).digest() == hashlib.sha256(blob(3 << 20)).digest()
        (store / NAME).write_bytes(blob(3 << 20, seed=3))
        fails(lambda: worker.get(NAME, info["size"], info["etag"]), "was changed")
        (store / NAME).unlink()
        fails(lambda: worker.get(NAME, info["size"], info["etag"]), "no longer in the store")
    assert b"W left out of the list: the file 'p/backup_app_link' of the store cannot be opened" in worker.log
    assert b"W left out of the list: 'p/backup_app_folder' in the store is no regular file" in worker.log


def test_directory_holds_its_worker(store):
    with Fetcher() as worker:
        worker.open("file:", str(store))
        for key in ("../x", "/etc/passwd", "p/../../x"):
            fails(lambda k=key: worker.head(k), "leads out of the store", code=2)
        fails(lambda: worker.head("p/backup_app_link"), "cannot be opened")
        (store / "out").symlink_to("/etc")
        fails(lambda: worker.head("out/passwd"), "cannot be opened")
        fails(lambda: worker.head("p"), "no regular file")


def test_directory_that_is_missing():
    with Fetcher() as worker:
        fails(lambda: worker.open("file:", "/no/such/directory"), "/no/such/directory", "cannot be opened")
        worker.wait()
        worker.status = 0


# a real server, which verifies signatures


@pytest.fixture(scope="module")
def rgw():
    subprocess.run([ROOT / "tests/env/rgw.sh", "start"], check=True, capture_output=True)
    with open("/run/restore-tests/rgw.env", encoding="ascii") as lines:
        values = dict(line.strip().split("=", 1) for line in lines)
    env = {**os.environ, **values}
    bucket = f"fetcher-{os.getpid()}"

    def aws(*arguments, data=None):
        return subprocess.run(["aws", *arguments], env=env, input=data, check=True, capture_output=True).stdout

    aws("s3", "mb", f"s3://{bucket}")
    yield values, bucket, aws
    aws("s3", "rb", "--force", f"s3://{bucket}")


def real(worker, rgw, prefix="", **changes):
    """Opens the worker for the real server, but for what is changed."""
    values, bucket, _ = rgw
    settings = {"endpoint": values["AWS_ENDPOINT_URL"], "key": values["AWS_ACCESS_KEY_ID"],
                "secret": values["AWS_SECRET_ACCESS_KEY"], **changes}
    return worker.open(settings.pop("endpoint"), settings.pop("bucket", bucket), prefix, **settings)


@pytest.mark.parametrize("tls", [False, True])
def test_rgw(rgw, tls):
    values, bucket, aws = rgw
    prefix = "a b/c+d=é&(1)'!~*$"
    key = f"{prefix}/backup_app_20231105-120000_x+y z.tar.zst"
    data = blob(21 << 20)
    aws("s3", "cp", "-", f"s3://{bucket}/{key}", data=data)
    changes = {"endpoint": values["RGW_TLS_ENDPOINT_URL"], "ca_bundle": values["RGW_CA_BUNDLE"]} if tls else {}
    with Fetcher() as worker:
        real(worker, rgw, prefix, **changes)
        listed = worker.list("app")
        assert [entry["key"] for entry in listed] == [key]
        info = worker.head(key)
        assert (info["exists"], info["size"], info["etag"]) == (1, len(data), listed[0]["etag"])
        assert abs(info["modified"] - listed[0]["modified"]) <= 1
        assert worker.head(key + "x")["exists"] == 0
        worker.get(key, info["size"], info["etag"])
        worker.sink.wait(len(data))
        assert bytes(worker.sink.data) == data
        fails(lambda: worker.get(key, info["size"], '"another"'), "412")


def test_rgw_refuses(rgw):
    cases = [({"secret": "wrong"}, "SignatureDoesNotMatch"), ({"key": "WRONG"}, "InvalidAccessKeyId"),
             ({"bucket": "no-such-bucket"}, "NoSuchBucket")]
    for changes, code in cases:
        with Fetcher() as worker:
            real(worker, rgw, **changes)
            fails(lambda w=worker: w.list("app"), code)
            fails(lambda w=worker: w.head("key"), code)
            fails(lambda w=worker: w.get("key", 10, '"e"'), code)


def test_rgw_versions(rgw):
    _, _, aws = rgw
    bucket = f"fetcher-versions-{os.getpid()}"
    aws("s3", "mb", f"s3://{bucket}")
    aws("s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", "Status=Enabled")
    aws("s3", "cp", "-", f"s3://{bucket}/backup_app_1", data=b"first")
    with Fetcher() as worker:
        real(worker, rgw, bucket=bucket)
        first = worker.head("backup_app_1")
        assert first["version_id"]
        aws("s3", "cp", "-", f"s3://{bucket}/backup_app_1", data=b"other")
        fails(lambda: worker.get("backup_app_1", 5, first["etag"]), "was replaced")
        worker.get("backup_app_1", 5, first["etag"], version_id=first["version_id"])
        worker.sink.wait(5)
        assert bytes(worker.sink.data) == b"first"
        versions = [first["version_id"], worker.head("backup_app_1")["version_id"]]
    for version in versions:
        aws("s3api", "delete-object", "--bucket", bucket, "--key", "backup_app_1", f"--version-id={version}")
    aws("s3", "rb", f"s3://{bucket}")


def test_another_region_is_asked_with_the_same_credentials():
    """By the shipped supervisor, which starts another fetcher for it."""
    with Server() as elsewhere:
        elsewhere.put("backup_app_20260101-120000_x.tar.zst", b"x")
        elsewhere.fail(error(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-1"}))
        result = harness.restore("app", f"s3://{BUCKET}", RESTORE_MODE="list", AWS_ENDPOINT_URL=elsewhere.endpoint,
                                 AWS_ACCESS_KEY_ID="KEY", AWS_SECRET_ACCESS_KEY="SECRET", S3_ATTEMPTS=1)
        assert result.code == 0 and "1 backups" in result.out, result
        signed = [headers["Authorization"] for _, _, headers in elsewhere.requests]
        assert all("=KEY/" in line for line in signed) and "/us-east-1/s3/" in signed[0]
        assert len(signed) >= 3 and all("/eu-west-1/s3/" in line for line in signed[-2:])
