"""A sample of `make check-engine-faults`: dockerd restarted under the run, containers removed under it."""
import pytest

import engine_faults as faults
import held
from own_engine import Engine


@pytest.fixture(scope="module", autouse=True)
def binaries():
    held.build()


@pytest.fixture(scope="module")
def own():
    engine = Engine()
    try:
        engine.start()
        engine.load()
        engine.use()
        yield engine
    finally:
        engine.remove()


@pytest.fixture
def scene(own, tmp_path):
    made = faults.Scene(tmp_path, own)
    yield made
    made.remove()


@pytest.mark.parametrize("point", ["receive users_end 4", "receive swapped 2"])
def test_the_engine_is_restarted(scene, own, point):
    """When the new data is in and not committed, and after the commit. Restart policies cannot start what was
    stopped: they were taken away."""
    assert faults.restart(scene, own, point) == []


@pytest.mark.parametrize("which, point", [("app", "receive watching 2"), ("app", "receive swapped 2"), ("stager", "receive users_end 4")])
def test_a_container_is_removed(scene, which, point):
    assert faults.remove_container(scene, point, which) == []
