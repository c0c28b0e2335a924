"""A sample, with a fixed seed, of libarchive's and zstd's own test files, which `make check-hostile` runs all of."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
import corpora  # noqa: E402
import hostile  # noqa: E402


def test_a_sample_of_the_corpora_neither_crashes_nor_hangs_the_unpacker():
    verdicts = {case.name: hostile.judge_case(case) for case in hostile.sample(corpora.fetch(), 150, seed=4)}
    assert {verdict for verdict, _ in verdicts.values()} == {"accepted", "refused"}
    wrong = {name: problem for name, (_, problem) in verdicts.items() if problem is not None}
    assert wrong == {}
