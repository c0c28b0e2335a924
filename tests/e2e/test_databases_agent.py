"""The docker-agent's database verbs against real servers: credentials, probes, loads, and what other clients do
meanwhile. The agent is the shipped binary with its sandbox on; a violation of it fails every test."""
import os
import re
import subprocess
import threading
import time

import pytest

import engine_driver
import harness
import stack
from fetcher_driver import Failed

POSTGRES, MARIADB = 2, 3
POSTGRES_IMAGE, MARIADB_IMAGE = "restore-test/postgres", "restore-test/mariadb"
ALL_CHARACTERS = "p:a\\b'c\"d#e$f%g;h i[j]ü"
# Local connections ask for the password too, so that every login proves that it was handed over.
STRICT = {"POSTGRES_INITDB_ARGS": "--auth-local=scram-sha-256 --auth-host=scram-sha-256"}
PASSWORDS = [ALL_CHARACTERS, "a#b", "#ab", "a\\b", "a\\\\", "\\", " lead", "trail ", "\"quoted\"", "'single'", "a\"b",
             "$(touch /tmp/owned)", "`id`", "*:*:*", "%s%n", "[client]", "!include", "-p", "日本語", "a\tb", "x" * 200]


class Agent(engine_driver.Agent):
    """An agent past its listing of the project; `containers` is that listing by service."""

    def __init__(self, project, **options):
        super().__init__(project, **options)
        self.project, self.closed = project, False
        self.ask("ping", "engine")
        self.containers = {values["service"]: values["index"] for values in self.stack().values()}

    def until(self, last, seconds=120):
        """All messages up to and with one of that name."""
        got = []
        while not got or got[-1][0] != last:
            got.append(self.receive(seconds))
        return got

    def close(self):
        if not self.closed:
            self.closed = True
            super().close()
            os.close(self.answers)
            os.close(self.data)
        return self.status


class Project:
    """Containers with Compose's labels; `agent()` knows them by service."""

    def __init__(self):
        self.project = harness.unique("db")
        self.names, self.folders, self.agents = [], [], []

    def add(self, service, image, environment, options=(), command=()):
        name = f"{self.project}-{service}"
        arguments = ["run", "-d", "--name", name]
        for key, value in {"project": self.project, "service": service, "container-number": "1",
                           "oneoff": "False"}.items():
            arguments += ["--label", f"com.docker.compose.{key}={value}"]
        for key, value in environment.items():
            arguments += ["-e", f"{key}={value}"]
        stack.docker(*arguments, *options, image, *command)
        self.names.append(name)
        return name

    def agent(self, **options):
        agent = Agent(self.project, **options)
        self.agents.append(agent)
        return agent

    def remove(self):
        statuses = [agent.close() for agent in self.agents]
        subprocess.run(["docker", "rm", "-f", "-v", *self.names], capture_output=True, check=False)
        assert statuses == [0] * len(statuses)


