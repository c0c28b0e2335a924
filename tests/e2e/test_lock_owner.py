"""A lock whose owner is a process of this host: kept while that very process runs, whether or not its helpers do."""
import os
import pathlib

import pytest

from engine_driver import Agent
from harness import leftovers, read_tree, restore, write_tree

BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def started(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])


@pytest.fixture
def locked(mini, tmp_path, store):
    """Gives what locks the project for an owner, and what then tries a restore of it."""
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "x"}))

    def attempt(owner, boot_id):
        with Agent(mini.project) as agent:
            agent.ask("ping", "engine")
            agent.ask("lock", "locked", run="former", owner=owner, boot_id=boot_id, since=1700000000)
            result = restore(mini.project, store)
            if result.code == 11:
                agent.ask("unlock", "removed")
                agent.ask("remove_run", "removed", run="former")
        return result, read_tree(mini.path(volume))

    yield attempt
    assert leftovers(mini.project) == []


def test_a_process_that_runs_keeps_its_lock(locked):
    result, tree = locked(f"process:{os.getpid()}:{started(os.getpid())}", BOOT)
    assert result.code == 11 and tree == {}, result
    assert f"by run former (process:{os.getpid()}:" in result.err and "since 2023-11-14 22:13:20 UTC" in result.err


@pytest.mark.parametrize("shift, boot_id", [(1, BOOT), (0, "another-boot")], ids=["later process", "another boot"])
def test_a_lock_whose_process_is_gone_is_taken_over(locked, shift, boot_id):
    result, tree = locked(f"process:{os.getpid()}:{started(os.getpid()) + shift}", boot_id)
    assert result.code == 0 and tree == {"f": b"x"}, result
    assert "its process is gone" in result.out
