"""
The unpacker's own binary in its sandbox: what is sound comes out as it went in, and what is not is refused. Each case
is one archive and counts as one; archive_cases.py has them. Cuts and flipped bits: test_points.py.
"""
import hashlib
import io
import os
import subprocess
import tarfile

import pytest

from archive_cases import (BASE, HOSTILE, MARIA_DUMP, PACKED, PACKINGS, PG_DUMP, PLAIN, ROOT, SOUND, WANT, assert_hostile,
                           assert_packed, assert_packing, assert_sound, expected, inside, read_back)
from tar_maker import (BLOCK, CHAR, DIRECTORY, HARDLINK, REGULAR, Entry, gnu, gnu_tar, header, padded, pax, posix, tar,
                       zstd)
from unpacker_driver import BINARY, MARIADB, POSTGRES, VOLUME, Unpacker, unpack

# Sound archives


@pytest.mark.parametrize("case", SOUND)
def test_sound_archive_comes_out_as_it_went_in(case):
    assert_sound(case)


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_packing_is_read(packing):
    assert_packing(packing)


def describe(folder):
    found = {}
    for path, folders, files in os.walk(os.fsencode(folder)):
        for name in [b"", *folders, *files]:
            full = os.path.join(path, name) if name else path
            status = os.lstat(full)
            relative = os.path.relpath(full, os.fsencode(folder))
            content = os.readlink(full) if os.path.islink(full) else b""
            if os.path.isfile(full) and not os.path.islink(full):
                with open(full, "rb") as file:
                    content = hashlib.sha256(file.read()).digest()
            found[relative] = (status.st_mode & 0o7777, status.st_uid, status.st_gid, content)
    return found


@pytest.fixture(scope="module")
def live_tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    data = folder / "app/volumes/data"
    (data / "sub dir").mkdir(parents=True)
    (data / "text").write_bytes(b"text\n")
    os.link(data / "text", data / "linked")
    (data / "sub dir" / ("é" * 20)).write_bytes(b"x" * 5000)
    (data / "symlink").symlink_to("text")
    with open(data / "sparse", "wb") as file:
        file.truncate(3_000_000)
        for at in (0, 1_000_000, 2_000_000):
            file.seek(at)
            file.write(b"island")
    with open(data / "hole", "wb") as file:
        file.truncate(1_000_000)
    os.utime(data / "text", ns=(0, 1_600_000_000_123_456_789))
    return folder


GNU_TAR = {
    "gnu": ["--format=gnu"], "oldgnu": ["--format=oldgnu"], "posix": ["--format=posix"], "v7": ["--format=v7"],
    "ustar": ["--format=ustar"], "dot": ["--format=gnu", "--transform=s,^,./,S"],
    "sparse-gnu": ["-S", "--format=gnu"], "sparse-oldgnu": ["-S", "--format=oldgnu"],
    "sparse-0.0": ["-S", "--format=posix", "--sparse-version=0.0"],
    "sparse-0.1": ["-S", "--format=posix", "--sparse-version=0.1"],
    "sparse-1.0": ["-S", "--format=posix", "--sparse-version=1.0"],
    "label": ["--format=gnu", "--label=backup"], "volume-name-pax": ["--format=posix", "--label=backup"],
    "global-header": ["--format=posix", "--pax-option=globexthdr.name=g,comment=hello"],
    "owners": ["--format=gnu", "--owner=0", "--group=0", "--numeric-owner"],
    "blocking": ["--format=gnu", "-b", "1"], "big-blocking": ["--format=gnu", "-b", "2048"],
}


@pytest.mark.parametrize("case", GNU_TAR)
def test_what_gnu_tar_makes_is_extracted_as_the_tree_it_was(case, live_tree, tmp_path):
    result = unpack(zstd(gnu_tar(live_tree, *GNU_TAR[case])), [WANT])
    assert result.complete, result.text
    subprocess.run(["tar", "-xpf", "-", "-C", str(tmp_path)], input=bytes(result.streams[7]), check=True)
    wanted = describe(live_tree / "app/volumes/data")
    assert describe(tmp_path) == wanted
    assert os.stat(tmp_path / "linked").st_ino == os.stat(tmp_path / "text").st_ino
    if "sparse" in case:
        assert os.stat(tmp_path / "sparse").st_blocks * 512 < 1_000_000
        assert len(result.streams[7]) < 100_000