class Server:
    """A database server of a project, and an agent that speaks of it."""

    def __init__(self, project, service, kind, name, agent=None):
        self.project, self.service, self.kind, self.name = project, service, kind, name
        self.agent = agent or project.agent()
        self.index = self.agent.containers[service]

    def by(self, agent):
        """The same server as another agent knows it."""
        return Server(self.project, self.service, self.kind, self.name, agent)

    def ask(self, message, answer, **fields):
        self.agent.send(message, container=self.index, kind=self.kind, **fields)
        return self.agent.until(answer)

    def probe(self):
        return self.ask("database_probe", "database_info")[-1][1]

    def ready(self):
        return self.ask("database_ready", "database_readiness")[-1][1]

    def end(self):
        subprocess.run(["docker", "rm", "-f", self.name], capture_output=True, check=True)

    def wait(self, seconds=90):
        deadline = time.monotonic() + seconds
        while not (answer := self.ready())["ready"]:
            assert time.monotonic() < deadline, answer
            time.sleep(0.3)
        return self

    def findings(self, message, **fields):
        """Severity and text of each finding, and the last answer."""
        got = self.ask(message, "database_done", **fields)
        return [(values["severe"], values["message"]) for name, values in got[:-1]], got[-1][1]

    def prepare(self, databases, roles=(), drop_extras=0):
        for name in databases:
            self.agent.send("database_name", container=self.index, name=name)
        for name in roles:
            self.agent.send("database_role", container=self.index, name=name)
        return self.findings("database_prepare", drop_extras=drop_extras)[0]

    def run(self, *command, data="", check=True):
        """A client in the container, as the tests' own look at the server; its password comes by the environment."""
        done = subprocess.run(["docker", "exec", "-i", *command], input=data.encode(), capture_output=True, check=False,
                              timeout=60)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout.decode(errors="surrogateescape")

    def sql(self, text, database="postgres", check=True):
        if self.kind == POSTGRES:
            return self.run("-e", f"PGPASSWORD={ALL_CHARACTERS}", self.name, "psql", "-XAtqv", "ON_ERROR_STOP=1", "-U",
                            "admin", "-d", database, data=text, check=check)
        return self.run("-e", f"MYSQL_PWD={ALL_CHARACTERS}", self.name, "mariadb", "-N", "--raw", "-uroot", data=text,
                        check=check)

    def dump(self):
        """A dump as the sidecar makes it, and as the unpacker passes it on: without what can only fail."""
        if self.kind == POSTGRES:
            text = self.run("-e", f"PGPASSWORD={ALL_CHARACTERS}", self.name, "pg_dumpall", "--clean", "--if-exists",
                            "-U", "admin")
            return re.sub(r"^(\\(un)?restrict .*|DROP ROLE IF EXISTS admin;|CREATE ROLE admin;)\n", "", text, flags=re.M)
        return self.run("-e", f"MYSQL_PWD={ALL_CHARACTERS}", self.name, "mariadb-dump", "-uroot", "--all-databases")


class Run:
    """A run of the agent's: its lock, its volume, spools in it."""

    def __init__(self, agent):
        self.agent, self.name = agent, harness.unique("r")
        agent.send("lock", run=self.name, owner="process:1:1", boot_id="test", since=1)
        agent.expect("locked")
        agent.send("prepare", run=self.name)
        agent.expect("prepared")
        self.volume = f"restore-{agent.project}-{self.name}"
        self.folder = harness.MiniStack(agent.project).path(self.volume) / "spool"
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def spool(self, stream, content):
        data = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
        (self.folder / str(stream)).write_bytes(data)

    def load(self, *loads, stall_timeout=60):
        """loads: (server, stream). Messages of `loaded` by container."""
        for server, stream in loads:
            self.agent.send("load", container=server.index, kind=server.kind, stream=stream)
        self.agent.send("load_run", run=self.name, stall_timeout=stall_timeout)
        got = self.agent.until("load_end", 300)
        return {values["container"]: values for name, values in got if name == "loaded"}

    def end(self):
        self.agent.send("remove_run", run=self.name)
        self.agent.expect("removed")
        self.agent.send("unlock")
        self.agent.expect("removed")


@pytest.fixture(scope="module")
def project():
    made = Project()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def postgres(project):
    """wal_level and max_prepared_transactions: for what blocks a DROP DATABASE."""
    name = project.add("pg", POSTGRES_IMAGE, {"POSTGRES_USER": "admin", "POSTGRES_PASSWORD": ALL_CHARACTERS,
                                              "POSTGRES_DB": "shop", **STRICT},
                       options=["-v", "/var/run/postgresql"],
                       command=["postgres", "-c", "wal_level=logical", "-c", "max_prepared_transactions=5"])
    return Server(project, "pg", POSTGRES, name).wait()


@pytest.fixture(scope="module")
def mariadb(project, tmp_path_factory):
    secret = tmp_path_factory.mktemp("secrets") / "root"
    secret.write_text(ALL_CHARACTERS + "\n\n")
    name = project.add("maria", MARIADB_IMAGE,
                       {"MARIADB_ROOT_PASSWORD_FILE": "/run/secrets/root", "MARIADB_DATABASE": "wiki",
                        "MYSQL_USER": "wiki-user", "MYSQL_PASSWORD": ALL_CHARACTERS},
                       options=["-v", "/run/mysqld", "-v", f"{secret}:/run/secrets/root:ro"],
                       command=["mariadbd", "--event-scheduler=ON"])
    return Server(project, "maria", MARIADB, name).wait()


@pytest.fixture
def run():
    runs = []

    def start(agent):
        runs.append(Run(agent))
        return runs[-1]
    yield start
    for started in runs:
        started.end()


