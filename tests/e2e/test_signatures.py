"""Signed backups: signatures that Debian's `minisign` makes, checked by the unpacker before anything is stopped."""
import base64
import hashlib
import pathlib
import subprocess

import harness
import pytest
import stack
from archive_cases import BASE, WANT
from fetcher_driver import Fetcher
from harness import read_tree, restore, write_tree
from tar_maker import zstd
from test_encrypted import encrypt, keygen
from test_formats import tree_archive
from unpacker_driver import INTEGRITY, Unpacker, encode

USAGE = 2


class Signer:
    """A key of minisign's, without a password."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.public, self.secret = self.folder / "minisign.pub", self.folder / "minisign.key"
        subprocess.run(["minisign", "-G", "-W", "-p", self.public, "-s", self.secret], check=True, capture_output=True)
        self.key = self.public.read_text().splitlines()[1]

    def sign_file(self, content, *options):
        path = self.folder / "file"
        path.write_bytes(content)
        subprocess.run(["minisign", "-S", "-m", path, "-s", self.secret, "-x", self.folder / "out", *options], check=True,
                       capture_output=True)
        return (self.folder / "out").read_bytes()

    def sign(self, archive, kind="archive"):
        digest = hashlib.sha256(archive).hexdigest().encode()
        contents, *options = {"archive": (archive,), "sum": (digest + b"\n",), "sum-without-newline": (digest,),
                              "old-sum": (digest + b"\n", "-l")}[kind]
        return self.sign_file(contents, *options)


KINDS = ["archive", "sum", "sum-without-newline", "old-sum"]


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("signer"))


def unpack(archive, key, signature):
    with Unpacker() as unpacker:
        unpacker.down.write(encode("signature", public_key=key, file=signature))
        return unpacker.run(archive, [WANT])


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_of_minisign_is_taken(signer, kind):
    archive = zstd(BASE)
    result = unpack(archive, signer.key, signer.sign(archive, kind))
    assert result.complete, result.text
    told = result.all("signed_by")[0]
    assert f"minisign public key {told['key_id'].decode()}" in signer.public.read_text()
    assert b"timestamp:" in told["comment"]


def changed(signature, line, at):
    lines = signature.split(b"\n")
    content = bytearray(base64.b64decode(lines[line]))
    content[at] ^= 1
    lines[line] = base64.b64encode(content)
    return b"\n".join(lines)


BAD = {
    "of-another-archive": (lambda signer, archive: signer.sign(archive + b"x"), "not one of this archive"),
    "of-another-sum": (lambda signer, archive: signer.sign(archive + b"x", "sum"), "not one of this archive"),
    "of-another-key": (lambda signer, archive: Signer(signer.folder / "other").sign(archive), "another key"),
    "old-of-the-archive": (lambda signer, archive: signer.sign_file(archive, "-l"), "not one of this archive"),
    "signature-changed": (lambda signer, archive: changed(signer.sign(archive), 1, 30), "not one of this archive"),
    "global-changed": (lambda signer, archive: changed(signer.sign(archive), 3, 30), "comment was changed"),
    "comment-changed": (lambda signer, archive: signer.sign(archive).replace(b"file:file", b"file:fire"), "comment was changed"),
    "said-to-be-old": (lambda signer, archive: changed(changed(signer.sign(archive), 1, 1), 1, 1).replace(
        b"\nRU", b"\nRW", 1), "not one of this archive"),
    "other-algorithm": (lambda signer, archive: changed(signer.sign(archive), 1, 0), "no signature of minisign"),
    "cut": (lambda signer, archive: signer.sign(archive)[:-30], "no signature of minisign"),
    "a-line-less": (lambda signer, archive: b"\n".join(signer.sign(archive).split(b"\n")[:3]), "no signature of minisign"),
    "more-behind": (lambda signer, archive: signer.sign(archive) + b"more\n", "no signature of minisign"),
    "empty": (lambda signer, archive: b"", "no signature of minisign"),
    "something-else": (lambda signer, archive: b"\0" * 4096, "no signature of minisign"),
}


@pytest.mark.parametrize("case", BAD)
def test_any_other_is_refused(signer, case):
    make, words = BAD[case]
    archive = zstd(BASE)
    result = unpack(archive, signer.key, make(signer, archive))
    assert result.failed and result.failed["code"] == INTEGRITY and not result.complete, result.messages
    assert words in result.text and result.status == 0, (result.text, result.log)


def test_every_flipped_bit_of_a_signature_is_refused(signer):
    archive = zstd(BASE)
    signature = signer.sign(archive)
    first = signature.index(b"\n") + 1  # the untrusted comment is just that
    for at in range(first, len(signature) - 1):
        flipped = bytearray(signature)
        flipped[at] ^= 1 << at % 7
        result = unpack(archive, signer.key, bytes(flipped))
        assert result.failed and not result.complete, at


def test_a_signature_ends_with_its_pass(signer):
    archive = zstd(BASE)
    with Unpacker() as unpacker:
        unpacker.down.write(encode("signature", public_key=signer.key, file=signer.sign(archive)))
        assert unpacker.run(archive, [WANT]).all("signed_by")
        again = unpacker.run(archive, [WANT])
        assert again.complete and not again.all("signed_by")


def test_the_fetcher_reads_small_objects_whole(tmp_path):
    (tmp_path / "small").write_bytes(b"bytes")
    (tmp_path / "large").write_bytes(b"x" * 5000)
    with Fetcher() as fetcher:
        fetcher.open("file:", str(tmp_path))
        for name, exists, content in (("small", 1, b"bytes"), ("none", 0, b"")):
            fetcher.send("read_object", key=name)
            answer = fetcher.expect("object_bytes")
            assert answer["exists"] == exists and answer["bytes"] == content
        fetcher.send("read_object", key="large")
        with pytest.raises(Exception, match="larger"):
            fetcher.expect("object_bytes")


# Whole restores


@pytest.fixture
def app(mini):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True, options=("--network", "none"))
    root = mini.path(volume)
    write_tree(root, {"old": "data"})
    return mini.project, root


def put(store, project, content, signature=None, ending=".tar.zst"):
    name = store.put_bytes(harness.backup_name(project).replace(".tar.zst", ending), content)
    if signature is not None:
        store.put_bytes(name + ".minisig", signature)
    return name


@pytest.mark.parametrize("kind", KINDS)
def test_restore_of_a_signed_backup(app, store, signer, kind):
    project, root = app
    archive = zstd(tree_archive(b"new"))
    put(store, project, archive, signer.sign(archive, kind))
    result = restore(project, store, MINISIGN_PUBLIC_KEY=signer.key)
    assert result.code == 0 and "Signature verified: key" in result.out, result
    assert read_tree(root) == {"new": b"new"}


def test_what_the_readme_says_makes_it(app, store, signer):
    """The second command, and the key from its file; encrypted, so that it signs what lies there."""
    project, root = app
    identities, recipient = keygen()
    name = put(store, project, encrypt(zstd(tree_archive(b"new")), recipient), ending=".tar.zst.age")
    (signer.folder / "identity").write_bytes(identities)
    subprocess.run(["sh", "-ec", f'sha256sum {name} | cut -c-64 >sum && minisign -Sm sum -s "$1" -x {name}.minisig', "sh",
                    signer.secret], cwd=store.directory, check=True, capture_output=True)
    result = restore(project, store, MINISIGN_PUBLIC_KEY_FILE=signer.public, AGE_IDENTITY_FILE=signer.folder / "identity")
    assert result.code == 0 and "file:sum" in result.out, result
    assert read_tree(root) == {"new": b"new"}


FAILURES = {
    "missing": (INTEGRITY, lambda signer, archive: None, {}, "has no signature beside it"),
    "of-another-archive": (INTEGRITY, lambda signer, archive: signer.sign(b"other"), {}, "not one of this archive"),
    "garbage": (INTEGRITY, lambda signer, archive: b"garbage", {}, "no signature of minisign"),
    "key-malformed": (USAGE, lambda signer, archive: signer.sign(archive), {"MINISIGN_PUBLIC_KEY": "RWx"}, "no public key"),
    "key-of-no-curve": (USAGE, lambda signer, archive: signer.sign(archive), {"MINISIGN_PUBLIC_KEY": "RW" + "!" * 54}, "no public key"),
    "key-file-missing": (USAGE, lambda signer, archive: signer.sign(archive),
                         {"MINISIGN_PUBLIC_KEY": "", "MINISIGN_PUBLIC_KEY_FILE": "/nowhere"}, "cannot read"),
}


@pytest.mark.parametrize("mode", ["latest", "verify"])
@pytest.mark.parametrize("case", FAILURES)
def test_without_a_right_one_nothing_is_stopped(app, store, signer, case, mode):
    project, root = app
    code, make, options, words = FAILURES[case]
    archive = zstd(tree_archive(b"new"))
    put(store, project, archive, make(signer, archive))
    events = harness.Events()
    result = restore(project, store, RESTORE_MODE=mode, **{"MINISIGN_PUBLIC_KEY": signer.key, **options})
    assert result.code == code and words in result.err, result
    harness.assert_untouched(project, [root], [{"old": b"data"}], events)


def test_without_a_key_signatures_are_not_looked_at(app, store):
    project, root = app
    put(store, project, zstd(tree_archive(b"new")), b"garbage")
    assert restore(project, store).code == 0
    assert read_tree(root) == {"new": b"new"}


def test_the_second_pass_is_held_to_it_too(mini, store, signer, tmp_path):
    volume = mini.volume("data")
    mini.add("db", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True, options=("--network", "none"))
    write_tree(mini.path(volume), {"PG_VERSION": "15\n", "old": "x"})
    tree = write_tree(tmp_path / "tree", {"db/volumes/data/PG_VERSION": "15\n", "db/volumes/data/new": "y"})
    archive = zstd(subprocess.run(["tar", "-C", tree, "-cf", "-", "db"], stdout=subprocess.PIPE, check=True).stdout)
    put(store, mini.project, archive, signer.sign(archive))
    result = restore(mini.project, store, MINISIGN_PUBLIC_KEY=signer.key)
    assert result.code == 0 and "Downloading once more" in result.out, result
    assert result.out.count("Signature verified") == 1


def test_signatures_in_s3(app, signer, tmp_path):
    project, root = app
    bucket = harness.unique("sign-")
    stack.aws("s3api", "create-bucket", "--bucket", bucket)
    try:
        path = tmp_path / harness.backup_name(project)
        path.write_bytes(zstd(tree_archive(b"new")))
        stack.aws("s3", "cp", "--only-show-errors", str(path), f"s3://{bucket}/p/{path.name}")
        environment = stack.rgw_env()
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")
        options = {"MINISIGN_PUBLIC_KEY": signer.key, **{name: environment[name] for name in names}}
        result = restore(project, f"s3://{bucket}/p", **options)
        assert result.code == INTEGRITY and "has no signature beside it" in result.err, result
        signature = tmp_path / "signature"
        signature.write_bytes(b"x" * 5000)
        stack.aws("s3", "cp", "--only-show-errors", str(signature), f"s3://{bucket}/p/{path.name}.minisig")
        result = restore(project, f"s3://{bucket}/p", **options)
        assert result.code == 4, result
        assert read_tree(root) == {"old": b"data"}
        signature.write_bytes(signer.sign(path.read_bytes()))
        stack.aws("s3", "cp", "--only-show-errors", str(signature), f"s3://{bucket}/p/{path.name}.minisig")
        result = restore(project, f"s3://{bucket}/p", **options)
        assert result.code == 0, result
        assert read_tree(root) == {"new": b"new"}
    finally:
        stack.aws("s3", "rb", "--force", f"s3://{bucket}")
