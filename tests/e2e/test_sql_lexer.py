"""Real dumps through the SQL lexer into real servers: psql with ON_ERROR_STOP and mariadb without --force load them
without an error, and what is there afterwards is what the dump holds."""
import difflib
import re
import subprocess
import time

import pytest

import fill
import stack
from harness import ROOT

SOURCES = ["tests/e2e/sql_filter.c", *(f"workers/unpacker/{name}.c" for name in (
    "sql_lexer", "sql_postgres", "sql_postgres_statements", "sql_mariadb"))]
LOGIN = "The admin"
PASSWORD = "p"

# Beyond what fill_postgres.sql has: templates, settings of the login, names and bodies that look like commands.
MORE_POSTGRES = r"""
CREATE ROLE "it's\a role";
COMMENT ON ROLE reader IS 'it''s \a comment';
GRANT pg_read_all_data TO reader;
ALTER ROLE "The admin" SET work_mem = '9MB';
ALTER ROLE reader IN DATABASE shop SET work_mem = '7MB';
CREATE DATABASE a_template IS_TEMPLATE true;
CREATE TABLE in_postgres (a text);
INSERT INTO in_postgres VALUES (E'\\! touch /pwned'), (E'\\.');
CREATE TABLESPACE fast LOCATION '/var/lib/postgresql/fast';
CREATE TABLE in_fast (a int) TABLESPACE fast;
CREATE TABLE "select" ("DBNAME" int[]);
CREATE VIEW slices AS SELECT "DBNAME"[1:2] AS a, '10:30'::time AS b FROM "select";
CREATE FUNCTION atomic(a int) RETURNS int LANGUAGE sql
    BEGIN ATOMIC SELECT CASE WHEN a > 1 THEN 2 ELSE 3 END; SELECT a; END;
CREATE FUNCTION body() RETURNS text LANGUAGE plpgsql AS $$
BEGIN /*
\! touch /pwned
*/ RETURN E'\\\'' || '$_$';
END $$;
"""
CHANGES_POSTGRES = r"""
CREATE DATABASE extra OWNER reader;
CREATE ROLE later;
GRANT later TO reader;
GRANT "writer-role" TO later;
REVOKE "group" FROM reader;
ALTER ROLE reader SET statement_timeout = '9s';
ALTER ROLE reader CONNECTION LIMIT 3 NOLOGIN PASSWORD 'other';
COMMENT ON ROLE "group" IS 'x';
ALTER ROLE "group" LOGIN PASSWORD 'g' VALID UNTIL '2030-01-01';
ALTER ROLE "The admin" SET statement_timeout = '99s';
DROP ROLE "odd ""role"" ü";
CREATE TABLE added (a int);
DROP DATABASE "Größe";
"""
MORE_MARIADB = r"""
USE wiki;
CREATE TABLE words (a LONGTEXT, b LONGBLOB);
INSERT INTO words VALUES ('\nsystem ls\n\\! ls\n-- Dump completed\nDELIMITER //\n', UNHEX('5C27220A00')), ('/* \\', '#');
SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';
DELIMITER //
CREATE TRIGGER ansi BEFORE INSERT ON words FOR EACH ROW
BEGIN
  -- it's a comment; with a quote
  SET NEW.a = CONCAT("a", '\'); /* and " another */
END //
SET sql_mode = '' //
CREATE TRIGGER plain BEFORE UPDATE ON words FOR EACH ROW
BEGIN
  # it's another
  SET NEW.a = CONCAT('it\'s', "\"", NEW.a);
END //
DELIMITER ;
"""


class Server:
    """A container of one of the test stack's database images."""

    def __init__(self, image, *options):
        self.id = stack.docker("run", "-d", "--label", "test=sql_lexer", *options, f"restore-test/{image}").strip()

    def run(self, *argv, stdin=b""):
        return subprocess.run(["docker", "exec", "-i", self.id, *argv], input=stdin, capture_output=True, check=False)

    def wait(self, *argv):
        deadline = time.monotonic() + 90
        while self.run(*argv).returncode != 0:
            assert time.monotonic() < deadline, stack.docker("logs", self.id)
            time.sleep(0.3)

    def remove(self):
        stack.docker("rm", "-f", "-v", self.id)


class Postgres(Server):
    def __init__(self):
        super().__init__("postgres", "-e", f"POSTGRES_USER={LOGIN}", "-e", f"POSTGRES_PASSWORD={PASSWORD}")
        self.wait("psql", "-U", LOGIN, "-h", self.address(), "-w", "-d", f"dbname=postgres password={PASSWORD}", "-c", "")
        self.run("install", "-d", "-o", "postgres", "/var/lib/postgresql/fast")

    def address(self):
        return stack.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", self.id).strip()

    def load(self, sql):
        return self.run("psql", "-X", "-w", "-q", "-v", "ON_ERROR_STOP=1", "-U", LOGIN, "-d", "postgres", "-f", "-",
                        stdin=sql)

    def sql(self, text):
        done = self.load(text.encode())
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def dump(self):
        return self.run("pg_dumpall", "-U", LOGIN, "--clean", "--if-exists").stdout