def beside(server, service, environment, options=()):
    """A container of the same image without a server of its own: it shares the other's socket and network. So one
    server can be asked with many credentials."""
    image = POSTGRES_IMAGE if server.kind == POSTGRES else MARIADB_IMAGE
    name = server.project.add(service, image, environment,
                              options=["--volumes-from", server.name, "--network", f"container:{server.name}",
                                       "--entrypoint", "sleep", *options], command=["infinity"])
    return Server(server.project, service, server.kind, name)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def set_password(user, password):
    """SET PASSWORD takes no expression but a literal."""
    return f"EXECUTE IMMEDIATE CONCAT('SET PASSWORD FOR {user} = PASSWORD(', QUOTE(X'{password.encode().hex()}'), ')');"


# --- credentials


def test_postgres_passwords(postgres):
    for number, password in enumerate(PASSWORDS):
        user = f"u{number} :\\'\"ü"
        postgres.sql("DROP ROLE IF EXISTS %s; CREATE ROLE %s SUPERUSER LOGIN PASSWORD %s;" %
                     (*2 * ('"' + user.replace('"', '""') + '"',), quoted(password)))
        client = beside(postgres, f"pw{number}", {"POSTGRES_USER": user, "POSTGRES_PASSWORD": password})
        answer = client.probe()
        assert (answer["blocker"], answer["login"], answer["version"][:3]) == ("", user, "15."), password
        client.end()
        postgres.sql("DROP ROLE \"%s\";" % user.replace('"', '""'))
    wrong = beside(postgres, "wrong", {"POSTGRES_USER": "admin", "POSTGRES_PASSWORD": ALL_CHARACTERS + "x"})
    assert "POSTGRES_PASSWORD does not log in as admin: " in wrong.probe()["blocker"]


def test_mariadb_passwords(mariadb):
    for number, password in enumerate([*PASSWORDS, "new\nline"]):
        mariadb.sql(set_password("root@localhost", password))
        client = beside(mariadb, f"pw{number}", {"MYSQL_ROOT_PASSWORD": password})
        answer = client.probe()
        subprocess.run(["docker", "exec", "-i", "-e", f"MYSQL_PWD={password}", mariadb.name, "mariadb", "-uroot"],
                       input=set_password("root@localhost", ALL_CHARACTERS).encode(), check=True)
        assert answer["blocker"] == "", password
        client.end()
    wrong = beside(mariadb, "refused", {"MARIADB_ROOT_PASSWORD": "x", "MYSQL_ROOT_PASSWORD": ALL_CHARACTERS})
    assert "MARIADB_ROOT_PASSWORD does not log in as root: " in wrong.probe()["blocker"]


def test_an_ordinary_user_is_not_paired_with_roots_password(mariadb):
    client = beside(mariadb, "ordinary", {"MYSQL_USER": "wiki-user", "MYSQL_PASSWORD": "x",
                                          "MYSQL_ROOT_PASSWORD": ALL_CHARACTERS})
    assert client.probe()["login"] == "root"
    assert client.probe()["blocker"] == ""


def test_files_for_user_and_password(postgres, tmp_path):
    (tmp_path / "user").write_text("admin\n")
    (tmp_path / "password").write_text(ALL_CHARACTERS + "\n")
    client = beside(postgres, "files", {"POSTGRES_USER_FILE": "/run/secrets/user",
                                        "POSTGRES_PASSWORD_FILE": "/run/secrets/password"},
                    options=["-v", f"{tmp_path}:/run/secrets:ro"])
    assert client.probe() == {"container": client.index, "running": 1, "version": client.probe()["version"],
                              "login": "admin", "blocker": ""}
    stack.docker("stop", "-t", "0", client.name)
    assert client.probe() == {"container": client.index, "running": 0, "version": "", "login": "admin", "blocker": ""}
    (tmp_path / "user").unlink()
    assert "POSTGRES_USER_FILE names /run/secrets/user" in client.probe()["blocker"]


def test_the_containers_own_client_settings_do_not_lead_elsewhere(postgres):
    client = beside(postgres, "environment", {
        "POSTGRES_USER": "admin", "POSTGRES_PASSWORD": ALL_CHARACTERS, "PGHOST": "192.0.2.1", "PGUSER": "other",
        "PGPASSWORD": "other", "PGDATABASE": "other", "PGSSLMODE": "verify-full", "PGOPTIONS": "-c broken=1"})
    assert client.probe()["blocker"] == ""
    assert client.ready()["ready"] == 1