def test_several_services_and_dumps():
    archive = zstd(tar(
        Entry(b"app", DIRECTORY), *PLAIN[1:], Entry(b"app/volumes/other", DIRECTORY),
        Entry(b"app/volumes/other/f", data=b"other"), Entry(b"app/database", DIRECTORY),
        Entry(b"app/database/pg_dumpall.sql", data=PG_DUMP), Entry(b"db", DIRECTORY), Entry(b"db/mariadb_dump", DIRECTORY),
        Entry(b"db/mariadb_dump/all_databases.sql", data=MARIA_DUMP),
        Entry(b"db/mariadb_dump/mariadb_dump.errors", data=b"oops"), Entry(b"web", DIRECTORY),
        Entry(b"web/volumes", DIRECTORY), Entry(b"web/volumes/data", DIRECTORY), Entry(b"web/volumes/data/f", data=b"w")))
    wants = [WANT, (8, POSTGRES, "app"), (9, MARIADB, "db"), (10, VOLUME, "web", "data")]
    result = unpack(archive, wants)
    assert result.complete and result.ended == {7, 8, 9, 10}, result.text
    assert read_back(result.streams[7]) == expected(PLAIN)
    assert b"cluster dump complete" in result.streams[8] and b"Dump completed" in result.streams[9]
    assert list(read_back(result.streams[10])) == [b".", b"f"]
    assert [section["name"] for section in result.all("section") if not section["wanted"]] == [b"other"]
    assert result.all("dump_errors") == [{"path": b"db/mariadb_dump/mariadb_dump.errors"}]
    totals = {(total["service"], total["kind"], total["name"]): total for total in result.all("section_total")}
    assert totals[b"app", VOLUME, b"other"]["entries"] == 1 and totals[b"app", VOLUME, b"other"]["bytes"] == 5
    assert totals[b"app", POSTGRES, b""]["bytes"] == len(result.streams[8])


def test_sections_that_take_turns_keep_their_streams():
    parts = [Entry(b"app/volumes/%s/f%d" % (name, at), data=os.urandom(70_000)) for at in range(6)
             for name in (b"data", b"two")]
    result = unpack(zstd(tar(*parts)), [WANT, (8, VOLUME, "app", "two")])
    assert read_back(result.streams[7]) == expected(parts)
    assert read_back(result.streams[8]) == expected(parts, b"app/volumes/two")
    assert {total["stream"]: total["sha256"].decode() for total in result.all("section_total")} == {
        stream: hashlib.sha256(content).hexdigest() for stream, content in result.streams.items()}


def test_one_process_takes_several_archives():
    with Unpacker() as unpacker:
        for _ in range(3):
            result = unpacker.run(zstd(BASE), [WANT])
            assert result.complete and read_back(result.streams[7]) == expected(PLAIN)
        assert unpacker.run(zstd(BASE)).streams == {}, "wants end with their pass"


def test_empty_tar_is_no_error_of_the_archive():
    result = unpack(zstd(bytes(10240)), [WANT])
    assert result.complete and not result.streams and not result.all("section")


def test_devices_sockets_and_links_to_them_are_left_out_by_name():
    result = unpack(zstd(tar(ROOT, inside(b"null", CHAR, device=(1, 3)), inside(b"sda", BLOCK, device=(8, 0)),
                             inside(b"zero", HARDLINK, link=b"app/volumes/data/null"), inside(b"f", data=b"x"))), [WANT])
    assert result.complete
    assert [skipped["path"].rpartition(b"/")[2] for skipped in result.all("skipped")] == [b"null", b"sda", b"zero"]
    assert list(read_back(result.streams[7])) == [b".", b"f"]


def test_capabilities_are_dropped_with_one_warning_a_volume():
    result = unpack(zstd(tar(ROOT, *(inside(b"f%d" % at, data=b"x", xattrs={
        b"security.capability": b"\1\0\0\2", b"trusted.overlay.opaque": b"y", b"user.kept": b"k"}) for at in range(3)),
        make=posix)), [WANT])
    assert result.complete and len(result.all("warning")) == 1
    assert b"capability" not in result.streams[7] and b"user.kept" in result.streams[7]


def test_a_megabyte_of_attributes_is_within_the_memory_given():
    result = unpack(zstd(tar(ROOT, inside(b"f", xattrs={b"user.%d" % at: b"%d" % at for at in range(25_000)}), make=posix)),
                    [WANT])
    assert result.complete and b"user.24999=24999\n" in result.streams[7], result.text


def test_attribute_names_that_need_quoting_survive():
    result = unpack(zstd(tar(ROOT, inside(b"f", xattrs={b"user.a b%": b"v", "user.é".encode(): b"w"}), make=posix)), [WANT])
    assert b"LIBARCHIVE.xattr.user.a%20b%25=" in result.streams[7]
    assert b"LIBARCHIVE.xattr.user.%C3%A9=" in result.streams[7]


def test_acl_comes_out_by_number():
    acl = b"user::rw-,user:joe:r--:1234,group::r--,mask::r--,other::r--"
    result = unpack(zstd(tar(ROOT, pax([(b"SCHILY.acl.access", acl)]), inside(b"f"))), [WANT])
    assert result.complete and b"user:1234:r--" in result.streams[7] and b"joe" not in result.streams[7]


