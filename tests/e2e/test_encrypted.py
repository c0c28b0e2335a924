"""
Backups encrypted with age: made by Debian's `age`, decrypted by the unpacker in its sandbox and in whole restores. The
published test vectors are in test_age_vectors.py.
"""
import contextlib
import gzip
import hashlib
import os
import pathlib
import pty
import re
import select
import subprocess
import time

import harness
import pytest
import stack
from archive_cases import BASE, PLAIN, ROOT, WANT, expected, inside, read_back
from harness import read_tree, restore, write_tree
from processes import Watch
from tar_maker import tar, zstd
from test_formats import FORMATS, PACKERS, tree_archive
from unpacker_driver import INTEGRITY, Unpacker, encode, unpack

USAGE = 2
PASSPHRASE = "correct horse battery staple"


def keygen():
    text = subprocess.run(["age-keygen"], capture_output=True, check=True).stdout
    return text, re.search(rb"public key: (age1\w+)", text)[1].decode()


def encrypt(data, *recipients, options=()):
    arguments = [part for recipient in recipients for part in ("-r", recipient)]
    return subprocess.run(["age", *arguments, *options], input=data, stdout=subprocess.PIPE, check=True).stdout


def encrypt_with_passphrase(data, folder, passphrase=PASSPHRASE):
    """age asks a terminal for it, and nothing else."""
    source, target = folder / "plain", folder / "plain.age"
    source.write_bytes(data)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execlp("age", "age", "-p", "-o", str(target), str(source))
    said, deadline = b"", time.monotonic() + 60
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                said += os.read(terminal, 1000)
            if b"passphrase" in said and said.rstrip().endswith(b":"):
                os.write(terminal, passphrase.encode() + b"\n")
                said = b""
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert status == 0, said
    return target.read_bytes()


@pytest.fixture(scope="module")
def key():
    return keygen()


def scrypt(salt, work_factor, passphrase=PASSPHRASE):
    return hashlib.scrypt(passphrase.encode(), salt=b"age-encryption.org/v1/scrypt" + salt, n=1 << work_factor, r=8, p=1,
                          maxmem=(1 << 31) - 2, dklen=32)


# The unpacker in its sandbox


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_decrypted(key, ending):
    identities, recipient = key
    archive = encrypt(PACKERS[ending](BASE), recipient)
    result = unpack(archive, [WANT], hashlib.sha256(archive).hexdigest(), archive_format=FORMATS[ending], encrypted=1,
                    identities=identities)
    assert result.complete, result.text
    assert read_back(result.streams[7]) == expected(PLAIN)


def test_one_of_several_identities_for_one_of_several_recipients(key):
    identities, recipient = key
    others = [keygen() for _ in range(6)]
    archive = encrypt(zstd(BASE), others[0][1], others[1][1], recipient, others[2][1])
    mine = b"\r\n".join([b"# comment", b"", *others[3][0].splitlines(), *identities.splitlines(), *others[4][0].splitlines()])
    assert unpack(archive, [WANT], encrypted=1, identities=mine).complete


def test_large_archives_of_many_chunks_and_pass_after_pass(key):
    identities, recipient = key
    entries = [ROOT, *(inside(b"f%d" % at, data=os.urandom(3 << 20)) for at in range(3))]
    with Unpacker(identities=identities) as unpacker:
        for encrypted in (1, 0, 1):
            archive = zstd(tar(*entries))
            archive = encrypt(archive, recipient) if encrypted else archive
            result = unpacker.run(archive, [WANT], encrypted=encrypted)
            assert result.complete and read_back(result.streams[7]) == expected(entries), result.text