def test_read_only_containers(postgres):
    right = {"POSTGRES_USER": "admin", "POSTGRES_PASSWORD": ALL_CHARACTERS}
    shm = beside(postgres, "readonly", right, options=["--read-only"])
    assert shm.probe()["blocker"] == ""
    tmp = beside(postgres, "noshm", right, options=["--read-only", "--ipc=none", "--tmpfs=/tmp"])
    assert tmp.probe()["blocker"] == ""
    nothing = beside(postgres, "nofile", right, options=["--read-only", "--ipc=none"])
    blocker = nothing.probe()["blocker"]
    assert blocker.startswith("no file for the password can be written in the container"), blocker
    assert ALL_CHARACTERS not in blocker


def test_a_read_only_container_whose_socket_asks_for_nothing(project):
    """As the official image has it: local connections are trusted."""
    name = project.add("trusting", POSTGRES_IMAGE, {"POSTGRES_PASSWORD": "x"}, options=["-v", "/var/run/postgresql"])
    server = Server(project, "trusting", POSTGRES, name).wait()
    client = beside(server, "trusted", {"POSTGRES_PASSWORD": "x"}, options=["--read-only", "--ipc=none"])
    assert client.probe()["blocker"] == ""
    assert client.ready()["ready"] == 1


def test_images_without_shell_or_client(project, tmp_path):
    base = project.add("noclient", harness.IMAGE, {"POSTGRES_PASSWORD": "x"}, command=["sleep", "infinity"])
    assert "there is no client (psql) in the image" in Server(project, "noclient", POSTGRES, base).probe()["blocker"]
    image = f"{project.project}-empty"
    (tmp_path / "pause.c").write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    subprocess.run(["gcc", "-static", "-o", tmp_path / "pause", tmp_path / "pause.c"], check=True)
    packed = subprocess.run(["tar", "-C", tmp_path, "-cf", "-", "pause"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["docker", "import", "-", image], input=packed, check=True, capture_output=True)
    name = project.add("noshell", image, {"MARIADB_ROOT_PASSWORD": "x"}, command=["/pause"])
    blocker = Server(project, "noshell", MARIADB, name).probe()["blocker"]
    subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=True)
    subprocess.run(["docker", "rmi", image], capture_output=True, check=True)
    assert "no shell" in blocker


def test_unknown_root_password_is_refused_before_the_stop(mariadb):
    client = beside(mariadb, "random", {"MARIADB_RANDOM_ROOT_PASSWORD": "1", "MYSQL_USER": "wiki-user",
                                        "MYSQL_PASSWORD": ALL_CHARACTERS})
    assert client.probe()["blocker"].startswith("no password of root is configured, and without one: ")


# --- readiness and blockers


@pytest.mark.parametrize("kind", [POSTGRES, MARIADB])
def test_the_temporary_server_of_the_first_start_is_not_ready(project, tmp_path, kind):
    """It answers on the socket, as a probe there shows, and goes away again."""
    (tmp_path / "slow.sh").write_text("touch /tmp/initialising; sleep 6\n")
    tmp_path.chmod(0o755)
    service = f"first{kind}"
    name = project.add(service, POSTGRES_IMAGE if kind == POSTGRES else MARIADB_IMAGE,
                       {"POSTGRES_PASSWORD": "x", "MARIADB_ROOT_PASSWORD": "x"},
                       options=["-v", f"{tmp_path}:/docker-entrypoint-initdb.d:ro"])
    server = Server(project, service, kind, name)
    subprocess.run(["docker", "exec", name, "timeout", "60", "sh", "-c",
                    "until test -e /tmp/initialising; do sleep 0.1; done"], check=True)
    assert server.probe()["version"] != ""
    answer = server.ready()
    assert answer["ready"] == 0 and answer["detail"] != ""
    server.wait()


def test_a_server_on_another_port_is_found(project):
    name = project.add("port", MARIADB_IMAGE, {"MARIADB_ROOT_PASSWORD": "x"}, command=["mariadbd", "--port=3399"])
    Server(project, "port", MARIADB, name).wait()
    name = project.add("pgport", POSTGRES_IMAGE, {"POSTGRES_PASSWORD": "x"}, command=["postgres", "-p", "5499"])
    Server(project, "pgport", POSTGRES, name).wait()


