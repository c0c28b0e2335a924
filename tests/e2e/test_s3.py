"""The real S3 server (Ceph RGW, which verifies signatures), by way of the shipped binaries."""
import datetime
import json
import pathlib
import tempfile
import time
import uuid

import harness
import pytest
import stack
from harness import restore, write_tree

OPTIONS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")


@pytest.fixture(scope="module")
def bucket():
    """A bucket with 2,500 objects: 1,200 of app, 700 of app_two, the rest something else."""
    name = f"list-{uuid.uuid4().hex[:8]}"
    stack.aws("s3api", "create-bucket", "--bucket", name)
    upload_many(name)
    yield name
    stack.aws("s3", "rb", "--force", f"s3://{name}")


def upload_many(bucket):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for index in range(1200):
            (root / harness.backup_name("app", moment(index))).write_bytes(b"x" * (index % 7))
        for index in range(700):
            (root / harness.backup_name("app_two", moment(index))).write_bytes(b"")
        for index in range(600):
            (root / f"backup_app_notes-{index}.txt").write_bytes(b"")
        stack.aws("s3", "cp", "--recursive", "--only-show-errors", folder, f"s3://{bucket}/deep/er")


def moment(index):
    return f"2026{index % 12 + 1:02}{index // 12 % 28 + 1:02}-{index // 336:02}0000"


def options(**others):
    environment = stack.rgw_env()
    return {**{name: environment[name] for name in OPTIONS}, **others}


@pytest.mark.parametrize("prefix", ["deep/er", "deep/er/"])
def test_list_of_thousands(bucket, prefix):
    result = restore("app", f"s3://{bucket}/{prefix}", RESTORE_MODE="list", **options())
    assert result.code == 0, result
    lines = [line for line in result.out.splitlines() if "backup_" in line]
    assert len(lines) == 1200
    assert not any("app_two" in line or "notes" in line for line in lines)
    dates = [line[:19] for line in lines]
    assert dates == sorted(dates, reverse=True)
    assert "1200 backups" in result.out


def test_list_of_the_other_project(bucket):
    result = restore("app_two", f"s3://{bucket}/deep/er", RESTORE_MODE="list", **options())
    assert result.code == 0, result
    assert sum("backup_app_two_" in line for line in result.out.splitlines()) == 700


def test_no_backups_below_another_prefix(bucket):
    for url in (f"s3://{bucket}", f"s3://{bucket}/deep", f"s3://{bucket}/deep/e"):
        result = restore("app", url, RESTORE_MODE="list", **options())
        assert result.code == 3, result
        assert "No backups found for project 'app' in S3 bucket" in result.err


def test_a_wrong_key_is_refused_by_the_server(bucket):
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        result = restore("app", f"s3://{bucket}/deep/er", RESTORE_MODE="list", **options(**{name: "wrong"}))
        assert result.code == 4, result
        assert "403" in result.err and "No backups" not in result.err


def test_a_missing_bucket_and_a_wrong_endpoint_are_storage_errors(bucket):
    result = restore("app", "s3://no-such-bucket-here", RESTORE_MODE="list", **options())
    assert result.code == 4 and "NoSuchBucket" in result.err, result
    result = restore("app", f"s3://{bucket}", RESTORE_MODE="list", S3_ATTEMPTS=2,
                     **options(AWS_ENDPOINT_URL="http://127.0.0.1:9"))
    assert result.code == 4 and "No backups" not in result.err, result


def test_tls_with_the_bundle_and_without(bucket):
    environment = stack.rgw_env()
    tls = options(AWS_ENDPOINT_URL=environment["RGW_TLS_ENDPOINT_URL"])
    result = restore("app", f"s3://{bucket}/deep/er", RESTORE_MODE="list", AWS_CA_BUNDLE=environment["RGW_CA_BUNDLE"], **tls)
    assert result.code == 0, result
    result = restore("app", f"s3://{bucket}/deep/er", RESTORE_MODE="list", **tls)
    assert result.code == 4, result
    assert "AWS_CA_BUNDLE" in result.err


def test_endpoint_for_s3_wins(bucket):
    good = options()
    result = restore("app", f"s3://{bucket}/deep/er", RESTORE_MODE="list", **options(
        AWS_ENDPOINT_URL_S3=good["AWS_ENDPOINT_URL"], AWS_ENDPOINT_URL="http://127.0.0.1:9"))
    assert result.code == 0, result


def test_keys_from_files(bucket, tmp_path):
    values = options()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        path = tmp_path / name
        path.write_text(values.pop(name) + "\n")
        values[f"{name}_FILE"] = path
    result = restore("app", f"s3://{bucket}/deep/er", RESTORE_MODE="list", **values)
    assert result.code == 0, result


