"""`make check-compromised` as one of the tests: all attacks on a run that ends early, and a few of each kind that take a
whole one."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "compromised"))
import harness  # noqa: E402
from attacks import ATTACKS  # noqa: E402
from check_compromised import try_all  # noqa: E402

EVERY = 8  # of those that take a whole run


def test_a_sample_of_the_attacks():
    subprocess.run(["make", "-s", "compromised"], cwd=harness.ROOT, check=True)
    quick = [attack for attack in ATTACKS if not attack.slow]
    chosen = [attack for attack in quick if attack.scene != "verify"]
    chosen += [attack for attack in quick if attack.scene == "verify"][::EVERY]
    assert try_all(chosen) == 0
    assert len(chosen) >= 60


def test_there_are_attacks_of_every_worker():
    assert len(ATTACKS) >= 60
    assert {attack.worker for attack in ATTACKS} == {"fetcher", "unpacker", "docker-agent", "stager"}
    assert len({(attack.worker, attack.scene, attack.name) for attack in ATTACKS}) == len(ATTACKS)
