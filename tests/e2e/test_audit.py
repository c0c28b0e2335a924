"""AUDIT_LOG, REPORT_FILE and what is said of them: every kind of line, changes that are found, what happens where the
record cannot be written, and that nothing secret is in it."""
import fcntl
import hashlib
import html.parser
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

import harness
from harness import RESTORE, read_tree, restore, write_tree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "audit"))
import check_audit  # noqa: E402


@pytest.fixture
def scene(mini, store, tmp_path):
    """A stack with one volume, which a restore changes from `live` to `backup`."""
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "backup"}))
    write_tree(mini.path(volume), {"f": "live", "sub/g": "live too", "sub/empty/": "", "z": ""})
    (mini.path(volume) / "link").symlink_to("f")
    return mini.path(volume)


def records(log):
    return [json.loads(line) for line in pathlib.Path(log).read_bytes().splitlines()]


def of(log, event):
    return [record for record in records(log) if record["event"] == event]


def audit(*arguments):
    done = subprocess.run([RESTORE, "audit", *map(str, arguments)], env={}, capture_output=True, text=True, check=False)
    return harness.Result(done.returncode, done.stdout, done.stderr)


def survey(root):
    """As workers/stager/survey.h describes it."""
    digest = hashlib.sha256()

    def feed(folder):
        for name in sorted(os.listdir(os.fsencode(folder))):
            path = os.path.join(os.fsencode(folder), name)
            status = os.lstat(path)
            regular, link = os.path.isfile(path) and not os.path.islink(path), os.path.islink(path)
            seconds, nanoseconds = divmod(status.st_mtime_ns, 10**9)
            digest.update(name + b"\0" + f"{status.st_mode:o} {status.st_uid} {status.st_gid} "
                          f"{status.st_size if regular else 0} {seconds}.{nanoseconds:09}\0".encode())
            if link:
                digest.update(os.readlink(path) + b"\0")
            elif os.path.isdir(path):
                feed(path)
        digest.update(b"\0")

    feed(root)
    return digest.hexdigest()


def test_every_change_of_a_real_log_is_found(tmp_path):
    passed, failed, lines = check_audit.run(tmp_path)
    assert failed == [] and passed > 1000 and lines > 80