def test_keys_and_region_of_a_profile(bucket, tmp_path):
    values = options()
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        f"[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n[backup]\naws_access_key_id = "
        f"{values.pop('AWS_ACCESS_KEY_ID')}\naws_secret_access_key = {values.pop('AWS_SECRET_ACCESS_KEY')}\n")
    (tmp_path / ".aws/config").write_text(f"[profile backup]\nregion = {values.pop('AWS_DEFAULT_REGION')}\n")
    result = restore("app", f"s3://{bucket}/deep/er", RESTORE_MODE="list", HOME=tmp_path, AWS_PROFILE="backup", **values)
    assert result.code == 0, result
    result = restore("app", f"s3://{bucket}/deep/er", RESTORE_MODE="list", HOME=tmp_path, **values)
    assert result.code == 4 and "403" in result.err, result


def test_proxy_variables_are_not_used(bucket):
    result = restore("app", f"s3://{bucket}/deep/er", RESTORE_MODE="list", http_proxy="http://127.0.0.1:9",
                     HTTP_PROXY="http://127.0.0.1:9", ALL_PROXY="http://127.0.0.1:9", **options())
    assert result.code == 0, result


def test_a_whole_restore_from_s3(mini, tmp_path, store):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    name = store.put(mini.project, write_tree(tmp_path / "tree", {f"app/volumes/data/f{n}": f"{n}" * 999 for n in range(99)}))
    bucket = f"b-{mini.project}"
    stack.aws("s3api", "create-bucket", "--bucket", bucket)
    try:
        stack.aws("s3", "cp", "--only-show-errors", str(store.directory / name), f"s3://{bucket}/{name}")
        result = restore(mini.project, f"s3://{bucket}", **options())
    finally:
        stack.aws("s3", "rb", "--force", f"s3://{bucket}")
    assert result.code == 0, result
    assert len(harness.read_tree(mini.path(volume))) == 99


def test_a_versioned_bucket_as_of_a_time(mini, tmp_path, store):
    """The version of that time is listed and restored, though it was overwritten, and another deleted, afterwards."""
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")])
    bucket, name, gone = f"v-{mini.project}", harness.backup_name(mini.project), harness.backup_name(mini.project, "20260201-000000")
    old, new = (store.directory / store.put(mini.project, write_tree(tmp_path / content, {"app/volumes/data/f": content}))
                for content in ("old", "new"))
    stack.aws("s3api", "create-bucket", "--bucket", bucket)
    stack.aws("s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", "Status=Enabled")
    try:
        before = moment_now()
        stack.aws("s3", "cp", "--only-show-errors", str(old), f"s3://{bucket}/p/{name}")
        stack.aws("s3", "cp", "--only-show-errors", str(new), f"s3://{bucket}/p/{gone}")
        between = moment_now()
        stack.aws("s3", "cp", "--only-show-errors", str(new), f"s3://{bucket}/p/{name}")
        stack.aws("s3", "rm", "--only-show-errors", f"s3://{bucket}/p/{gone}")
        url = f"s3://{bucket}/p"
        names = [[line.split()[-1] for line in restore(mini.project, url, RESTORE_MODE="list", **options(**times)).out.splitlines()
                  if "backup_" in line] for times in ({}, {"AS_OF": between}, {"AS_OF": moment_now()})]
        assert names == [[name], [gone, name], [name]]
        assert restore(mini.project, url, RESTORE_MODE="list", **options(AS_OF=before)).code == 3
        for file, expected in ((name, b"old"), (gone, b"new")):
            result = restore(mini.project, url, BACKUP_FILE=file, **options(AS_OF=between))
            assert result.code == 0, result
            assert harness.read_tree(mini.path(volume)) == {"f": expected}
        result = restore(mini.project, url, **options(AS_OF="2026-01-01"))
        assert result.code == 2 and "ERROR: AS_OF: '2026-01-01' is not a time in UTC" in result.err, result
        assert restore(mini.project, store, AS_OF=between).code == 2
    finally:
        remove_versions(bucket)


def moment_now():
    """Whole seconds, with none of the objects on either side in the same one."""
    time.sleep(1.1)
    text = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    time.sleep(1.1)
    return text


def remove_versions(bucket):
    listed = json.loads(stack.aws("s3api", "list-object-versions", "--bucket", bucket))
    for item in listed.get("Versions", []) + listed.get("DeleteMarkers", []):
        stack.aws("s3api", "delete-object", "--bucket", bucket, "--key", item["Key"], f"--version-id={item['VersionId']}")
    stack.aws("s3api", "delete-bucket", "--bucket", bucket)
