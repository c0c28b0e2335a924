"""Fixtures: a real engine and the images must be there; nothing is skipped."""
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def engine():
    """A missing engine or image is a failure of the environment, never a skip."""
    subprocess.run(["docker", "image", "inspect", harness.IMAGE], check=True, capture_output=True)


@pytest.fixture
def mini():
    stack = harness.MiniStack()
    yield stack
    stack.remove()


@pytest.fixture
def store(tmp_path):
    return harness.Store(tmp_path / "store")