def test_what_blocks_a_drop_is_named(postgres):
    postgres.sql("SELECT pg_create_logical_replication_slot('changes', 'pgoutput');"
                 "CREATE SUBSCRIPTION feed CONNECTION 'dbname=x' PUBLICATION p WITH (connect=false, slot_name=NONE);"
                 "CREATE TABLE held (n int); BEGIN; INSERT INTO held VALUES (1); PREPARE TRANSACTION 'it''s';")
    try:
        blocker = postgres.probe()["blocker"]
    finally:
        postgres.sql("ROLLBACK PREPARED 'it''s'; SELECT pg_drop_replication_slot('changes'); DROP SUBSCRIPTION feed;"
                     "DROP TABLE held;")
    assert "prepared transaction 'it''s' in database postgres" in blocker
    assert "logical replication slot 'changes' of database postgres" in blocker
    assert "subscription feed in database postgres" in blocker
    assert postgres.probe()["blocker"] == ""


def test_prepared_transactions_of_mariadb_are_named(mariadb):
    mariadb.sql("CREATE TABLE wiki.held (n INT); XA START 'x'; INSERT INTO wiki.held VALUES (1); XA END 'x';"
                "XA PREPARE 'x';")
    blocker = mariadb.probe()["blocker"]
    mariadb.sql("XA ROLLBACK 'x'; DROP TABLE wiki.held")
    assert blocker.startswith("prepared XA transactions")


def test_someone_who_is_no_superuser_is_named(postgres):
    postgres.sql("CREATE ROLE weak LOGIN PASSWORD 'x'")
    client = beside(postgres, "weak", {"POSTGRES_USER": "weak", "POSTGRES_PASSWORD": "x"})
    assert client.probe()["blocker"] == "weak is not a superuser, and a restore needs one"
    postgres.sql("DROP ROLE weak")


# --- loads


ODD_NAMES = ["o\"d'd \\name", "ümlaut = b", "host=x", "-UPPER`tick"]


def intruder(server, database, stop):
    """An application that connects again and again and leaves transactions open."""
    while not stop.is_set():
        if server.kind == POSTGRES:
            command = ["psql", "-XAtq", "-U", "admin", "-d", database, "-c", "BEGIN; SELECT 1; SELECT pg_sleep(30)"]
        else:
            command = ["mariadb", "-uroot", "-e", f"USE `{database}`; BEGIN; SELECT * FROM t; SELECT SLEEP(30)"]
        subprocess.run(["docker", "exec", "-e", f"PGPASSWORD={ALL_CHARACTERS}", "-e", f"MYSQL_PWD={ALL_CHARACTERS}",
                        server.name, *command], capture_output=True, check=False)


def test_postgres_is_as_the_dump_says(postgres, run):
    for name in ODD_NAMES:
        postgres.sql("CREATE DATABASE \"%s\";" % name.replace('"', '""'))
    postgres.sql("CREATE ROLE app LOGIN; CREATE TABLE t (n int primary key); INSERT INTO t SELECT * FROM"
                 " generate_series(1, 1000); ALTER TABLE t OWNER TO app;", "shop")
    dump = postgres.dump()
    postgres.sql("DELETE FROM t WHERE n > 10; CREATE TABLE later (n int);", "shop")
    postgres.sql("CREATE DATABASE \"ex'tra\"; CREATE ROLE \"ex\"\"tra\"; DROP DATABASE \"host=x\";")
    stop = threading.Event()
    clients = [threading.Thread(target=intruder, args=(postgres, name, stop)) for name in ("shop", "ümlaut = b", "ex'tra")]
    for client in clients:
        client.start()
    time.sleep(1)
    try:
        findings = postgres.prepare(["shop", "postgres", "template1", *ODD_NAMES], ["admin", "app"])
        started = run(postgres.agent)
        started.spool(7, dump)
        loaded = started.load((postgres, 7))[postgres.index]
    finally:
        stop.set()
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        for client in clients:
            client.join()
    assert (loaded["ok"], loaded["message"], loaded["bytes"]) == (1, "", len(dump.encode()))
    assert (0, "database \"ex'tra\" is not in the backup and was kept") in findings
    assert (0, 'role "ex"tra" is not in the backup and was kept') in findings
    assert postgres.findings("database_finish")[0] == []
    checked, done = postgres.findings("database_check")
    assert (checked, done["databases"]) == ([], 2 + len(ODD_NAMES) + 1)
    assert done["tables"] == 1
    assert postgres.sql("SELECT count(*) FROM t", "shop") == "1000\n"
    assert postgres.sql("SELECT datname FROM pg_database WHERE NOT datallowconn") == "template0\n"
    postgres.sql("DROP DATABASE \"ex'tra\"; DROP ROLE \"ex\"\"tra\";")