@pytest.mark.parametrize("size", [65536, 65537, 131072, 65535])
def test_chunks_that_end_with_the_archive(key, size):
    """A plain tar of just so many bytes behind the tar's end, so that chunks end in every way."""
    identities, recipient = key
    data = BASE + bytes((size // 512 * 512 - len(BASE)) % 65536)
    packed = gzip.compress(data, 0)
    result = unpack(encrypt(data, recipient), [WANT], archive_format=FORMATS[".tar"], encrypted=1, identities=identities)
    assert result.complete, result.text
    result = unpack(encrypt(packed, recipient), [WANT], archive_format=FORMATS[".tar.gz"], encrypted=1, identities=identities)
    assert result.complete, result.text


REFUSED = {
    "other-identity": (USAGE, lambda recipient: encrypt(zstd(BASE), keygen()[1]), "none of the 1 identities"),
    "not-encrypted": (INTEGRITY, lambda recipient: zstd(BASE), "no age file"),
    "empty": (INTEGRITY, lambda recipient: b"", "it is empty"),
    "armor": (INTEGRITY, lambda recipient: encrypt(zstd(BASE), recipient, options=["-a"]), "in armor"),
    "twice": (INTEGRITY, lambda recipient: encrypt(encrypt(zstd(BASE), recipient), recipient), "no zstd archive"),
    "surplus": (INTEGRITY, lambda recipient: encrypt(zstd(BASE), recipient) + b"x", "chunk 1"),
    "two-files": (INTEGRITY, lambda recipient: encrypt(zstd(BASE), recipient) * 2, "chunk 1"),
    "nothing-in-it": (INTEGRITY, lambda recipient: encrypt(b"", recipient), "it is empty"),
    "header-changed": (INTEGRITY, lambda recipient: encrypt(zstd(BASE), recipient).replace(
        b"\n--- ", b"\n-> X25519 " + b"A" * 43 + b"\n" + b"B" * 43 + b"\n--- ", 1), "age header"),
    "stanza-added": (INTEGRITY, lambda recipient: encrypt(zstd(BASE), recipient).replace(
        b"\n--- ", b"\n-> other\n\n--- ", 1), "MAC is wrong"),
    "version-2": (INTEGRITY, lambda recipient: encrypt(zstd(BASE), recipient).replace(b"v1", b"v2", 1), "version 1"),
    "zstd-cut-inside": (INTEGRITY, lambda recipient: encrypt(zstd(BASE)[:-3], recipient), "not complete"),
    "surplus-inside": (INTEGRITY, lambda recipient: encrypt(zstd(BASE) + b"more", recipient), "no zstd frame"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_decrypted_is_named(key, case):
    identities, recipient = key
    code, make, words = REFUSED[case]
    result = unpack(make(recipient), [WANT], encrypted=1, identities=identities)
    assert result.failed and result.failed["code"] == code and not result.complete, result.messages
    assert words in result.text and result.status == 0, (result.text, result.log)


@pytest.mark.parametrize("where", ["cut", "flipped"])
def test_every_cut_and_every_flipped_bit_is_refused(key, where):
    identities, recipient = key
    archive = encrypt(zstd(tar(ROOT, inside(b"f", data=b"hello"))), recipient)
    for at in range(len(archive)):
        damaged = bytearray(archive)
        damaged[at] ^= 1 << at % 8
        result = unpack(archive[:at] if where == "cut" else bytes(damaged), [WANT], encrypted=1, identities=identities)
        assert result.failed and not result.complete and result.status == 0, (at, result.log)


IDENTITIES = {
    "garbage": (b"nonsense\n", "line 1: it is no identity"),
    "wrong-checksum": (b"# c\nAGE-SECRET-KEY-1" + b"Q" * 58 + b"\n", "line 2: it is no identity"),
    "plugin": (b"AGE-PLUGIN-YUBIKEY-1QQQQ\n", "identity of a plugin"),
    "ssh": (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "SSH key"),
    "encrypted": (b"age-encryption.org/v1\n-> scrypt\n", "decrypt it first"),
    "too-large": (b"#" * 20000, "larger than 16 KiB"),
}


@pytest.mark.parametrize("case", IDENTITIES)
def test_identity_files_that_are_none(case):
    text, words = IDENTITIES[case]
    with Unpacker(identities=text) as unpacker:
        assert unpacker.ready[0] == "failed" and unpacker.ready[1]["code"] == USAGE
        assert words in unpacker.ready[1]["message"].decode()
        assert unpacker.process.wait(10) == USAGE


def test_the_key_of_a_passphrase_is_asked_for(tmp_path):
    archive = encrypt_with_passphrase(zstd(BASE), tmp_path)
    result = unpack(archive, [WANT], encrypted=1, stretch=scrypt)
    assert result.complete and read_back(result.streams[7]) == expected(PLAIN), result.text
    assert result.all("passphrase_wanted")[0]["work_factor"] == 18
    wrong = unpack(archive, [WANT], encrypted=1, stretch=lambda *_: b"x" * 32)
    assert wrong.failed["code"] == USAGE and "not the one" in wrong.text
    none = unpack(archive, [WANT], encrypted=1)
    assert none.failed["code"] == USAGE and "AGE_PASSPHRASE_FILE" in none.text
    short = unpack(archive, [WANT], encrypted=1, stretch=lambda *_: b"x" * 31)
    assert short.failed["code"] == 14
    too_much = unpack(re.sub(rb"(-> scrypt \S+) 18\n", rb"\1 23\n", archive), [WANT], encrypted=1, stretch=scrypt)
    assert too_much.failed["code"] == INTEGRITY and "above 22" in too_much.text and not too_much.all("passphrase_wanted")


def test_after_its_lock_down_it_holds_no_file(key):
    with Unpacker(identities=key[0]) as unpacker:
        folder = pathlib.Path(f"/proc/{unpacker.process.pid}/fd")
        links = {int(entry.name): os.readlink(entry) for entry in folder.iterdir()}
    assert links[0] == links[1] == "/dev/null" and all(links[number].startswith("pipe:") for number in range(2, 7))


# Whole restores


@pytest.fixture
def app(mini):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True, options=("--network", "none"))
    root = mini.path(volume)
    write_tree(root, {"old": "data"})
    return mini.project, root


def secret(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o400)
    return path


def put(store, project, content, ending=".tar.zst.age"):
    return store.put_bytes(harness.backup_name(project).replace(".tar.zst", ending), content)


@pytest.mark.parametrize("ending", FORMATS)
def test_restore_with_an_identity(app, store, key, tmp_path, ending):
    project, root = app
    name = put(store, project, encrypt(PACKERS[ending](tree_archive(b"new")), key[1]), ending + ".age")
    assert name in restore(project, store, RESTORE_MODE="list").out
    result = restore(project, store, AGE_IDENTITY_FILE=secret(tmp_path, "identity", key[0]))
    assert result.code == 0, result
    assert read_tree(root) == {"new": b"new"}


def test_restore_with_a_passphrase(app, store, tmp_path):
    project, root = app
    put(store, project, encrypt_with_passphrase(zstd(tree_archive(b"new")), tmp_path))
    with Watch() as watch:
        result = restore(project, store, AGE_PASSPHRASE_FILE=secret(tmp_path, "passphrase", PASSPHRASE.encode() + b"\n"))
    assert result.code == 0, result
    assert "Stretching the passphrase (work factor 18)" in result.out
    assert read_tree(root) == {"new": b"new"}
    assert ("2", "1") in watch.confinement["stretcher"] and watch.descriptors["stretcher"] == set(range(7))
    assert watch.environments.get("stretcher", b"") == b""
    peaks = {name: kib for name, kib in watch.peak_kib.values()}
    assert peaks["stretcher"] > 250_000 > 10 * max(kib for name, kib in peaks.items() if name not in ("stretcher", "stager")) / 4
    assert PASSPHRASE not in result.text and not any(PASSPHRASE.encode() in line for line in watch.command_lines)


@pytest.mark.parametrize("limit", ["128m", "512m"])
def test_a_container_with_too_little_memory_is_told_so(tmp_path, limit):
    """The stretcher alone, in a container of the size that compose.yaml gives, and in a larger one."""
    binary = harness.RESTORE.parent / "restore-stretcher"
    salt = b"s" * 16
    write_tree(tmp_path, {"passphrase": PASSPHRASE + "\n",
                          "frames": encode("stretcher_config", salt=salt, work_factor=18) + encode("stretch")})
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    mounts = [part for path in re.findall(r"=> (/\S+)", linked) if "libc.so" not in path for part in ("-v", f"{path}:{path}:ro")]
    done = subprocess.run(["docker", "run", "--rm", "--network", "none", "--memory", limit, *mounts, "-v", f"{tmp_path}:/in:ro",
                           "-v", f"{binary}:/stretcher:ro", harness.IMAGE, "sh", "-c",
                           "/stretcher </in/passphrase 3</in/frames 4>&1 5</dev/null 6>/dev/null | cat"],
                          capture_output=True, timeout=120, check=False)
    if limit == "128m":
        assert b"takes 260 MiB of memory, which there is not: raise the container's memory limit" in done.stdout, done
    else:
        assert done.stdout.endswith(scrypt(salt, 18)), done


def test_a_live_data_directory_is_decrypted_twice(mini, store, key, tmp_path):
    """The second pass, after the stop, starts an unpacker anew: it finds its identities again."""
    volume = mini.volume("data")
    mini.add("db", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True, options=("--network", "none"))
    write_tree(mini.path(volume), {"PG_VERSION": "15\n", "old": "x"})
    tree = write_tree(tmp_path / "tree", {"db/volumes/data/PG_VERSION": "15\n", "db/volumes/data/new": "y"})
    plain = subprocess.run(["tar", "-C", tree, "-cf", "-", "db"], stdout=subprocess.PIPE, check=True).stdout
    put(store, mini.project, encrypt(zstd(plain), key[1]))
    result = restore(mini.project, store, AGE_IDENTITY_FILE=secret(tmp_path, "identity", key[0]))
    assert result.code == 0 and "Downloading once more" in result.out, result
    assert set(read_tree(mini.path(volume))) == {"PG_VERSION", "new"}


def test_a_live_data_directory_with_a_passphrase(mini, store, tmp_path):
    volume = mini.volume("data")
    mini.add("db", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True, options=("--network", "none"))
    write_tree(mini.path(volume), {"PG_VERSION": "15\n", "old": "x"})
    tree = write_tree(tmp_path / "tree", {"db/volumes/data/PG_VERSION": "15\n", "db/volumes/data/new": "y"})
    plain = subprocess.run(["tar", "-C", tree, "-cf", "-", "db"], stdout=subprocess.PIPE, check=True).stdout
    put(store, mini.project, encrypt_with_passphrase(zstd(plain), tmp_path))
    result = restore(mini.project, store, AGE_PASSPHRASE_FILE=secret(tmp_path, "passphrase", PASSPHRASE.encode()))
    assert result.code == 0 and result.out.count("Stretching the passphrase") == 2, result
    assert set(read_tree(mini.path(volume))) == {"PG_VERSION", "new"}


FAILURES = {
    "nothing-to-decrypt-with": (USAGE, lambda folder, key: {}, "set AGE_IDENTITY_FILE"),
    "file-missing": (USAGE, lambda folder, key: {"AGE_IDENTITY_FILE": folder / "none"}, "cannot read"),
    "other-identity": (USAGE, lambda folder, key: {"AGE_IDENTITY_FILE": secret(folder, "i", keygen()[0])}, "none of the"),
    "no-identity": (USAGE, lambda folder, key: {"AGE_IDENTITY_FILE": secret(folder, "i", b"x\n")}, "AGE_IDENTITY_FILE, line 1"),
    "passphrase-for-a-recipient": (USAGE, lambda folder, key: {"AGE_PASSPHRASE_FILE": secret(folder, "p", b"x\n")},
                                   "set AGE_IDENTITY_FILE"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_fails_changes_nothing(app, store, key, tmp_path, case):
    project, root = app
    code, options, words = FAILURES[case]
    put(store, project, encrypt(zstd(tree_archive(b"new")), key[1]))
    events = harness.Events()
    result = restore(project, store, **options(tmp_path, key))
    assert result.code == code and words in result.err, result
    harness.assert_untouched(project, [root], [{"old": b"data"}], events)


@pytest.mark.parametrize("passphrase", [b"wrong\n", b"\n", b"", b"x" * 2000], ids=["wrong", "line", "empty", "long"])
def test_a_wrong_or_empty_passphrase_changes_nothing(app, store, tmp_path, passphrase):
    project, root = app
    put(store, project, encrypt_with_passphrase(zstd(tree_archive(b"new")), tmp_path))
    events = harness.Events()
    result = restore(project, store, AGE_PASSPHRASE_FILE=secret(tmp_path, "passphrase", passphrase))
    assert result.code == USAGE and "AGE_PASSPHRASE_FILE" in result.err, result
    harness.assert_untouched(project, [root], [{"old": b"data"}], events)


def test_a_damaged_one_changes_nothing(app, store, key, tmp_path):
    project, root = app
    content = bytearray(encrypt(zstd(tree_archive(os.urandom(300_000))), key[1]))
    content[200_000] ^= 1
    put(store, project, bytes(content))
    events = harness.Events()
    result = restore(project, store, AGE_IDENTITY_FILE=secret(tmp_path, "identity", key[0]))
    assert result.code == INTEGRITY and "chunk" in result.err, result
    harness.assert_untouched(project, [root], [{"old": b"data"}], events)


def test_restore_from_s3(app, key, tmp_path):
    project, root = app
    bucket = harness.unique("age-")
    stack.aws("s3api", "create-bucket", "--bucket", bucket)
    try:
        path = tmp_path / harness.backup_name(project).replace(".tar.zst", ".tar.zst.age")
        path.write_bytes(encrypt(zstd(tree_archive(os.urandom(20 << 20))), key[1]))
        stack.aws("s3", "cp", "--only-show-errors", str(path), f"s3://{bucket}/p/{path.name}")
        environment = stack.rgw_env()
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")
        result = restore(project, f"s3://{bucket}/p", AGE_IDENTITY_FILE=secret(tmp_path, "identity", key[0]),
                         **{name: environment[name] for name in names})
        assert result.code == 0, result
        assert len(read_tree(root)["new"]) == 20 << 20
    finally:
        stack.aws("s3", "rb", "--force", f"s3://{bucket}")
