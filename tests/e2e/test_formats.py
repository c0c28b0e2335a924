"""
Other packings of the same tar: plain, gzip and xz, through the unpacker's own binary in its sandbox and in whole
restores. What a name promises has to be what is there, whole, with nothing behind it.
"""
import gzip
import io
import lzma
import os
import struct
import subprocess
import tarfile
import zlib

import harness
import pytest
from archive_cases import BASE, PLAIN, ROOT, WANT, expected, inside, read_back
from harness import read_tree, restore, write_tree
from tar_maker import tar, v7, zstd
from unpacker_driver import GZIP, INTEGRITY, TAR, XZ, ZSTD, Unpacker, unpack


def run(data, command, *options):
    return subprocess.run([command, *options], input=data, stdout=subprocess.PIPE, check=True).stdout


def pieces(data, *sizes):
    parts, at = [], 0
    for size in (*sizes, len(data)):
        parts.append(data[at : at + size])
        at += size
    return parts


def xz(data, *options):
    return run(data, "xz", "-c", *options)


FORMATS = {".tar.zst": ZSTD, ".tar.gz": GZIP, ".tar.xz": XZ, ".tar": TAR}
PACKERS = {".tar.zst": zstd, ".tar.gz": gzip.compress, ".tar.xz": xz, ".tar": bytes}

SOUND = {
    "gzip": (GZIP, lambda: run(BASE, "gzip", "-c")),
    "gzip-fastest": (GZIP, lambda: run(BASE, "gzip", "-1c")),
    "gzip-stored": (GZIP, lambda: gzip.compress(BASE, 0)),
    "gzip-named": (GZIP, lambda: gzip_with_everything(BASE)),
    "gzip-members": (GZIP, lambda: b"".join(gzip.compress(part) for part in pieces(BASE, 1, 511, 700, 3000))),
    "gzip-empty-members": (GZIP, lambda: gzip.compress(b"") + gzip.compress(BASE) + gzip.compress(b"")),
    "xz": (XZ, lambda: xz(BASE)),
    "xz-smallest": (XZ, lambda: xz(BASE, "-0")),
    "xz-best": (XZ, lambda: xz(BASE, "-9e")),
    "xz-dictionary-of-128-mib": (XZ, lambda: xz(BASE, "--lzma2=preset=6,dict=128MiB")),
    **{f"xz-{check}": (XZ, lambda check=check: xz(BASE, f"--check={check}")) for check in ("crc32", "crc64", "sha256")},
    "xz-blocks": (XZ, lambda: xz(BASE, "--block-size=1000", "-T2")),
    "xz-x86-filter": (XZ, lambda: xz(BASE, "--x86", "--lzma2=preset=6")),
    "xz-streams": (XZ, lambda: b"".join(xz(part) for part in pieces(BASE, 1, 511, 700))),
    "xz-streams-of-other-dictionaries": (XZ, lambda: xz(BASE[:2048], "-9") + xz(BASE[2048:4096], "-6") + xz(BASE[4096:], "-8")),
    "xz-padding": (XZ, lambda: xz(BASE[:1000]) + bytes(8) + xz(BASE[1000:]) + bytes(4)),
    "tar": (TAR, lambda: BASE),
    "tar-padded": (TAR, lambda: BASE + bytes(-len(BASE) % 10240)),
    "tar-v7": (TAR, lambda: tar(*PLAIN, make=v7)),
}


def gzip_with_everything(data):
    """A member with extra field, name, comment and header CRC."""
    head = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03" + struct.pack("<H", 4) + b"ab\0\0" + b"name\0comment\0"
    body = zlib.compressobj(wbits=-15)
    return (head + struct.pack("<H", zlib.crc32(head) & 0xFFFF) + body.compress(data) + body.flush()
            + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))


@pytest.mark.parametrize("case", SOUND)
def test_every_packing_is_read(case):
    archive_format, make = SOUND[case]
    result = unpack(make(), [WANT], archive_format=archive_format)
    assert result.complete, result.text
    assert read_back(result.streams[7]) == expected(PLAIN)