def test_postgres_extras_are_dropped_where_asked(postgres, run):
    dump = postgres.dump()
    names = postgres.sql("SELECT datname FROM pg_database WHERE datname <> 'template0'").splitlines()
    roles = postgres.sql("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'").splitlines()
    postgres.sql("CREATE ROLE newer; CREATE DATABASE newer IS_TEMPLATE true OWNER newer;")
    postgres.sql("CREATE TABLE of_newer (n int); ALTER TABLE of_newer OWNER TO newer;", "shop")
    assert postgres.prepare(names, roles, drop_extras=1) == []
    started = run(postgres.agent)
    started.spool(1, dump)
    assert started.load((postgres, 1))[postgres.index]["message"] == ""
    assert postgres.findings("database_finish")[0] == []
    assert postgres.sql("SELECT datname FROM pg_database WHERE datname <> 'template0'").splitlines().sort() == \
        names.sort()
    assert postgres.sql("SELECT rolname FROM pg_roles WHERE rolname = 'newer'") == ""


def test_dropping_extras_needs_names(postgres):
    with pytest.raises(Failed, match="no database of the dump was named"):
        Server(postgres.project, "pg", POSTGRES, postgres.name).prepare([], drop_extras=1)


def test_mariadb_is_as_the_dump_says(mariadb, run):
    names = [*ODD_NAMES, "new\nline"]
    for name in names:
        mariadb.sql("CREATE DATABASE `%s`;" % name.replace("`", "``"))
    mariadb.sql("USE wiki; CREATE TABLE t (n INT PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_1_to_1000;"
                "CREATE TABLE child (n INT REFERENCES t(n)); CREATE FUNCTION twice(x INT) RETURNS INT RETURN 2 * x;")
    dump = mariadb.dump()
    mariadb.sql("USE wiki; DELETE FROM t WHERE n > 10; CREATE TABLE later (n INT); DROP FUNCTION twice;"
                "CREATE DATABASE extra; USE extra;\nDELIMITER //\n"
                "CREATE EVENT `of extra` ON SCHEDULE EVERY 1 HOUR DO BEGIN DELETE FROM extra.x WHERE a = '\\\\! x;'; "
                "END //\nUSE wiki //\nCREATE EVENT tidy ON SCHEDULE EVERY 1 DAY COMMENT 'it''s' DO SELECT 1 //\n")
    events = mariadb.sql("SHOW CREATE EVENT wiki.tidy; SHOW CREATE EVENT extra.`of extra`;")
    before = mariadb.sql("SELECT @@GLOBAL.event_scheduler, @@GLOBAL.max_allowed_packet, @@GLOBAL.init_connect")
    health = mariadb.run(mariadb.name, "cat", "/var/lib/mysql/.my-healthcheck.cnf")
    mariadb.sql("SET PASSWORD FOR healthcheck@localhost = PASSWORD('of this server')")
    users = mariadb.sql("SELECT Host, Priv FROM mysql.global_priv WHERE User = 'healthcheck' ORDER BY Host")
    stop = threading.Event()
    client = threading.Thread(target=intruder, args=(mariadb, "wiki", stop))
    client.start()
    time.sleep(1)
    try:
        findings = mariadb.prepare(["mysql", "wiki", *names])
        assert "a restore is running" in mariadb.sql("SELECT @@GLOBAL.init_connect")
        started = run(mariadb.agent)
        started.spool(2, dump)
        loaded = started.load((mariadb, 2))[mariadb.index]
    finally:
        stop.set()
        subprocess.run(["docker", "exec", mariadb.name, "pkill", "-x", "mariadb"], check=False)
        mariadb.sql("KILL USER root", check=False)
        client.join()
    assert (loaded["ok"], loaded["message"], loaded["bytes"]) == (1, "", len(dump.encode(errors="surrogateescape")))
    assert findings == [(0, 'database "extra" is not in the backup and was kept')]
    kept = mariadb.findings("database_finish")[0]
    assert [severe for severe, _ in kept] == [0, 0] and '"wiki"' in str(kept) and '"extra"' in str(kept)
    checked, done = mariadb.findings("database_check")
    assert (checked, done["databases"], done["tables"]) == ([], 2 + len(names), 2)
    assert mariadb.sql("SELECT COUNT(*), wiki.twice(4) FROM wiki.t") == "1000\t8\n"
    assert mariadb.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_NAME = 'later'") == ""
    assert mariadb.sql("SHOW CREATE EVENT wiki.tidy; SHOW CREATE EVENT extra.`of extra`;") == events
    assert mariadb.sql("SELECT @@GLOBAL.event_scheduler, @@GLOBAL.max_allowed_packet, @@GLOBAL.init_connect") == before
    assert mariadb.sql("SELECT Host, Priv FROM mysql.global_priv WHERE User = 'healthcheck' ORDER BY Host") == users
    assert "password=" in health


