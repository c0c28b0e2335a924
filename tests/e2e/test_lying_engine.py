"""An engine that answers with containers of other projects: the docker-agent looks at each one's own label, whatever the
list said, and again before each use."""
import pytest

from engine_driver import Agent
from fetcher_driver import Failed
from test_docker_agent import START, FakeEngine, targets

OURS, THEIRS = "a" * 64, "b" * 64


@pytest.fixture(scope="session", autouse=True)
def engine():
    """Overrides conftest's: the engine here is a false one."""


def inspected(identity, project):
    return {"Id": identity, "Name": f"/{project}-web-1", "Image": "sha256:" + "c" * 64, "State": {"Status": "running"},
            "Config": {"Labels": {"com.docker.compose.project": project, "com.docker.compose.service": "web",
                                  "com.docker.compose.container-number": "1", "backup.volume-path.data": "/data"},
                       "Env": []},
            "HostConfig": {"RestartPolicy": {"Name": "no"}}, "Mounts": []}


@pytest.fixture
def false_engine(tmp_path):
    return FakeEngine(tmp_path, json_answers={
        "/version": {"ApiVersion": "1.41", "Version": "20.10.24", "Arch": "amd64"}, "/info": {"SecurityOptions": []},
        "/containers/json": [{"Id": OURS}, {"Id": THEIRS}],
        f"/containers/{OURS}/json": inspected(OURS, "app"), f"/containers/{THEIRS}/json": inspected(THEIRS, "other")})


@pytest.fixture
def agent(false_engine):
    with Agent("app", socket=false_engine.path) as agent:
        agent.ask("ping", "engine")
        yield agent


def test_a_container_of_another_project_is_never_listed(agent):
    assert list(agent.stack()) == ["app-web-1"]


def test_a_container_that_became_another_projects_is_not_used(agent, false_engine):
    agent.stack()
    false_engine.json_answers[f"/containers/{OURS}/json"] = inspected(OURS, "other")
    with pytest.raises(Failed, match="does not belong to the project"):
        targets(agent, 0, "data")
    ok, message = agent.act((0, START, {}))[0]
    assert ok == 0 and "does not belong to the project" in message


@pytest.mark.parametrize("change, words", [({"Id": THEIRS}, "has another id"), ({"Image": "sha256:" + "d" * 64}, "has another image")])
def test_a_container_that_changed_since_the_listing_is_not_used(agent, false_engine, change, words):
    agent.stack()
    false_engine.json_answers[f"/containers/{OURS}/json"] = {**inspected(OURS, "app"), **change}
    with pytest.raises(Failed, match=words):
        targets(agent, 0, "data")
    ok, message = agent.act((0, START, {}))[0]
    assert ok == 0 and words in message
    assert not [request for request in false_engine.requests if request.startswith("POST")]


@pytest.mark.parametrize("name", ["../containers/x", "a/../../containers/prune", "x?force=1", ".."])
def test_a_name_that_would_be_another_request_is_not_sent(agent, false_engine, name):
    """Whatever the Engine calls its objects: only requests of the table leave the agent."""
    false_engine.json_answers["/containers/json"] = []
    false_engine.json_answers["/images/json"] = []
    false_engine.json_answers["/volumes?"] = {"Volumes": [{"Name": name}]}
    with pytest.raises(Failed, match="is not among the requests that are made of the Engine"):
        agent.ask("remove_run", "removed", run="one")
    assert not [request for request in false_engine.requests if request.startswith("DELETE")]


def test_each_request_closes_its_connection(agent, false_engine):
    agent.stack()
    assert len(false_engine.requests) > 3
    assert all("\r\nConnection: close\r\n" in request for request in false_engine.requests)