def test_intents_come_before_and_volumes_have_digests(mini, store, scene, tmp_path):
    log, report = tmp_path / "log", tmp_path / "report.json"
    before = survey(scene)
    result = restore(mini.project, store, AUDIT_LOG=log, REPORT_FILE=report)
    assert result.code == 0, result
    actions = [(record["event"], record["action"]) for record in records(log) if "action" in record]
    for action in ("stop", "commit", "conclude", "start", "remove"):
        assert actions.index(("intent", action)) + 1 == actions.index(("result", action))
    [former], [volume] = of(log, "former"), of(log, "volume")
    assert former["sha256"] == before and former["entries"] == 6 and former["bytes"] == 12
    assert former["source"] == f"{mini.project}_data"
    assert len(volume["sha256"]) == 64 and volume["entries"] == 1 and volume["bytes"] == 6
    [container] = of(log, "container")
    assert container["image_id"].startswith("sha256:") and container["state"] == "running"
    begin, end = records(log)[0], records(log)[-1]
    for name, sha256 in begin["binaries"].items():  # the image has its own
        assert len(sha256) == 64 if harness.RUNNER else hashlib.sha256((RESTORE.parent / name).read_bytes()).hexdigest() == sha256
    assert {"fetcher", "unpacker", "docker_agent", "stager"} <= set(begin["policies"])
    assert begin["identity"]["uid"] == (65534 if harness.RUNNER == "container-user" else os.getuid())
    assert begin["kernel"]["release"] == os.uname().release
    policies = {"supervisor": "supervisor", "fetcher": "fetcher_file", "unpacker": "unpacker",
                "docker-agent": "docker_agent", "stager": "stager"}
    assert {worker["name"]: worker["policy"] for worker in of(log, "worker")} == policies
    assert all(worker["filter"] == of(log, "begin")[0]["policies"][worker["policy"]] for worker in of(log, "worker"))
    assert end["exit_code"] == 0 and end["data"] == "of the backup" and end["rto_seconds"] > end["downtime_seconds"] > 0
    assert end["rpo_seconds"] > 0
    assert audit("verify", log, "--head", check_audit.head_of(result)).code == 0
    summary = json.loads(report.read_text())
    assert summary["audit_head"] == check_audit.head_of(result) and summary["end"]["exit_code"] == 0
    assert [item["name"] for item in summary["volumes"]] == ["data"] and summary["audit_complete"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["log", "report.json"]


def test_a_failure_and_its_undo_are_recorded(mini, store, tmp_path):
    """An archive that is cut; and a second run goes on with the first one's chain."""
    log, report = tmp_path / "log", tmp_path / "report.json"
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    name = store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x" * 100000}))
    (store.directory / name).write_bytes((store.directory / name).read_bytes()[:-20])
    result = restore(mini.project, store, AUDIT_LOG=log, REPORT_FILE=report)
    assert result.code == 5, result
    [failure] = of(log, "failure")
    assert failure["exit_code"] == 5 and failure["reason"] in result.err
    assert records(log)[-1]["data"] == "as before"
    assert json.loads(report.read_text())["failure"]["exit_code"] == 5
    assert ("intent", "bring back the former state") in [(record["event"], record.get("action")) for record in records(log)]
    assert restore(mini.project, store, AUDIT_LOG=log, RESTORE_MODE="list").code == 0
    verdict = audit("verify", log)
    assert verdict.code == 0 and "of 2 runs" in verdict.out, verdict


def test_wrong_settings_are_recorded_too(store, tmp_path):
    log, report = tmp_path / "log", tmp_path / "report.json"
    result = restore("p", store, AUDIT_LOG=log, REPORT_FILE=report, STOP_TIMEOUT="soon", AWS_SECRET_ACCESS_KEY="planted-1",
                     AWS_ENDPOINT_URL="https://user:planted-2@127.0.0.1")
    assert result.code == 2, result
    assert "STOP_TIMEOUT" in of(log, "failure")[0]["reason"] and "planted" not in log.read_text()
    assert of(log, "begin")[0]["options"]["AWS_ENDPOINT_URL"] == "https://***@127.0.0.1"
    assert json.loads(report.read_text())["end"]["exit_code"] == 2


@pytest.mark.parametrize("case,words", [("folder", "regular file"), ("missing/log", "No such file"), ("/dev/full", "regular file"),
                                        ("link", "symbolic link"), ("other", "does not end in a record"), ("fifo", "regular file")])
def test_a_log_that_cannot_be_used_ends_the_run_before_it_begins(mini, store, scene, tmp_path, case, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other").write_text("some other file\n")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "other", tmp_path / "fifo"):
        path.chmod(0o666)  # in the container it is another user who tries
    before, events = read_tree(scene), harness.Events()
    result = restore(mini.project, store, AUDIT_LOG=tmp_path / case)
    assert result.code == 2 and "AUDIT_LOG" in result.err, result
    assert words in result.err or "Is a directory" in result.err, result
    assert "Phase" not in result.out
    harness.assert_untouched(mini.project, [scene], [before], events)
    assert (tmp_path / "other").read_text() == "some other file\n" and not (tmp_path / "elsewhere").exists()


def limited(project, store, size, **options):
    """A run whose files end at a size, in the midst of a line, as a full disk would."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run([RESTORE], env=harness.environment(project, store, **options), capture_output=True, text=True,
                          preexec_fn=limit, restore_signals=False, check=False, timeout=harness.DEADLINE)
    return harness.Result(done.returncode, done.stdout, done.stderr)


def end_of(log, event, action):
    """Where the line ends, in bytes."""
    at = 0
    for line in log.read_bytes().splitlines(keepends=True):
        at += len(line)
        record = json.loads(line)
        if record["event"] == event and record.get("action") == action:
            return at
    raise AssertionError("no such line")


def test_no_room_for_the_record_before_the_stop(mini, store, scene, tmp_path):
    """The intent cannot be written whole, so it is not carried out."""
    log = tmp_path / "log"
    assert restore(mini.project, store, AUDIT_LOG=tmp_path / "first", RESTORE_MODE="plan").code == 0
    harness.write_tree(scene, {"f": "live"})
    before = read_tree(scene)
    plan = next(i for i, record in enumerate(records(tmp_path / "first")) if record["event"] == "plan")
    size = sum(len(line) for line in (tmp_path / "first").read_bytes().splitlines(keepends=True)[: plan + 1])
    events = harness.Events()
    result = limited(mini.project, store, size + 60, AUDIT_LOG=log)
    assert result.code == 1 and "The audit log cannot be written" in result.err, result
    harness.assert_untouched(mini.project, [scene], [before], events)
    assert audit("verify", log).code == 5  # its last line is cut off
    result = restore(mini.project, store, AUDIT_LOG=log)
    assert result.code == 10 and "is cut off" in result.err, result
    verdict = audit("verify", log)
    assert verdict.code == 10 and len(log.read_bytes().splitlines()) == of_torn(log)["seq"] + lines_after(log), verdict


def of_torn(log):
    for line in log.read_bytes().splitlines():
        if b'"event":"torn"' in line:
            return json.loads(line)
    raise AssertionError("no line says so")


def lines_after(log):
    lines = log.read_bytes().splitlines()
    return len(lines) - 1 - next(i for i, line in enumerate(lines) if b'"event":"torn"' in line)


def test_no_room_for_the_record_behind_the_commit_point(mini, store, scene, tmp_path):
    """The data goes before the record: the restore ends, with a warning."""
    log, first = tmp_path / "log", tmp_path / "first"
    assert restore(mini.project, store, AUDIT_LOG=first).code == 0
    write_tree(scene, {"f": "live"})
    result = limited(mini.project, store, end_of(first, "result", "conclude") + 40, AUDIT_LOG=log)
    assert result.code == 10, result
    assert "The audit log of this run is not complete" in result.err
    assert read_tree(scene) == {"f": b"backup"}
    assert harness.leftovers(mini.project) == [] and set(mini.states().values()) == {"running"}


def test_one_run_at_a_time_has_the_log(mini, store, scene, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = restore(mini.project, store, AUDIT_LOG=log)
        assert result.code == 11 and "another run writes" in result.err, result
        threading.Timer(1, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()
        assert restore(mini.project, store, AUDIT_LOG=log, RESTORE_MODE="list").code == 0
    both = [harness.start_restore(mini.project, store, AUDIT_LOG=log, RESTORE_MODE="list") for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert "of 3 runs" in audit("verify", log).out


def test_a_killed_run_and_the_recovery_are_one_chain(mini, store, scene, tmp_path):
    log = tmp_path / "log"
    process = harness.start_restore(mini.project, store, AUDIT_LOG=log)
    deadline = time.monotonic() + 60
    while b'"action":"stop","event":"intent"' not in (log.read_bytes() if log.exists() else b""):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = log.read_bytes()
    result = restore(mini.project, store, AUDIT_LOG=log, RESTORE_MODE="recover")
    assert result.code == 0, result
    assert log.read_bytes().startswith(before)
    assert any(record.get("action") == "recover" for record in records(log))
    verdict = audit("verify", log)
    assert verdict.code == 0 and "of 2 runs" in verdict.out, verdict


@pytest.mark.parametrize("case,words", [("encrypted", "encrypted by a password"), ("public", "no secret key"),
                                        ("damaged", "halves"), ("missing", "cannot be read"), ("nothing", "without AUDIT_LOG")])
def test_keys_that_cannot_sign(mini, store, tmp_path, case, words):
    key = check_audit.make_key(tmp_path)
    text = key.read_text()
    if case == "encrypted":
        head, body = text.splitlines()
        key.write_text(f"{head}\n{encrypted(body)}\n")
    elif case == "public":
        key.write_text((tmp_path / "audit.pub").read_text())
    elif case == "damaged":
        head, body = text.splitlines()
        key.write_text(f"{head}\n{body[:100]}{'A' if body[100] != 'A' else 'B'}{body[101:]}\n")
    elif case == "missing":
        key.unlink()
    result = restore(mini.project, store, AUDIT_LOG=None if case == "nothing" else tmp_path / "log", AUDIT_SIGN_KEY_FILE=key)
    assert result.code == 2 and "AUDIT_SIGN_KEY_FILE" in result.err and words in result.err, result


def encrypted(body):
    """The same key with the mark of one that a password protects."""
    import base64
    binary = bytearray(base64.b64decode(body))
    binary[2:4] = b"Sc"
    return base64.b64encode(bytes(binary)).decode()


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ""

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("src", "href"), (tag, name, value)

    def handle_data(self, data):
        self.text += data


ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "thead", "tr", "th", "td"}


def page_of(file):
    result = audit("report", file)
    assert result.code == 0, result
    page = Page()
    page.feed(result.out)
    assert page.tags <= ALLOWED and "<script" not in result.out
    return page


def test_the_page_shows_a_log_and_a_report(mini, store, scene, tmp_path):
    log, report = tmp_path / "log", tmp_path / "report.json"
    result = restore(mini.project, store, AUDIT_LOG=log, REPORT_FILE=report)
    page = page_of(log)
    assert "The chain is whole" in page.text and check_audit.head_of(result) in page.text and f"{mini.project}-app-1" in page.text
    page = page_of(report)
    assert "restored" in page.text and "the data is of the backup" in page.text
    log.write_bytes(log.read_bytes().replace(b'"event":"phase"', b'"event":"phrase"', 1))
    assert "The chain is broken at line 3" in page_of(log).text
    assert audit("report", RESTORE).code == 2 and audit("report", tmp_path / "none").code == 2


def test_everything_in_the_page_is_escaped(tmp_path):
    bad = "</td><script>alert(1)</script><img src=x onerror='x'>\"&\x1b\x00"[:-1]
    record = {"event": bad, "prev": "0" * 64, "run": bad, "seq": 1, "time": bad, bad: {bad: [bad, {bad: bad}]}}
    (tmp_path / "log").write_bytes(check_audit.canonical(record))
    assert bad[:30] in page_of(tmp_path / "log").text
    (tmp_path / "report").write_bytes(check_audit.canonical({"run": bad, "end": {"outcome": bad, "data": bad}, bad: bad}))
    assert bad[:30] in page_of(tmp_path / "report").text


@pytest.mark.parametrize("arguments", [(), ("verify",), ("verify", "x", "--head"), ("report",), ("other", "x"), ("verify", "/none")])
def test_wrong_use_of_the_subcommands(arguments):
    assert audit(*arguments).code == 2


def test_verify_wants_a_whole_head(tmp_path):
    (tmp_path / "log").write_text("")
    assert audit("verify", tmp_path / "log", "--head", "abc").code == 2
    assert audit("verify", tmp_path / "log").code == 5


def test_the_report_comes_whole_or_not_at_all(mini, store, scene, tmp_path):
    (tmp_path / "folder").mkdir()
    for path, words in ((tmp_path / "folder", "no regular file"), (tmp_path / "none/report", "No such file")):
        result = restore(mini.project, store, REPORT_FILE=path)
        assert result.code == 2 and "REPORT_FILE" in result.err and words in result.err, result
    report = tmp_path / "report.json"
    report.write_text("an older one")
    assert restore(mini.project, store, REPORT_FILE=report, BACKUP_FILE="nonsense").code == 2
    assert json.loads(report.read_text())["end"]["exit_code"] == 2
    assert [path.name for path in tmp_path.glob(".report*")] == []