def test_other_clients_are_kept_out_of_mariadb(mariadb):
    mariadb.prepare(["mysql"])
    address = stack.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
                           mariadb.name).strip()
    login = ["docker", "exec", "-e", f"MYSQL_PWD={ALL_CHARACTERS}", mariadb.name, "mariadb", "-uwiki-user", "-h"]
    closed = subprocess.run([*login, address, "-e", "SELECT 1"], capture_output=True, check=False)
    local = subprocess.run([*login, "127.0.0.1", "-e", "SELECT 1"], capture_output=True, check=False)
    mariadb.findings("database_finish")
    opened = subprocess.run([*login, address, "-e", "SELECT 1"], capture_output=True, check=False)
    assert (closed.returncode, local.returncode, opened.returncode) == (1, 0, 0), closed


def test_a_load_with_an_error_is_no_success(postgres, mariadb, project, run):
    agent = project.agent()
    postgres, mariadb, started = postgres.by(agent), mariadb.by(agent), run(agent)
    started.spool(1, "CREATE TABLE whole (n int);\n\nINSERT INTO nowhere VALUES (1);\nSELECT 1;\n")
    started.spool(2, "CREATE TABLE wiki.whole (n INT);\nINSERT INTO wiki.nowhere VALUES (1);\n")
    loaded = started.load((postgres, 1))[postgres.index]
    assert (loaded["ok"], loaded["message"]) == (0, 'line 3: ERROR:  relation "nowhere" does not exist')
    loaded = started.load((mariadb, 2))[mariadb.index]
    assert loaded["ok"] == 0
    assert "at line 2: Table 'wiki.nowhere' doesn't exist" in loaded["message"]
    loaded = started.load((mariadb, 9))[mariadb.index]
    assert loaded["ok"] == 0 and "9" in loaded["message"]
    postgres.sql("DROP TABLE whole")
    mariadb.sql("DROP TABLE IF EXISTS wiki.whole")


def test_two_servers_load_at_once_and_one_failure_ends_both(postgres, mariadb, project, run):
    agent = project.agent()
    postgres, mariadb, started = postgres.by(agent), mariadb.by(agent), run(agent)
    started.spool(1, "SELECT pg_sleep(3);\n")
    started.spool(2, "SELECT SLEEP(3);\n")
    begin = time.monotonic()
    loaded = started.load((postgres, 1), (mariadb, 2))
    assert [values["ok"] for values in loaded.values()] == [1, 1]
    alone = time.monotonic()
    started.load((postgres, 1))
    assert alone - begin < 2 * (time.monotonic() - alone) - 1
    started.spool(2, "SELECT nothing;\n")
    started.spool(1, "SELECT pg_sleep(60);\n")
    begin = time.monotonic()
    loaded = started.load((postgres, 1), (mariadb, 2))
    assert time.monotonic() - begin < 20
    assert loaded[postgres.index]["message"] == "ended, since the load of another database failed"
    assert "Unknown column 'nothing'" in loaded[mariadb.index]["message"]
    assert list(loaded) == [mariadb.index, postgres.index]


