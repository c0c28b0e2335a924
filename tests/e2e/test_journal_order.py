"""What lies on disk before what: the stager's intent is synced before it moves the first entry, and its last word after
the last move. A kill alone never shows a missing sync, since what was written stays in the kernel's memory."""
import pytest

from test_stager import BACKUP, Place


@pytest.fixture(scope="session", autouse=True)
def engine():
    """Overrides conftest's: nothing here needs an engine."""


def calls_of(place, trace, verb):
    stager = place.stager(trace_to=trace)
    stager.ask(verb)
    assert stager.close() == 0
    return [line.split(None, 1)[1].split("(")[0] for line in trace.read_text().splitlines()]


def assert_synced_around_the_moves(calls):
    moves = [at for at, call in enumerate(calls) if call == "renameat2"]
    assert len(moves) > 5, calls
    assert "fdatasync" in calls[:moves[0]], "the intent was not on disk before the first move"
    after = calls[moves[-1]:]
    assert "fsync" in after and "fdatasync" in after, "the moves or the word of their end were not on disk"
    assert after.index("fsync") < len(after) - 1 - after[::-1].index("fdatasync"), "the end was noted before it was true"


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    place.staged(BACKUP).close()
    return place


def test_the_intent_is_on_disk_before_the_first_rename(place, tmp_path):
    assert_synced_around_the_moves(calls_of(place, tmp_path / "commit.trace", "commit"))


def test_the_same_on_the_way_back(place, tmp_path):
    calls_of(place, tmp_path / "commit.trace", "commit")
    assert_synced_around_the_moves(calls_of(place, tmp_path / "undo.trace", "undo"))