BROKEN = {
    "gzip-surplus": (GZIP, lambda: gzip.compress(BASE) + b"x", "no gzip member"),
    "gzip-zeros-behind": (GZIP, lambda: gzip.compress(BASE) + bytes(512), "no gzip member"),
    "gzip-half-a-magic-behind": (GZIP, lambda: gzip.compress(BASE) + b"\x1f", "no gzip member"),
    "gzip-wrong-length": (GZIP, lambda: gzip.compress(BASE)[:-1] + b"\x7f", "incorrect length"),
    "gzip-wrong-crc": (GZIP, lambda: gzip.compress(BASE)[:-8] + b"\0\0\0\0" + gzip.compress(BASE)[-4:], "incorrect data"),
    "gzip-is-zstd": (GZIP, lambda: zstd(BASE), "no gzip archive"),
    "gzip-is-empty": (GZIP, lambda: b"", "it is empty"),
    "gzip-without-tar": (GZIP, lambda: gzip.compress(b"no tar at all" * 100), "no tar"),
    "gzip-two-tars": (GZIP, lambda: gzip.compress(BASE) + gzip.compress(BASE), "something follows the end of the tar"),
    "gzip-bomb": (GZIP, lambda: gzip.compress(bytes(64 << 20)), "more than"),
    "xz-surplus": (XZ, lambda: xz(BASE) + b"x" * 12, "follows one"),
    "xz-one-byte-behind": (XZ, lambda: xz(BASE) + b"x", "not complete"),
    "xz-odd-padding": (XZ, lambda: xz(BASE) + bytes(3), "corrupt"),
    "xz-padding-first": (XZ, lambda: bytes(4) + xz(BASE), "no xz archive"),
    "xz-garbage-behind-padding": (XZ, lambda: xz(BASE) + bytes(4) + b"garbage behind it", "follows one"),
    "xz-no-check": (XZ, lambda: xz(BASE, "--check=none"), "without checks"),
    "xz-no-check-in-the-second": (XZ, lambda: xz(BASE[:512]) + xz(BASE[512:], "--check=none"), "without checks"),
    "xz-dictionary-of-256-mib": (XZ, lambda: xz(BASE, "--lzma2=preset=6,dict=256MiB"), "dictionary"),
    "xz-is-lzma": (XZ, lambda: lzma.compress(BASE, lzma.FORMAT_ALONE), "no xz archive"),
    "xz-is-gzip": (XZ, lambda: gzip.compress(BASE), "it looks like gzip"),
    "xz-is-empty": (XZ, lambda: b"", "it is empty"),
    "xz-two-tars": (XZ, lambda: xz(BASE + BASE), "something follows the end of the tar"),
    "tar-is-gzip": (TAR, lambda: gzip.compress(os.urandom(2000)), "it looks like gzip"),
    "tar-is-short": (TAR, lambda: BASE[:300], "no tar"),
    "tar-is-empty": (TAR, lambda: b"", "it is empty"),
    "tar-is-a-page": (TAR, lambda: b"<html>" + b" " * 600, "HTML"),
    "tar-without-end": (TAR, lambda: BASE[:-1024], "two zero blocks"),
    "tar-half-a-block": (TAR, lambda: BASE + bytes(100), "multiple of 512"),
    "tar-surplus": (TAR, lambda: BASE + BASE, "something follows the end of the tar"),
    "zstd-is-xz": (ZSTD, lambda: xz(BASE), "it looks like xz"),
    "zstd-is-tar": (ZSTD, lambda: BASE, "it is a plain tar"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_sound_archive_of_its_kind_is_named(case):
    archive_format, make, words = BROKEN[case]
    result = unpack(make(), [WANT], archive_format=archive_format, max_bytes=50 << 20)
    assert result.failed and result.failed["code"] == INTEGRITY and not result.complete, result.messages
    assert words in result.text, result.text
    assert result.status == 0, result.log


SMALL = tar(ROOT, inside(b"file", data=b"hello\n" * 30))
SMALL_PACKED = {"gzip": (GZIP, lambda: gzip.compress(SMALL, mtime=0)), "xz": (XZ, lambda: xz(SMALL)), "tar": (TAR, lambda: SMALL)}


@pytest.mark.parametrize("case", SMALL_PACKED)
def test_nothing_cut_passes(case):
    archive_format, make = SMALL_PACKED[case]
    archive = make()
    step = 1 if len(archive) < 600 else 37
    for size in range(0, len(archive), step):
        result = unpack(archive[:size], [WANT], archive_format=archive_format)
        assert result.failed and result.failed["code"] == INTEGRITY and not result.complete, size


@pytest.mark.parametrize("case", ["gzip", "xz"])
def test_nothing_flipped_passes_as_something_else(case):
    """A bit of the time in gzip's header, or of a reserved name, may flip: what comes out is then what went in."""
    archive_format, make = SMALL_PACKED[case]
    archive = make()
    passed = 0
    for at in range(len(archive)):
        flipped = bytearray(archive)
        flipped[at] ^= 1 << at % 8
        result = unpack(bytes(flipped), [WANT], archive_format=archive_format)
        if result.complete:
            passed += 1
            assert read_back(result.streams[7]) == read_back(unpack(archive, [WANT], archive_format=archive_format).streams[7])
        else:
            assert result.failed["code"] == INTEGRITY and result.status == 0, (at, result.log)
    assert passed <= (6 if case == "gzip" else 0), "more than the time, the hint and the system in gzip's header"


def test_one_process_takes_archives_of_every_kind():
    with Unpacker() as unpacker:
        for ending in (*FORMATS, *reversed(FORMATS)):
            result = unpacker.run(PACKERS[ending](BASE), [WANT], archive_format=FORMATS[ending])
            assert result.complete and read_back(result.streams[7]) == expected(PLAIN), ending


def test_large_files_come_through_whole():
    entries = [ROOT, *(inside(b"f%d" % at, data=os.urandom(3 << 20) + bytes(1 << 20)) for at in range(4))]
    data = tar(*entries)
    for ending, archive_format in FORMATS.items():
        result = unpack(PACKERS[ending](data), [WANT], archive_format=archive_format)
        assert result.complete and read_back(result.streams[7]) == expected(entries), ending


# Whole restores


@pytest.fixture
def app(mini):
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True, options=("--network", "none"))
    root = mini.path(volume)
    write_tree(root, {"old": "data"})
    return mini.project, root


def tree_archive(text):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        info = tarfile.TarInfo("app/volumes/data/new")
        info.size = len(text)
        file.addfile(info, io.BytesIO(text))
    return out.getvalue()


@pytest.mark.parametrize("ending", FORMATS)
def test_restore_by_the_name(app, store, ending):
    project, root = app
    name = harness.backup_name(project).replace(".tar.zst", ending)
    store.put_bytes(name, PACKERS[ending](tree_archive(b"new")))
    listed = restore(project, store, RESTORE_MODE="list")
    assert name in listed.out, listed
    result = restore(project, store)
    assert result.code == 0, result
    assert read_tree(root) == {"new": b"new"}


def test_the_newest_wins_whatever_its_ending(app, store):
    project, root = app
    for day, ending in enumerate((".tar", ".tar.xz", ".tar.gz"), 1):
        name = harness.backup_name(project, f"2026010{day}-120000").replace(".tar.zst", ending)
        store.put_bytes(name, PACKERS[ending](tree_archive(ending.encode())))
    assert restore(project, store).code == 0
    assert read_tree(root) == {"new": b".tar.gz"}


def test_a_name_that_lies_about_its_format_changes_nothing(app, store):
    project, root = app
    events = harness.Events()
    store.put_bytes(harness.backup_name(project).replace(".tar.zst", ".tar.xz"), gzip.compress(tree_archive(b"new")))
    result = restore(project, store)
    assert result.code == INTEGRITY and "it looks like gzip" in result.err, result
    harness.assert_untouched(project, [root], [{"old": b"data"}], events)


@pytest.mark.parametrize("ending", [".tar.zst.gpg", ".tar.gpg"])
def test_gnupg_is_listed_and_refused_with_what_to_do(app, store, ending):
    project, root = app
    name = harness.backup_name(project, "20260102-120000").replace(".tar.zst", ending)
    store.put_bytes(name, b"\x85\x02")
    store.put_bytes(harness.backup_name(project, "20260101-120000"), zstd(tree_archive(b"older")))
    assert name in restore(project, store, RESTORE_MODE="list").out
    events = harness.Events()
    result = restore(project, store)
    assert result.code == 2 and "gpg --decrypt" in result.err and name in result.err, result
    harness.assert_untouched(project, [root], [{"old": b"data"}], events)
