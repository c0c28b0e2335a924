"""Databases on no volume: a failed load, and a kill at any moment of it, are undone by the dump that the run made."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import harness
import stack
import state_mariadb
import state_postgres
from harness import restore, start_restore, write_tree
from processes import of_run

sys.path.insert(0, str(harness.ROOT / "tests" / "kill"))
import kill_stacks as stacks  # noqa: E402

PASSWORD = stacks.PASSWORD
POSTGRES_END = b"--\n-- PostgreSQL database cluster dump complete"
MARIADB_END = b"-- Dump completed"

POSTGRES_SCENE = """
CREATE ROLE keeper LOGIN PASSWORD 'kept' CREATEDB; CREATE ROLE "o'dd ""one"; GRANT keeper TO "o'dd ""one";
COMMENT ON ROLE keeper IS 'x
CREATE ROLE "admin";
y'; ALTER ROLE admin SET work_mem = '5MB'; ALTER ROLE keeper SET search_path = 'a, b';
CREATE DATABASE "sh op" OWNER keeper; ALTER DATABASE "sh op" SET statement_timeout = '7s';
CREATE TABLE in_postgres AS SELECT generate_series(1, 50) AS n; ALTER TABLE in_postgres OWNER TO keeper;
"""
POSTGRES_SHOP = """
CREATE TABLE items (id serial PRIMARY KEY, note text, raw bytea); GRANT SELECT ON items TO "o'dd ""one";
INSERT INTO items (note, raw) SELECT 'it''s
CREATE ROLE "admin"; ' || n, decode(md5(n::text), 'hex') FROM generate_series(1, 300) n;
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 -- ' " $$; CREATE VIEW v AS SELECT count(*) FROM items;
SELECT lo_from_bytea(4711, 'large'::bytea); GRANT SELECT ON LARGE OBJECT 4711 TO keeper;
"""
MARIADB_SCENE = r"""
CREATE DATABASE `aa`; CREATE DATABASE `wi``ki`; USE `wi``ki`;
CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, b BLOB, s VARCHAR(200)); INSERT INTO t (b, s) VALUES (X'00FF1A0A', 'it''s'), (NULL, '');
CREATE TABLE log (n INT) ENGINE=Aria; CREATE VIEW v AS SELECT COUNT(*) AS c FROM t; CREATE SEQUENCE q START 5;
CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES (NEW.id);
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO INSERT INTO log VALUES (0);
CREATE PROCEDURE p(IN a INT) SELECT a; CREATE FUNCTION aa.g() RETURNS INT DETERMINISTIC RETURN 3;
CREATE EVENT aa.ev2 ON SCHEDULE EVERY 2 DAY DISABLE DO DO 1;
CREATE TABLE aa.versioned (n INT) WITH SYSTEM VERSIONING; INSERT INTO aa.versioned VALUES (1); UPDATE aa.versioned SET n = 2;
CREATE USER keeper@'%' IDENTIFIED BY 'kept'; GRANT SELECT ON `wi``ki`.* TO keeper@'%'; CREATE ROLE r; GRANT r TO keeper@'%';
"""


@pytest.fixture(scope="module")
def mariadb_image():
    """The test stack's MariaDB without its VOLUME: what is written lies in the container's own layer."""
    config = json.loads(stack.docker("inspect", "-f", "{{json .Config}}", "restore-test/mariadb"))
    name = f"restore-test/{harness.unique('undo')}"
    container = stack.docker("create", "restore-test/mariadb").strip()
    export = subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE)
    changes = [f"ENV {variable}" for variable in config["Env"]]
    changes += [f"ENTRYPOINT {json.dumps(config['Entrypoint'])}", f"CMD {json.dumps(config['Cmd'])}"]
    subprocess.run(["docker", "import", *[part for change in changes for part in ("--change", change)], "-", name],
                   stdin=export.stdout, stdout=subprocess.DEVNULL, check=True)
    assert export.wait() == 0
    stack.docker("rm", "-v", container)
    yield name
    stack.docker("rmi", "-f", name)


class Scene:
    """One server each on no volume, and their state as ../stack takes it."""

    def __init__(self, mini, image, folder):
        self.mini, self.project, self.folder = mini, mini.project, folder
        self.pg = mini.add("db", image="restore-test/postgres", command=stacks.POSTGRES_FLAGS, start=True, options=[
            "-e", f"POSTGRES_PASSWORD={PASSWORD}", "-e", "POSTGRES_USER=admin", "-e", "PGDATA=/srv/pg",
            "-e", "POSTGRES_INITDB_ARGS=--no-sync"])
        self.maria = image and mini.add("maria", image=image, command=stacks.MARIADB_FLAGS, start=True,
                              options=["-e", f"MARIADB_ROOT_PASSWORD={PASSWORD}"])
        self.store = harness.Store(folder / "store")
        self.wait()

    def psql(self, sql, database="postgres"):
        return self.client(["docker", "exec", "-i", self.pg, "psql", "-XtAqv", "ON_ERROR_STOP=1", "-U", "admin", "-d",
                            database], sql)

    def mariadb(self, sql):
        return self.client(["docker", "exec", "-i", "-e", f"MYSQL_PWD={PASSWORD}", self.maria, "mariadb", "-N", "-uroot"],
                           sql)

    @staticmethod
    def client(command, sql):
        done = subprocess.run(command, input=sql.encode(), capture_output=True, check=False, timeout=stacks.SERVER_DEADLINE)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def wait(self):
        deadline = time.monotonic() + stacks.SERVER_DEADLINE
        for name, port in ((self.pg, 5432), (self.maria, 3306))[:2 if self.maria else 1]:
            while subprocess.run(["docker", "exec", name, "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"],
                                 capture_output=True, check=False).returncode != 0:
                assert time.monotonic() < deadline, name
                time.sleep(0.2)

    def take(self):
        self.wait()
        found = state_postgres.state(stack.container(self.project, "db"))
        if not self.maria:
            return found
        return {**found, **state_mariadb.state(stack.container(self.project, "maria")),
                "history": self.mariadb("SELECT COUNT(*) FROM aa.versioned FOR SYSTEM_TIME ALL"),
                "privileges": self.mariadb("SHOW GRANTS FOR keeper@'%'")}

    def dumps(self, postgres=b"", mariadb=b""):
        """A backup of other data than what is there, with statements put before the end of its dumps."""
        dump = stack.run(["docker", "exec", self.pg, "pg_dumpall", "-U", "admin", "--clean", "--if-exists"])
        new = b"CREATE ROLE newcomer; CREATE DATABASE newdb OWNER newcomer;\nGRANT newcomer TO admin;\n"
        assert POSTGRES_END in dump
        files = {"db/database/pg_dumpall.sql": dump.replace(POSTGRES_END, new + postgres + POSTGRES_END)}
        if self.maria:
            maria = stack.run(["docker", "exec", "-e", f"MYSQL_PWD={PASSWORD}", self.maria, "mariadb-dump", "-uroot",
                               "--all-databases"])
            assert MARIADB_END in maria
            files["maria/mariadb_dump/all_databases.sql"] = maria.replace(
                MARIADB_END, b"CREATE DATABASE newdb; CREATE USER newcomer;\n" + mariadb + MARIADB_END)
        self.store.put(self.project, write_tree(self.folder / harness.unique("tree"), files))

    def old(self):
        """Data that the backup does not have."""
        self.psql(POSTGRES_SCENE)
        self.psql(POSTGRES_SHOP, "sh op")
        if self.maria:
            self.mariadb(MARIADB_SCENE)
        return self.take()


def assert_same(before, found):
    assert {name: (before.get(name), found.get(name)) for name in before.keys() | found.keys()
            if before.get(name) != found.get(name)} == {}


@pytest.fixture
def scene(mini, mariadb_image, tmp_path):
    return Scene(mini, mariadb_image, tmp_path)


def assert_whole(scene, before):
    assert_same(before, scene.take())
    assert harness.leftovers(scene.project) == []
    assert set(scene.mini.states().values()) == {"running"}


@pytest.mark.parametrize("which", ["postgres", "mariadb"])
def test_a_failed_load_is_undone(scene, which):
    scene.dumps(**{which: b"SELECT 1/0;\n" if which == "postgres" else b"SELECT * FROM nowhere.t;\n"})
    before = scene.old()
    result = restore(scene.project, scene.store)
    assert result.code == 8, result
    assert result.out.count("Dumped the databases of") == 2 and "as they were before" in result.text
    assert PASSWORD not in result.text
    assert_whole(scene, before)


def test_one_server_with_a_mount_and_one_without(mini, tmp_path):
    """Each is undone in its own way: MariaDB by its data directory (the image's volume), PostgreSQL by its dump."""
    scene = Scene(mini, "restore-test/mariadb", tmp_path)
    scene.dumps(mariadb=b"SELECT * FROM nowhere.t;\n")
    before = scene.old()
    result = restore(scene.project, scene.store)
    assert result.code == 8, result
    assert "Copied the data directory of 'maria' for undo" in result.out
    assert "Dumped the databases of 'db' for undo" in result.out
    assert result.out.index("Bringing back the former data") < result.out.index("Loading the undo dump of service 'db'")
    assert "Loading the undo dump of service 'maria'" not in result.out
    assert_whole(scene, before)


def test_a_restore_that_succeeds_leaves_nothing(scene):
    scene.dumps()
    scene.old()
    result = restore(scene.project, scene.store)
    assert result.code in (0, 10), result
    assert harness.leftovers(scene.project) == []
    scene.wait()
    assert "newdb" in scene.psql("SELECT datname FROM pg_database") and "newdb" in scene.mariadb("SHOW DATABASES")


def kill_all(process, scene):
    for pid in of_run(process.pid, scene.project):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.communicate(timeout=60)


def wait_for_line(process, words, seconds=stacks.SERVER_DEADLINE):
    deadline = time.monotonic() + seconds
    for line in process.stdout:
        if words in line.decode(errors="replace"):
            return
        assert time.monotonic() < deadline
    raise AssertionError(f"it ended before it said {words!r}: {process.stderr.read().decode()}")


def wait_for_sleep(scene, seconds=stacks.SERVER_DEADLINE):
    """The load has come to the statement that it stays in. (A client of ours would be in the way of its DROPs.)"""
    deadline, last = time.monotonic() + seconds, None
    while True:
        busy = {line for line in stack.docker("top", scene.pg, "-eo", "pid,args").splitlines() if line.endswith("] SELECT")}
        if busy and busy == last:
            return
        assert time.monotonic() < deadline
        last = busy
        time.sleep(2)


@pytest.mark.parametrize("victim", ["all", "supervisor"])
def test_killed_while_loading_and_again_while_undoing(scene, victim):
    scene.dumps(postgres=b"SELECT pg_sleep(600);\n")
    before = scene.old()
    process = start_restore(scene.project, scene.store)
    wait_for_line(process, "Dumped the databases of 'maria' for undo")
    wait_for_sleep(scene)
    if victim == "all":
        kill_all(process, scene)
    else:
        process.kill()
        process.communicate(timeout=60)
    again = start_restore(scene.project, scene.store, RESTORE_MODE="recover")
    wait_for_line(again, "Loading the undo dump of service 'db'")
    time.sleep(0.7)
    kill_all(again, scene)
    result = restore(scene.project, scene.store, RESTORE_MODE="recover")
    assert result.code in (0, 10), result
    assert_whole(scene, before)


def test_a_container_that_is_gone_is_named_and_its_dump_kept(scene):
    scene.dumps(postgres=b"SELECT pg_sleep(600);\n")
    scene.old()
    process = start_restore(scene.project, scene.store)
    wait_for_line(process, "Dumped the databases of 'maria' for undo")
    wait_for_sleep(scene)
    kill_all(process, scene)
    stack.docker("rm", "-f", scene.pg)
    scene.mini.names.remove(scene.pg)
    for _ in range(2):
        result = restore(scene.project, scene.store, RESTORE_MODE="recover")
        assert result.code == 12, result
        assert "The container of service 'db' was removed" in result.err and "Their dump is kept" in result.err
    volume = next(name for name in stack.docker("volume", "ls", "-q").split() if name.startswith(f"restore-{scene.project}-"))
    spools = list((scene.mini.path(volume) / "spool").iterdir())
    assert any(POSTGRES_END in spool.read_bytes() for spool in spools)
    for name in harness.leftovers(scene.project):
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
        subprocess.run(["docker", "volume", "rm", "-f", name], capture_output=True, check=False)


@pytest.fixture
def alone(mini, tmp_path):
    """PostgreSQL alone."""
    return Scene(mini, None, tmp_path)


def replace_program(scene, text, program="pg_dumpall"):
    """The program in the container becomes a script; the real one is $REAL."""
    real = stack.docker("exec", scene.pg, "sh", "-c", f"ls /usr/lib/postgresql/*/bin/{program}").strip()
    script = f"#!/bin/sh\nREAL={real}\n{text}\n"
    stack.docker("exec", "-i", "-u", "0", scene.pg, "sh", "-c", f"rm -f /usr/bin/{program} && cat >/usr/bin/{program} && "
                 f"chmod 755 /usr/bin/{program}", stdin=script.encode())


# What the killed run's client does when its session was ended: it waits for the undo's load for a while, and writes then.
STUBBORN = """
case $PGOPTIONS in *synchronous_commit=off*) ;; *) exec "$REAL" "$@" ;; esac
if mkdir /tmp/first; then
    "$REAL" "$@"
    for _ in $(seq 100); do [ ! -e /tmp/second ] || break; sleep 0.1; done
    [ ! -e /tmp/second ] || "$REAL" -U admin -d postgres -c "CREATE ROLE late"
    mkdir /tmp/late
else
    mkdir /tmp/second
    while [ ! -e /tmp/late ]; do sleep 0.1; done
    exec "$REAL" "$@"
fi
"""


def test_a_client_that_outlives_its_run_is_gone_before_the_undo(alone):
    alone.dumps(postgres=b"SELECT pg_sleep(600);\n")
    before = alone.old()
    replace_program(alone, STUBBORN, "psql")
    process = start_restore(alone.project, alone.store)
    wait_for_line(process, "Dumped the databases of 'db' for undo")
    wait_for_sleep(alone)
    kill_all(process, alone)
    result = restore(alone.project, alone.store, RESTORE_MODE="recover")
    assert result.code in (0, 10), result
    stack.docker("exec", alone.pg, "test", "-d", "/tmp/late")
    assert_whole(alone, before)


@pytest.mark.parametrize("text, reason", [
    ('"$REAL" "$@" | head -c 2500', "it does not have the roles|its last line is missing"),
    ('"$REAL" "$@" | head -n -4', "its last line is missing"),
    ('"$REAL" "$@"; exit 1', "ended with code 1"),
], ids=["short", "cut", "failed"])
def test_a_dump_that_is_not_whole_destroys_nothing(alone, text, reason):
    alone.dumps()
    before = alone.old()
    replace_program(alone, text)
    result = restore(alone.project, alone.store)
    assert result.code == 8, result
    assert any(words in result.err for words in reason.split("|")), result
    assert "as they were before" in result.text and "Loading the undo dump" not in result.out
    assert_whole(alone, before)


def test_without_the_dump_program_it_is_refused_before_the_stop(alone):
    alone.dumps()
    alone.old()
    before = alone.take()
    stack.docker("exec", "-u", "0", alone.pg, "sh", "-c", "rm -f /usr/bin/pg_dumpall /usr/lib/postgresql/*/bin/pg_dumpall")
    events = harness.Events()
    result = restore(alone.project, alone.store)
    assert result.code == 8, result
    assert "DB_ROLLBACK=none" in result.err
    assert not {"stop", "kill", "die"} & set(events.actions(alone.project))
    assert_whole(alone, before)
    result = restore(alone.project, alone.store, DB_ROLLBACK="none")
    assert result.code == 10, result
    assert "cannot be undone" in result.err
    alone.wait()
    assert "newdb" in alone.psql("SELECT datname FROM pg_database")
