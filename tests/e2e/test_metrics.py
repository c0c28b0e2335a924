"""METRICS_FILE: gauges that Prometheus' own parser reads, whatever the outcome; the file comes whole or not at all."""
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import restore, write_tree


@pytest.fixture
def volume(mini, store, tmp_path):
    name = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(name, "/data")], start=True)
    store.put(mini.project, write_tree(tmp_path / "tree", {"app/volumes/data/f": "backup"}))
    write_tree(mini.path(name), {"f": "live"})
    return mini.path(name)


def gauges(path):
    """{name: value}; every one has the same labels, which are returned as well."""
    families = list(text_string_to_metric_families(path.read_text()))
    assert all(family.type == "gauge" and family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    labels = {tuple(sorted(sample.labels.items())) for sample in samples}
    assert len(labels) == 1
    return {sample.name.removeprefix("restore_last_run_"): sample.value for sample in samples}, dict(labels.pop())


def test_a_restore_is_told_as_gauges(mini, store, volume, tmp_path):
    path = tmp_path / "restore.prom"
    path.write_text("an older one")
    began = time.time()
    result = restore(mini.project, store, METRICS_FILE=path)
    assert (volume / "f").read_text() == "backup"
    values, labels = gauges(path)
    assert labels == {"project": mini.project, "mode": "latest"}
    assert (values["exit_code"], values["success"], values["volumes"], values["databases"]) == (result.code, 1, 1, 0)
    assert values["warnings"] == result.text.count("WARNING")
    assert began - 1 < values["timestamp_seconds"] < time.time() + 1
    assert 0 < values["downtime_seconds"] < values["rto_seconds"] < values["duration_seconds"]
    assert values["backup_timestamp_seconds"] == 1767268800  # the stamp 20260101-120000
    assert abs(began - values["backup_timestamp_seconds"] - values["rpo_seconds"]) < 10
    assert values["downloaded_bytes"] > 0
    assert [entry.name for entry in tmp_path.glob(".restore.prom*")] == []


def test_a_failure_is_told_as_gauges(mini, store, volume, tmp_path):
    path = tmp_path / "restore.prom"
    result = restore(mini.project, store, METRICS_FILE=path, BACKUP_SHA256="0" * 64)
    values, labels = gauges(path)
    assert result.code == 5 and (volume / "f").read_text() == "live"
    assert (values["exit_code"], values["success"], values["volumes"]) == (5, 0, 0)
    assert "downtime_seconds" not in values and "rto_seconds" not in values


def test_options_that_are_refused_are_told_as_gauges(store, tmp_path):
    path = tmp_path / "restore.prom"
    assert restore("p", store, METRICS_FILE=path, RESTORE_MODE="verify", STOP_TIMEOUT="soon").code == 2
    values, labels = gauges(path)
    assert labels == {"project": "p", "mode": "verify"} and values["exit_code"] == 2 and values["success"] == 0
    project = 'p\\"\n'
    assert restore(project, store, METRICS_FILE=path).code == 2
    assert gauges(path)[1]["project"] == project


def test_metrics_that_have_no_place_are_refused(store, tmp_path):
    for path, words in ((tmp_path, "no regular file"), (tmp_path / "none/metrics", "No such file")):
        result = restore("p", store, METRICS_FILE=path)
        assert result.code == 2 and "METRICS_FILE" in result.err and words in result.err, result
