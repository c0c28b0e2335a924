"""A sample, with a fixed seed, of the controls that `make check-mutants` takes out one at a time."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mutants"))
import mutants  # noqa: E402
from controls import CONTROLS  # noqa: E402
from scratch import Scratch  # noqa: E402


def test_a_sample_of_the_controls_is_missed_when_it_is_taken_out(tmp_path):
    assert mutants.try_all(Scratch(tmp_path), mutants.sample(3, seed=6), everything=()) == 0


def test_every_control_stands_where_the_list_says():
    root = pathlib.Path(__file__).resolve().parents[2]
    counts = {control.name: (root / control.file).read_text().count(control.text) for control in CONTROLS}
    assert set(counts.values()) == {1}, {name: count for name, count in counts.items() if count != 1}
    assert len(counts) == len(CONTROLS) >= 25
