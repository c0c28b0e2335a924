"""`make check-compromised` as one of the tests."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "compromised"))
import harness  # noqa: E402
from attacks import ATTACKS  # noqa: E402
from check_compromised import try_all  # noqa: E402


def test_all_attacks():
    subprocess.run(["make", "-s", "compromised"], cwd=harness.ROOT, check=True)
    assert try_all(ATTACKS) == 0


def test_there_are_attacks_of_every_process():
    assert len(ATTACKS) >= 60
    assert {attack.worker for attack in ATTACKS} == {"supervisor", "fetcher", "unpacker", "docker-agent", "stager", "stretcher"}
    assert len({(attack.worker, attack.scene, attack.name) for attack in ATTACKS}) == len(ATTACKS)
