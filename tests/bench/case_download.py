"""download: the real fetcher against curl with one stream, from the local server and over a link with a limit for each
connection (relay.py)."""
import subprocess
import urllib.parse

import drain
import fetcher_driver
import measure
import relay
import storage

LINK = 20_000_000  # bytes a second of one connection


def ours(endpoint, key, size):
    values = storage.settings()
    with fetcher_driver.Fetcher(sink=False) as fetcher:
        drain.in_background(drain.to_nothing, fetcher.data_read)
        fetcher.open(endpoint, storage.BUCKET, region=values["AWS_DEFAULT_REGION"], key=values["AWS_ACCESS_KEY_ID"],
                     secret=values["AWS_SECRET_ACCESS_KEY"], stall_timeout=30)
        etag = fetcher.head(key)["etag"]
        seconds = measure.seconds_of(lambda: fetcher.get(key, size, etag, seconds=600))  # it checks the size itself
    return size / 1e6 / seconds


def theirs(endpoint, key, size):
    command = ["curl", "-sS", "-f", *storage.curl_arguments(), "-o", "/dev/null", f"{endpoint}/{storage.BUCKET}/{key}"]
    return size / 1e6 / measure.seconds_of(lambda: subprocess.run(command, check=True))


def compare(bench, case, endpoint, key, size, goal, rounds):
    results = measure.alternate(rounds, {"ours": lambda: ours(endpoint, key, size),
                                         "curl": lambda: theirs(endpoint, key, size)})
    bench.report.add_rounds(case, "rate", "MB/s", results["ours"], "curl, one stream", results["curl"], goal)


def run(bench):
    endpoint = storage.settings()["AWS_ENDPOINT_URL"]
    key, size = bench.archive.key, bench.archive.path.stat().st_size
    compare(bench, "download, local", endpoint, key, size, ">= 0.95", bench.rounds + 2)
    parts = urllib.parse.urlsplit(endpoint)
    for delay in (0.0, 0.05):
        with relay.Relay((parts.hostname, parts.port), LINK, delay) as link:
            name = "download, 20 MB/s a connection" + (f", {delay * 1000:.0f} ms" if delay else "")
            compare(bench, name, f"http://127.0.0.1:{link.port}", key, size, ">= 4", min(bench.rounds, 2))
