"""Faults of S3 through a whole restore (each by itself, and more of them: test_fetcher.py): overcome where that is right,
else one clear end in bounded time, with the stack as it was."""
import time

import pytest

import harness
from fault_server import BUCKET, Server, cut, drip, error, make_certificate, reset, stall
from harness import restore, write_tree
from test_fetcher import skewed

SECONDS = 150
PART_OF_IT = 3_000_000


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A running stack, and its backup of some parallel ranges in memory."""
    folder, mini = tmp_path_factory.mktemp("faults"), harness.MiniStack()
    try:
        volume = mini.volume("data")
        mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
        mini.root = mini.path(volume)
        with open("/dev/urandom", "rb") as noise:
            tree = write_tree(folder / "tree", {"app/volumes/data/blob": noise.read(12_000_000)})
        store = harness.Store(folder / "store")
        name = store.put(mini.project, tree)
        mini.key, mini.archive = f"p/{name}", (store.directory / name).read_bytes()
        mini.blob = (tree / "app/volumes/data/blob").read_bytes()
        yield mini
    finally:
        mini.remove()


def run(scene, server, **options):
    keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
            "S3_STALL_TIMEOUT": 2, "S3_ATTEMPTS": 4, "AWS_ENDPOINT_URL": server.endpoint}
    began = time.monotonic()
    result = restore(scene.project, f"s3://{BUCKET}/p", **{**keys, **options})
    assert time.monotonic() - began < SECONDS
    return result


def of_the_archive(fault):
    """Not before some of it has been served."""
    return lambda request: fault(request) if (request.range() or (0, 0))[0] >= PART_OF_IT else False


OVERCOME = {
    "broken": [cut(100_000, reset=True), reset], "stall": [stall(4, after=1000)],
    "500, 503, 429": [error(500, "InternalError"), error(503, "SlowDown"), error(429)],
}


@pytest.mark.parametrize("faults", OVERCOME.values(), ids=OVERCOME)
def test_faults_that_pass_are_overcome(scene, faults):
    with Server() as server:
        server.put(scene.key, scene.archive)
        waiting = list(faults)
        server.always = of_the_archive(lambda request: waiting.pop(0)(request) if waiting else False)
        result = run(scene, server)
    assert result.code == 0 and waiting == [], result
    assert (scene.root / "blob").read_bytes() == scene.blob


def test_a_wrong_clock_is_overcome_and_named(scene):
    with Server() as server:
        server.put(scene.key, scene.archive)
        server.always = skewed(7200)
        result = run(scene, server)
    assert result.code in (0, 10) and "clocks" in result.text, result


def replaced(request):
    request.server.put(request.key, bytes(len(request.server.objects[request.key][0])))
    return False


LASTING = {
    "replaced": (of_the_archive(replaced), "was replaced while it was being downloaded"),
    "other range": (of_the_archive(lambda request: request.give(headers={"Content-Range": "bytes 0-9/10"})), "the range"),
    "token": (of_the_archive(error(400, "ExpiredToken")), "session token has expired"),
    "stall": (of_the_archive(stall(20)), "S3"), "drip": (of_the_archive(drip), "S3"),
    "redirect": (of_the_archive(error(307, headers={"Location": "http://127.0.0.2:1/"})), "307"),
}


@pytest.mark.parametrize("fault, words", LASTING.values(), ids=LASTING)
def test_faults_that_last_change_nothing(scene, fault, words):
    before = [harness.read_tree(scene.root)]
    events = harness.Events()
    with Server() as server:
        server.put(scene.key, scene.archive)
        server.always = fault
        result = run(scene, server)
    assert result.code == 4 and words in result.err, result
    harness.assert_untouched(scene.project, [scene.root], before, events)


def test_tls_that_is_not_trusted(scene, tmp_path):
    certificate = make_certificate(tmp_path)
    with Server(tls=certificate) as server:
        server.put(scene.key, scene.archive)
        assert run(scene, server).code == 4
        assert run(scene, server, AWS_CA_BUNDLE=certificate).code == 0