def test_a_busy_server_is_no_stall_and_a_lock_is(postgres, project, run):
    agent = project.agent()
    postgres, started = postgres.by(agent), run(agent)
    started.spool(1, "SELECT pg_sleep(6);\n")
    assert started.load((postgres, 1), stall_timeout=2)[postgres.index]["ok"] == 1
    started.spool(1, "CREATE TABLE locked (n int);\n")
    assert started.load((postgres, 1))[postgres.index]["ok"] == 1
    # a session that looks like a load's own, so that none is ended before it holds the lock
    holder = subprocess.Popen(["docker", "exec", "-i", "-e", f"PGPASSWORD={ALL_CHARACTERS}", "-e", "PGAPPNAME=restore",
                               postgres.name, "psql", "-XAtq", "-U", "admin", "-d", "postgres"],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    holder.stdin.write(b"BEGIN; LOCK TABLE locked;\n")
    holder.stdin.flush()
    time.sleep(1)
    started.spool(1, "DROP TABLE locked;\n")
    begin = time.monotonic()
    loaded = started.load((postgres, 1), stall_timeout=2)[postgres.index]
    took = time.monotonic() - begin
    holder.stdin.close()
    holder.wait()
    assert loaded["ok"] == 0 and took < 30
    assert loaded["message"] == "no progress for 2 s after 19 bytes, and the server is not at work: ended"
    assert postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'restore'") == "0\n"
    # ending the sessions frees the lock as well, and what waited for it may come first
    postgres.sql("DROP TABLE IF EXISTS locked")


def test_a_large_insert_does_not_grow_the_agent(mariadb, project, run):
    agent = project.agent()
    mariadb, started = mariadb.by(agent), run(agent)
    mariadb.prepare(["wiki"])
    row = b"(REPEAT('x', 10)),('" + b"a" * 1000 + b"'),"
    insert = b"CREATE DATABASE wiki; CREATE TABLE wiki.large (t TEXT);\nINSERT INTO wiki.large VALUES " + \
        row * 80000 + b"('end');\n"
    started.spool(5, insert)
    loaded = started.load((mariadb, 5))[mariadb.index]
    assert (loaded["ok"], loaded["bytes"]) == (1, len(insert)), loaded["message"]
    peak = re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{agent.pid}/status").read())[1]
    assert int(peak) < 24 * 1024
    mariadb.findings("database_finish")


def test_no_secret_is_seen_in_the_container(postgres, project, run):
    agent = project.agent()
    postgres, started = postgres.by(agent), run(agent)
    started.spool(1, "SELECT pg_sleep(3);\n")
    seen = []

    def look():
        time.sleep(1.5)
        top = stack.docker("top", postgres.name, "-eo", "pid,args")
        files = postgres.run(postgres.name, "sh", "-c", "ls -A /dev/shm /tmp; cat /proc/[0-9]*/environ | tr '\\0' '\\n'"
                             " | grep -v ^POSTGRES_PASSWORD=")
        execs = stack.docker("inspect", "-f", "{{json .ExecIDs}}", postgres.name)
        seen.extend([top, files, execs])
    begin = time.time()
    watcher = threading.Thread(target=look)
    watcher.start()
    loaded = started.load((postgres, 1))
    watcher.join()
    events = stack.docker("events", "--since", f"{begin:.3f}", "--until", f"{time.time():.3f}", "--format", "{{json .}}")
    assert loaded[postgres.index]["ok"] == 1
    assert "psql" in seen[0]
    assert "exec_create" in events
    for text in (*seen, events, agent.log.decode()):
        assert ALL_CHARACTERS not in text and "#e$f%g" not in text
    assert ".restore-" not in seen[1]


# --- afterwards


def test_a_dump_that_brings_back_another_password_is_reported(postgres, mariadb):
    postgres.sql("ALTER ROLE admin PASSWORD 'of the dump'; ALTER ROLE admin SET application_name = 'x'")
    again = f"ALTER ROLE admin PASSWORD {quoted(ALL_CHARACTERS)}; ALTER ROLE admin RESET ALL"
    try:
        checked, _ = postgres.findings("database_check")
    finally:
        postgres.run("-e", "PGPASSWORD=of the dump", postgres.name, "psql", "-XU", "admin", "-d", "postgres", data=again)
    assert checked[0][0] == 1
    assert checked[0][1].startswith("the restored data brought back another password: POSTGRES_PASSWORD no longer "
                                    "logs in as admin: ")
    mariadb.sql("SET PASSWORD FOR 'wiki-user'@'%' = PASSWORD('of the dump')")
    checked, _ = mariadb.findings("database_check")
    mariadb.sql(set_password("''wiki-user''@''%''", ALL_CHARACTERS))
    assert [severe for severe, _ in checked] == [1]
    assert "MYSQL_PASSWORD no longer logs in as wiki-user" in checked[0][1]
    assert mariadb.findings("database_check")[0] == []