def test_directory_may_come_again_and_counts_again():
    folder = inside(b"sub", DIRECTORY, mode=0o700)
    result = unpack(zstd(tar(ROOT, folder, inside(b"sub/f", data=b"x"), folder, ROOT)), [WANT])
    assert result.complete and result.all("section_total")[0]["entries"] == 3, result.text
    with tarfile.open(fileobj=io.BytesIO(bytes(result.streams[7]))) as file:
        assert file.getnames() == [".", "sub", "sub/f", "sub", "."]


def test_linkpath_on_a_regular_file_means_nothing():
    result = unpack(zstd(tar(ROOT, pax([(b"linkpath", b"/etc/shadow")]), gnu(inside(b"f", data=b"x")))), [WANT])
    assert read_back(result.streams[7])[b"f"][:2] == (REGULAR, b"x")


def test_large_sparse_file_stays_sparse():
    size = 20 << 30
    file = (pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"app/volumes/data/s"),
                 (b"GNU.sparse.realsize", b"%d" % size)])
            + header(b"app/volumes/data/x", size=1024) + padded(b"2\n%d\n512\n%d\n0\n" % (size // 2, size)) + b"i" * 512)
    result = unpack(zstd(tar(ROOT, file)), [WANT])
    assert result.complete, result.text
    assert len(result.streams[7]) < 10_000
    assert result.all("section_total")[0]["bytes"] == size


def test_progress_is_told():
    result = unpack(zstd(tar(ROOT, inside(b"f", data=os.urandom(20 << 20)))))
    assert len(result.all("unpacking")) == 5
    assert result.unpacked["entries"] == 2 and result.unpacked["frames"] == 1


def test_member_larger_than_8_gib_is_announced_rightly():
    """The header alone: the archive is cut behind it, and the message says so."""
    result = unpack(zstd(tar(ROOT, posix(inside(b"f", data=b"x", size=9 << 30)), end=b"")), [WANT])
    assert "Truncated tar archive" in result.text and b"9663676416" in result.streams.get(7, b"9663676416")


# Hostile and broken archives


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archive_is_refused_by_name(case):
    assert_hostile(case)


@pytest.mark.parametrize("case", PACKED)
def test_what_is_no_sound_zstd_is_named(case):
    assert_packed(case)


def test_caps_on_entries_and_bytes():
    archive = zstd(tar(*PLAIN))
    assert unpack(archive, max_entries=len(PLAIN)).unpacked
    assert "limit on entries" in unpack(archive, max_entries=len(PLAIN) - 1).text
    assert unpack(archive, max_bytes=len(BASE)).unpacked
    assert "more than" in unpack(archive, max_bytes=len(BASE) - 1).text


def test_wrong_sha256_and_wrong_size_are_refused():
    archive = zstd(BASE)
    assert "SHA-256" in unpack(archive, [WANT], "0" * 64).text
    assert unpack(archive, [WANT], hashlib.sha256(archive).hexdigest().upper()).complete
    assert "ended after" in unpack(archive, [WANT], size=len(archive) + 1, close=True).text
    assert not unpack(archive, [WANT], size=len(archive) - 1).complete


# The process

def test_it_links_nothing_that_it_does_not_need():
    linked = subprocess.run(["ldd", BINARY], stdout=subprocess.PIPE, check=True, text=True).stdout
    for library in ("libcurl", "libssl", "expat", "cjson", "libxml2", "icu", "libarchive", "libzstd"):
        assert library not in linked


def test_its_sandbox_is_on_when_it_says_ready():
    with Unpacker() as unpacker:
        assert unpacker.ready[0] == "ready"
        with open(f"/proc/{unpacker.process.pid}/status", encoding="ascii") as file:
            status = file.read()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
        unpacker.down.close()
        assert unpacker.process.wait(10) == 0


def test_memory_stays_small_for_small_windows():
    data = tar(ROOT, *(inside(b"f%d" % at, data=os.urandom(1 << 20)) for at in range(24)))
    archive = zstd(data, "-3")
    with Unpacker() as unpacker:
        assert unpacker.run(archive, [WANT]).complete
        with open(f"/proc/{unpacker.process.pid}/status", encoding="ascii") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    assert peak < 20 * 1024, f"{peak} KiB"


def test_a_broken_protocol_ends_it():
    for frame in (b"\1\xff\0\0\0\0\0\0", b"\2" * 8, b"\1\1\0\0\xff\xff\xff\xff"):
        with Unpacker() as unpacker:
            unpacker.down.write(frame)
            assert unpacker.process.wait(10) == 14