class Mariadb(Server):
    def __init__(self):
        super().__init__("mariadb", "-e", f"MARIADB_ROOT_PASSWORD={PASSWORD}")
        self.wait("mariadb", "-uroot", f"-p{PASSWORD}", "-h127.0.0.1", "-e", "SELECT 1")

    def load(self, sql):
        return self.run("mariadb", "-uroot", f"-p{PASSWORD}", "--binary-mode", stdin=sql)

    def sql(self, text):
        done = self.run("mariadb", "-uroot", f"-p{PASSWORD}", "--default-character-set=utf8mb4", stdin=text.encode())
        assert done.returncode == 0, done.stderr.decode()

    def dump(self, *options):
        return self.run("mariadb-dump", "-uroot", f"-p{PASSWORD}", "--all-databases", *options).stdout


@pytest.fixture(scope="module")
def sql_filter(tmp_path_factory):
    program = tmp_path_factory.mktemp("filter") / "sql_filter"
    subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-O2", "-Iinclude", "-I.", *SOURCES, "-o", str(program)],
                   cwd=ROOT, check=True)

    def through(kind, login, dump, piece=262144):
        done = subprocess.run([str(program), kind, login, str(piece)], input=dump, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout, done.stderr.decode().splitlines()
    return through


@pytest.fixture(scope="module")
def start():
    """Starts servers that live as long as this file's tests."""
    started = []

    def start_one(kind):
        started.append(kind())
        return started[-1]
    yield start_one
    for server in started:
        server.remove()


@pytest.fixture(scope="module")
def postgres(start):
    """A filled server, what pg_dumpall says of it, and a fresh server."""
    server = start(Postgres)
    server.sql(fill.sql_of("fill_postgres.sql", 1, 1) + "\n\\connect postgres\n" + MORE_POSTGRES)
    return server, server.dump(), start(Postgres)


@pytest.fixture(scope="module")
def mariadb(start):
    server = start(Mariadb)
    server.sql(fill.sql_of("fill_mariadb.sql", 1, 1) + MORE_MARIADB)
    return server, server.dump(), start(Mariadb)


def lines_of(dump):
    """A dump's lines, without the keys and times that differ from dump to dump."""
    text = re.sub(r"(?m)^(\\(un)?restrict|-- Dump completed).*$", r"\1", dump.decode(errors="surrogateescape"))
    return text.splitlines()


def differences(before, after):
    return [line for line in difflib.unified_diff(lines_of(before), lines_of(after), lineterm="", n=0)
            if not line.startswith(("---", "+++", "@@"))]


def assert_loads(server, sql):
    done = server.load(sql)
    assert done.returncode == 0, done.stderr.decode()
    assert b"ERROR" not in done.stderr


def test_postgres_into_a_fresh_server(postgres, sql_filter):
    _, dump, fresh = postgres
    sql, events = sql_filter("postgres", LOGIN, dump)
    assert_loads(fresh, sql)
    assert differences(dump, fresh.dump()) == []
    assert fresh.run("ls", "/pwned").returncode != 0
    assert f"role {LOGIN}" in events and "database quo\"te'd" in events and "database template1" in events
    assert any(line.startswith("version 15.") for line in events)


def test_postgres_into_a_changed_server(postgres, sql_filter):
    server, dump, _ = postgres
    sql, _ = sql_filter("postgres", LOGIN, dump)
    server.sql(CHANGES_POSTGRES + "\\connect shop\nDROP TABLE orders CASCADE;\nCREATE TABLE added (a int);")
    assert_loads(server, sql)
    assert server.sql("SELECT datname FROM pg_database WHERE datname = 'extra'").count("extra") == 1
    server.sql("DROP DATABASE extra;\nDROP ROLE later;")
    assert differences(dump, server.dump()) == []
    assert_loads(server, sql)
    assert differences(dump, server.dump()) == []


def test_postgres_errors_keep_the_line_of_the_dump(postgres, sql_filter):
    _, dump, server = postgres
    mark = b"-- Dumped by pg_dump"
    dump = dump.replace(mark, b"SELECT 1/0;\n" + mark, 1)
    line = dump[:dump.index(b"SELECT 1/0")].count(b"\n") + 1
    done = server.load(sql_filter("postgres", LOGIN, dump)[0])
    assert done.returncode == 3
    assert f"<stdin>:{line}: ERROR" in done.stderr.decode()


def test_mariadb_into_a_fresh_and_a_changed_server(mariadb, sql_filter):
    server, dump, fresh = mariadb
    sql, events = sql_filter("mariadb", "root", dump)
    assert "database back`tick" in events and "database Größe" in events
    assert_loads(fresh, sql)
    fresh.sql("FLUSH PRIVILEGES;")
    assert differences(dump, fresh.dump()) == []
    server.sql("USE wiki; DELETE FROM pages WHERE id = 3; DROP TABLE words;")
    assert_loads(server, sql)
    server.sql("FLUSH PRIVILEGES;")
    assert differences(dump, server.dump()) == []


@pytest.mark.parametrize("options", [["--routines", "--events"], ["--hex-blob", "--skip-extended-insert"],
                                     ["--skip-opt", "--add-drop-table"]])
def test_mariadb_dumped_in_other_ways(mariadb, sql_filter, options):
    server, _, fresh = mariadb
    assert_loads(fresh, sql_filter("mariadb", "root", server.dump(*options))[0])


@pytest.mark.parametrize("piece", [1, 2, 7, 61, 4093])
def test_pieces_change_nothing(postgres, mariadb, sql_filter, piece):
    for kind, dump in (("postgres", postgres[1]), ("mariadb", mariadb[1])):
        assert sql_filter(kind, LOGIN, dump, piece) == sql_filter(kind, LOGIN, dump)
