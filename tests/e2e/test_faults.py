"""A sample, with a fixed seed, of the faults that `make check-faults` runs all of."""
import pathlib
import random
import subprocess
import sys

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "faults"))
import check_faults  # noqa: E402
import fault_cases  # noqa: E402

SEED = 3
SAMPLE = {"unpacker": 16, "fetcher": 12, "docker-agent": 12, "stager": 5, "stretcher": 12}  # of each case
SAMPLE_OF_SLOW = 1  # whose runs take seconds


@pytest.fixture(scope="module", autouse=True)
def built():
    build = pathlib.Path(fault_cases.BUILD).parent
    subprocess.run(["make", "-s", f"BUILD={build}", "all", f"{build}/bin/restore-stager.tar", "faults-build"],
                   cwd=harness.ROOT, check=True)


@pytest.mark.parametrize("number", range(len(fault_cases.CASES)), ids=[case.name for case in fault_cases.CASES])
def test_a_sample_of_the_faults(number, tmp_path):
    try:
        points = list(check_faults.points_of(number, check_faults.count(number, tmp_path)))
        case = fault_cases.CASES[number]
        chosen = random.Random(SEED).sample(points, SAMPLE_OF_SLOW if case.most else SAMPLE[case.worker])
        outcomes = [(point, *check_faults.attempt(point, tmp_path)) for point in chosen]
    finally:
        check_faults.close(None)
        check_faults.forget()
    assert [(point, problem) for point, problem, _ in outcomes if problem] == []
    assert sum(fate != "unreached" for _, _, fate in outcomes) > len(chosen) // 2
