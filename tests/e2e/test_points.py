"""A sample, with a fixed seed, of the cuts and flipped bits that `make check-integrity` runs all of."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integrity"))
import damage_points as points  # noqa: E402

SAMPLE = points.sample(600, seed=3)
GROUPS = sorted({(point.kind, point.packing) for point in points.all_points()})


@pytest.mark.parametrize("kind,packing", GROUPS)
def test_nothing_cut_or_flipped_passes(kind, packing):
    verdicts = {point: points.judge(point) for point in SAMPLE if (point.kind, point.packing) == (kind, packing)}
    assert verdicts, "the sample misses a group"
    allowed = {"refused", "same"} if kind == "plain" else {"refused"}
    assert set(verdicts.values()) <= allowed, {point: text for point, text in verdicts.items() if text not in allowed}
