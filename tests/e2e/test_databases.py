"""Databases in the whole stack: a real PostgreSQL and a real MariaDB with an application connected."""
import re

import pytest

import damage
import fill
import harness
import make_backup
import stack
import state
from harness import restore

PROJECT = "e2edb"


@pytest.fixture(scope="module")
def backup(tmp_path_factory):
    """The stack is up, filled and backed up once; each test damages it in its own way."""
    folder = tmp_path_factory.mktemp("databases")
    stack.down(PROJECT)
    stack.up(PROJECT)
    fill.fill(PROJECT)
    before = state.take(PROJECT)
    make_backup.build_archive(PROJECT, folder)
    yield harness.Store(folder), before
    stack.down(PROJECT)


def assert_identical(before):
    differences = {name: lines for name, lines in state.compare(before, state.take(PROJECT)).items() if lines}
    assert differences == {}


def test_everything_is_back(backup):
    store, before = backup
    damage.damage(PROJECT)
    events = harness.Events()
    result = restore(PROJECT, store)
    assert result.code == 0, result
    assert_identical(before)
    assert "die" in events.actions(PROJECT)
    assert harness.leftovers(PROJECT) == []
    stack.wait_healthy(PROJECT)


def test_the_plan_names_the_databases(backup):
    result = restore(PROJECT, backup[0], RESTORE_MODE="plan")
    assert result.code == 0, result
    for engine, service, database in (("PostgreSQL", "db", "shop"), ("MariaDB", "maria", "wiki")):
        line = re.search(rf"^  Load     {engine} of service '{service}': .* of SQL, dump of version \d+.* into server \d+.*; "
                         r"databases: (.*)$", result.out, re.M)
        assert database in line.group(1).split(", "), result.out


def test_one_of_two_databases_is_chosen(backup):
    store, before = backup
    damage.damage(PROJECT)
    damaged = state.take(PROJECT)
    result = restore(PROJECT, store, RESTORE_DATABASES="db")
    assert result.code == 0, result
    now = state.take(PROJECT)
    same_as_before = {name for name, lines in state.compare(before, now).items() if not lines}
    same_as_damaged = {name for name, lines in state.compare(damaged, now).items() if not lines}
    assert any("db" in name for name in same_as_before - same_as_damaged)
    assert any("maria" in name for name in same_as_damaged - same_as_before)
    result = restore(PROJECT, store)
    assert result.code == 0, result
    assert_identical(before)


def test_extras_are_kept_and_named_or_dropped_where_asked(backup):
    store, before = backup
    damage.damage(PROJECT, with_extras=True)
    result = restore(PROJECT, store)
    assert result.code == 0, result
    database, maria = stack.container(PROJECT, "db"), stack.container(PROJECT, "maria")
    for kept in (*stack.psql(database, "postgres", "SELECT datname FROM pg_database WHERE datname LIKE '%later%'").split(),
                 *stack.psql(database, "postgres", "SELECT rolname FROM pg_roles WHERE rolname LIKE '%renamed%'").split(),
                 *stack.mariadb(maria, "SHOW DATABASES LIKE '%later%'").split()[-1:]):
        assert kept in result.out
    assert "was kept" in result.out
    result = restore(PROJECT, store, DB_EXTRAS="drop")
    assert result.code == 0, result
    assert_identical(before)


def test_skip_stop_and_skip_start(backup):
    store, before = backup
    damage.damage(PROJECT)
    stack.compose(PROJECT, "stop")
    result = restore(PROJECT, store, SKIP_STOP="true", SKIP_START="true")
    assert result.code == 0, result
    states = {item.service: item.state["Status"] for item in stack.containers(PROJECT)}
    assert set(states.values()) == {"exited"}
    stack.compose(PROJECT, "start")
    stack.wait_healthy(PROJECT)
    assert_identical(before)


def test_a_failing_load_is_undone(backup, tmp_path):
    store, _ = backup
    archive = next(store.directory.iterdir())
    broken = harness.Store(tmp_path / "broken")
    break_dump(archive, broken, tmp_path, PROJECT)
    damage.damage(PROJECT)
    before = state.take(PROJECT)
    result = restore(PROJECT, broken)
    assert result.code == 8, result
    assert "Failed to restore PostgreSQL/MariaDB database" in result.err
    assert "as they were before" in result.text
    stack.wait_healthy(PROJECT)
    differences = {name: lines for name, lines in state.compare(before, state.take(PROJECT)).items() if lines}
    assert differences == {}
    assert harness.leftovers(PROJECT) == []


def test_a_wreck_is_kept_to_be_looked_at_and_recovered(backup, tmp_path):
    store, before = backup
    broken = harness.Store(tmp_path / "broken")
    break_dump(next(store.directory.iterdir()), broken, tmp_path, PROJECT)
    assert restore(PROJECT, store).code == 0
    result = restore(PROJECT, broken, ON_FAILURE="keep")
    assert result.code == 8, result
    assert "RESTORE_MODE=recover undoes it" in result.err
    assert harness.leftovers(PROJECT) != []
    result = restore(PROJECT, store, RESTORE_MODE="recover")
    assert result.code == 0, result
    assert harness.leftovers(PROJECT) == []
    stack.wait_healthy(PROJECT)
    assert_identical(before)


def break_dump(archive, store, tmp_path, project):
    """The same backup with a statement in its PostgreSQL dump that fails late."""
    folder = tmp_path / "unpacked"
    folder.mkdir()
    stack.run(["tar", "-I", "zstd", "-xf", str(archive), "-C", str(folder)])
    dump = folder / "db/database/pg_dumpall.sql"
    text = dump.read_bytes()
    end = b"--\n-- PostgreSQL database cluster dump complete"
    assert end in text
    dump.write_bytes(text.replace(end, b"SELECT 1/0;\n" + end))
    store.put(project, folder)


def test_wrong_database_password_after_the_restore_is_named(backup, tmp_path):
    """The dump brings back another password than the stack is configured with."""
    store, _ = backup
    database = stack.container(PROJECT, "db")
    old = tmp_path / "old"
    old.mkdir()
    stack.psql(database, "postgres", "ALTER ROLE \"stack-admin\" PASSWORD 'another'")
    make_backup.build_archive(PROJECT, old)
    result = restore(PROJECT, harness.Store(old), HEALTH_TIMEOUT=10)
    assert result.code == 9, result  # the application cannot log in
    assert "brought back another password" in result.err
    assert restore(PROJECT, store).code == 0

