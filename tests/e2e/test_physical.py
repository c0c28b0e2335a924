"""Data directories of databases as volumes: verified while the server runs, staged in a second pass after the stop."""
import shutil
import subprocess
import time

import harness
import pytest
import stack
from harness import restore, write_tree

PASSWORD = "secret"


def query(name, sql):
    done = subprocess.run(["docker", "exec", name, "psql", "-XtAqw", "-h", "127.0.0.1", "-U", "postgres", "-c", sql],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def wait_ready(name):
    deadline = time.monotonic() + 60
    while query(name, "SELECT 1") != "1":
        assert time.monotonic() < deadline, subprocess.run(["docker", "logs", name], stdout=subprocess.PIPE, text=True,
                                                           stderr=subprocess.STDOUT, check=True).stdout
        time.sleep(0.2)


@pytest.fixture
def server(mini, tmp_path):
    """A running PostgreSQL whose data directory is labelled, and the tree of a physical backup of it."""
    volume = mini.volume("pgdata")
    name = mini.add("db", paths={"pgdata": "/var/lib/postgresql/data"}, mounts=[(volume, "/var/lib/postgresql/data")],
                    image="restore-test/postgres", command=(), options=["-e", f"POSTGRES_PASSWORD={PASSWORD}"], start=True)
    wait_ready(name)
    query(name, "CREATE TABLE t AS SELECT 'backed up' AS word")
    stack.docker("stop", name)
    tree = tmp_path / "tree"
    shutil.copytree(mini.path(volume), tree / "db/volumes/pgdata", symlinks=True)
    stack.docker("start", name)
    wait_ready(name)
    query(name, "UPDATE t SET word = 'changed later'")
    return mini, name, tree


def test_a_data_directory_comes_back_under_a_running_server(server, store):
    mini, name, tree = server
    store.put(mini.project, tree)
    result = restore(mini.project, store)
    assert result.code == 0, result
    assert "Downloading once more" in result.out
    wait_ready(name)
    assert query(name, "SELECT word FROM t") == "backed up"
    assert harness.leftovers(mini.project) == []


def test_both_dump_and_data_directory_are_refused(server, store):
    mini, name, tree = server
    write_tree(tree, {"db/database/pg_dumpall.sql":
                      "--\n-- PostgreSQL database cluster dump\n--\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n"})
    store.put(mini.project, tree)
    events = harness.Events()
    result = restore(mini.project, store)
    assert result.code == 5, result
    assert "only one of them can be restored" in result.err
    assert events.actions(mini.project) == []
    assert query(name, "SELECT word FROM t") == "changed later"
