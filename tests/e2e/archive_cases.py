"""
Archives with the verdict that each must get, for the tests of the unpacker and for the targets that run all of them:
sound ones (SOUND, PACKINGS), ones that the policy or the tar reader must refuse and by which words (HOSTILE), what is no
sound zstd (PACKED), and small ones to cut and flip (SMALL_PACKINGS).
"""
import hashlib
import io
import os
import tarfile

from tar_maker import (BLOCK, CHAR, DIRECTORY, END, FIFO, HARDLINK, REGULAR, SYMLINK, Entry, fixed, frames, gnu, header,
                       long_field, padded, pax, posix, raw_frame, skippable, star, tar, ustar, v7, zstd)
from unpacker_driver import INTEGRITY, MARIADB, POSTGRES, VOLUME, unpack

PG_DUMP = b"--\n-- PostgreSQL database cluster dump\n--\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n"
MARIA_DUMP = b"-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB\n\n-- Dump completed on 2026-01-01  0:00:00\n"
ROOT = Entry(b"app/volumes/data", DIRECTORY, mode=0o755)
WANT = (7, VOLUME, "app", "data")


def inside(name, *arguments, **fields):
    return Entry(b"app/volumes/data/" + name, *arguments, **fields)


PLAIN = [Entry(b"app", DIRECTORY, mode=0o755), Entry(b"app/volumes", DIRECTORY, mode=0o755), ROOT,
         inside(b"file", data=b"hello\n"), inside(b"empty"), inside(b"sub", DIRECTORY, mode=0o700),
         inside(b"sub/tool", data=b"#!/bin/sh\n" * 300, mode=0o755), inside(b"sub/link", SYMLINK, link=b"../file"),
         inside(b"hard", HARDLINK, link=b"app/volumes/data/file")]
LONG = b"n" * 200
DEEP = b"/".join([b"d" * 60] * 12)
DEEP_FOLDERS = [inside(DEEP[: 61 * level + 60], DIRECTORY, mode=0o755) for level in range(12)]
ODD_NAMES = [b"new\nline", b"-rf", b" ", b"tab\there", b"quote'\"", b"back\\slash", b"a%20b", b"=", b"a=b", b"..name",
             b"...", b".hidden", b"*", b"$(touch x)", b"\x01\x02", b"x" * 255, b"trailing space "]
UTF8_NAMES = ["é".encode(), b"e\xcc\x81", "日本".encode(), "🙂".encode(), "İ".encode(), b"\xe2\x84\xaa", b"A\xcc\x8a"]
BAD_UTF8 = [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"a\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf"]


def one_volume(*entries):
    return [ROOT, *entries]


def named(names, make_type=REGULAR):
    return one_volume(*(inside(name, make_type, data=b"of " + name[:20]) for name in names))


SOUND = {
    # formats
    **{f"format-{make.__name__}": (PLAIN, make, {}) for make in (v7, ustar, star, gnu, posix)},
    "format-mixed": (PLAIN, [v7, ustar, gnu, posix, star], {}),
    # names
    "names-odd-gnu": (named(ODD_NAMES), gnu, {}),
    "names-odd-pax": (named(ODD_NAMES), posix, {}),
    "names-utf8-gnu": (named(UTF8_NAMES), gnu, {}),
    "names-utf8-pax": (named(UTF8_NAMES), posix, {}),
    "names-utf8-ustar": (named(UTF8_NAMES), ustar, {}),
    "names-bad-utf8-gnu": (named(BAD_UTF8), gnu, {}),
    "names-bad-utf8-pax": (named(BAD_UTF8), posix, {}),
    "names-composed-and-not": (named([b"\xc3\xa9", b"e\xcc\x81"]), posix, {}),
    "names-long-gnu": (named([LONG]), gnu, {}),
    "names-long-pax": (named([LONG]), posix, {}),
    "names-prefix-ustar": (one_volume(inside(b"p" * 90, DIRECTORY), inside(b"p" * 90 + b"/" + b"f" * 90, data=b"x")),
                           ustar, {}),
    "names-prefix-star": (one_volume(inside(b"p" * 60, DIRECTORY), inside(b"p" * 60 + b"/" + b"f" * 90, data=b"x")),
                          star, {}),
    "names-deep-gnu": (one_volume(*DEEP_FOLDERS, inside(DEEP + b"/f", data=b"x")), gnu, {}),
    "names-deep-pax": (one_volume(*DEEP_FOLDERS, inside(DEEP + b"/f", data=b"x")), posix, {}),
    "names-without-folders": (one_volume(inside(b"a/b/c", data=b"x")), gnu, {}),
    "names-like-magic": (named([b"\x1f\x8b\x08", b"BZh9", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"]), gnu, {}),
    "names-every-byte": (named([bytes([byte, 0x61]) for byte in range(1, 256) if byte != 0x2F]), gnu, {}),
    "names-restore-below": (one_volume(inside(b"sub", DIRECTORY), inside(b"sub/.restore-x", data=b"x")), gnu, {}),
    # links
    "links-symlinks": (one_volume(*(inside(b"l%d" % at, SYMLINK, link=link) for at, link in enumerate(
        [b"/etc/passwd", b"../../..", b"nowhere", b"new\nline", "é".encode(), b"\xff", b"t" * 300, b"./a//b/"]))),
        gnu, {}),
    "links-symlinks-pax": (one_volume(*(inside(b"l%d" % at, SYMLINK, link=link) for at, link in enumerate(
        [b"/etc/passwd", "é".encode(), b"e\xcc\x81", b"\xff", b"t" * 300]))), posix, {}),
    "links-hard-long": (one_volume(inside(LONG, data=b"x"), inside(b"b", HARDLINK, link=b"app/volumes/data/" + LONG)),
                        gnu, {}),
    "links-hard-pax": (one_volume(inside("é".encode(), data=b"x"),
                                  inside(b"b", HARDLINK, link="app/volumes/data/é".encode())), posix, {}),
    "links-hard-to-symlink": (one_volume(inside(b"s", SYMLINK, link=b"/x"),
                                         inside(b"b", HARDLINK, link=b"app/volumes/data/s")), gnu, {}),
    "links-hard-chain": (one_volume(inside(b"a", data=b"x"), inside(b"b", HARDLINK, link=b"app/volumes/data/a"),
                                    inside(b"c", HARDLINK, link=b"app/volumes/data/b")), gnu, {}),
    # owners, modes, times, kinds
    "owners-large": (one_volume(inside(b"a", uid=2**32 - 2, gid=2**31, data=b"x"), inside(b"b", uid=1000, gid=33)),
                     gnu, {}),
    "owners-large-pax": (one_volume(inside(b"a", uid=2**32 - 2, gid=2**31, data=b"x")), posix, {}),
    "modes": (one_volume(*(inside(b"m%o" % mode, mode=mode) for mode in (0, 0o777, 0o4755, 0o2755, 0o1777, 0o7777)),
                         inside(b"d", DIRECTORY, mode=0o3770)), gnu, {}),
    "times-nanoseconds": (one_volume(*(inside(b"t%d" % at, mtime=time) for at, time in enumerate(
        ["0", "1", "1700000000.123456789", "1.000000001", "1.999999999", "4102444800", "68719476736.5"]))), posix, {}),
    "times-before-1970": (one_volume(inside(b"t", mtime="-86400")), posix, {}),
    "fifo": (one_volume(inside(b"pipe", FIFO)), gnu, {}),
    "devices-wanted": (one_volume(inside(b"null", CHAR, device=(1, 3)), inside(b"disk", BLOCK, device=(8, 1))), gnu,
                       {"restore_devices": 1}),
    "xattrs": (one_volume(inside(b"a", data=b"x", xattrs={b"user.one": b"1", b"user.empty": b"",
                                                          b"user.binary": bytes(range(1, 9)),
                                                          b"system.posix_acl_access": b"\x02\0\0\0"})), posix, {}),
    "many-files": (one_volume(*(inside(b"f%05d" % at, data=b"%d" % at) for at in range(8000))), gnu, {}),
    "larger-than-buffers": (one_volume(*(inside(b"f%d" % size, data=os.urandom(size)) for size in
                                         (1, 511, 512, 513, 98303, 98304, 262079, 262080, 262081, 3_000_001))), gnu, {}),
}


def build(entries, make):
    if isinstance(make, list):
        return b"".join(make[at % len(make)](entry) for at, entry in enumerate(entries)) + END
    return tar(*entries, make=make)

BASE = tar(*PLAIN)
PACKINGS = {
    "default": lambda: zstd(BASE),
    "threads": lambda: zstd(BASE, "-T0"),
    "no-checksum": lambda: zstd(BASE, "--no-check"),
    "content-size": lambda: zstd(BASE, f"--stream-size={len(BASE)}"),
    "fastest": lambda: zstd(BASE, "--fast=10"),
    "best": lambda: zstd(BASE, "--ultra", "-22"),
    "window-27": lambda: zstd(BASE, "--long=27"),
    "window-header-27": lambda: raw_frame(BASE, 27),
    "window-smallest": lambda: raw_frame(BASE, 10),
    "two-frames": lambda: frames(BASE, 1000),
    "frame-each-block": lambda: frames(BASE, *[512] * (len(BASE) // 512 - 1)),
    "frames-of-odd-sizes": lambda: frames(BASE, 1, 2, 3, 511, 700),
    "frames-without-checksum": lambda: frames(BASE, 777, 1234, options=("--no-check",)),
    "empty-frames": lambda: zstd(b"") + zstd(BASE) + zstd(b""),
    "skippable-first": lambda: skippable() + zstd(BASE),
    "skippable-last": lambda: zstd(BASE) + skippable(b""),
    "skippable-between": lambda: skippable() + zstd(BASE[:1024]) + skippable(os.urandom(700_000), 15) + zstd(BASE[1024:]),
    "windows-rising": lambda: b"".join(raw_frame(BASE[at : at + 512], 10 + at // 512) for at in range(0, 8192, 512))
    + zstd(BASE[8192:]),
    "record-padding": lambda: zstd(BASE + bytes(-len(BASE) % 10240)),
    "much-padding": lambda: zstd(BASE + bytes(1_000_000 // 512 * 512)),
    "raw-blocks": lambda: raw_frame(BASE),
}


def with_root(*entries, make=gnu):
    return lambda: tar(ROOT, *entries, make=make)


def sparse_1_0(name, realsize, body):
    return pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", name),
                (b"GNU.sparse.realsize", realsize)]) + header(b"x", size=len(body)) + padded(body)


IN = b"app/volumes/data/"
HOSTILE = {
    # names
    "absolute": (with_root(Entry(b"/etc/passwd", data=b"x")), "absolute"),
    "absolute-in-pax": (with_root(pax([(b"path", b"/etc/passwd")]), header(b"ok")), "absolute"),
    "absolute-double-slash": (with_root(Entry(b"//etc/passwd")), "absolute"),
    "dotdot": (with_root(inside(b"../../../etc/passwd")), "'..'"),
    "dotdot-first": (with_root(Entry(b"../x")), "'..'"),
    "dotdot-last": (with_root(inside(b"a/..")), "'..'"),
    "dotdot-alone": (with_root(Entry(b"..")), "'..'"),
    "dotdot-behind-dot": (with_root(Entry(b"./../x")), "'..'"),
    "dotdot-folder": (with_root(inside(b"..", DIRECTORY)), "'..'"),
    "dotdot-as-service": (with_root(Entry(b"../volumes/data/x")), "'..'"),
    "dotdot-as-name": (lambda: tar(Entry(b"app/volumes/../x")), "'..'"),
    "dotdot-in-long-name": (with_root(long_field(b"L", IN + b"../" * 60 + b"x"), header(b"x", magic=b"ustar  \0")), "'..'"),
    "dotdot-in-prefix": (with_root(header(b"x", prefix=b"app/volumes/data/..")), "'..'"),
    "dot-inside": (with_root(inside(b"./x")), "'.'"),
    "dot-last": (with_root(inside(b"x/.")), "'.'"),
    "empty-component": (with_root(inside(b"a//b")), "empty component"),
    "two-slashes-at-the-end": (with_root(Entry(IN + b"a/", DIRECTORY)), "empty component"),
    "slash-behind-dot": (with_root(Entry(b".//app")), "empty component"),
    "no-name": (with_root(header(b"")), "has no name"),
    "component-of-256": (with_root(inside(b"x" * 256)), "255"),
    "component-of-256-folder": (with_root(inside(b"x" * 256, DIRECTORY)), "255"),
    "service-of-256": (with_root(Entry(b"s" * 256 + b"/volumes/data/x")), "255"),
    "path-of-4096": (with_root(inside(b"/".join([b"x" * 200] * 21))), "4095"),
    "path-of-1-mib": (with_root(long_field(b"L", b"x/" * 500_000), header(b"x", magic=b"ustar  \0")), "4095"),
    "path-above-1-mib": (with_root(long_field(b"L", b"x" * 1_100_000), header(b"x", magic=b"ustar  \0")), "Special header too large"),
    "too-deep": (with_root(inside(b"/".join([b"d"] * 513))), "512"),
    "reserved-file": (with_root(inside(b".restore-abc", data=b"x")), ".restore-"),
    "reserved-folder": (with_root(inside(b".restore-", DIRECTORY)), ".restore-"),
    "reserved-below": (with_root(inside(b".restore-x/new/f", data=b"x")), ".restore-"),
    "reserved-symlink": (with_root(inside(b".restore-x", SYMLINK, link=b"/")), ".restore-"),
    # places
    "file-at-the-top": (with_root(Entry(b"README", data=b"x")), "where a directory belongs"),
    "symlink-at-the-top": (with_root(Entry(b"evil", SYMLINK, link=b"/")), "where a directory belongs"),
    "service-as-file-later": (with_root(Entry(b"app", data=b"x")), "where a directory belongs"),
    "unknown-folder": (with_root(Entry(b"app/secrets", DIRECTORY)), "where a backup has nothing"),
    "unknown-file": (with_root(Entry(b"app/notes", data=b"x")), "where a backup has nothing"),
    "volumes-as-file": (lambda: tar(Entry(b"app/volumes", data=b"x")), "where a directory belongs"),
    "volumes-as-symlink": (lambda: tar(Entry(b"app/volumes", SYMLINK, link=b"/")), "where a directory belongs"),
    "volume-as-symlink": (lambda: tar(Entry(b"app/volumes/data", SYMLINK, link=b"/etc")), "no directory"),
    "volume-as-file": (lambda: tar(Entry(b"app/volumes/data", data=b"x")), "no directory"),
    "volume-as-fifo": (lambda: tar(Entry(b"app/volumes/data", FIFO)), "no directory"),
    "volume-as-hard-link": (lambda: tar(Entry(b"app/volumes/two/f", data=b"x"), Entry(
        b"app/volumes/data", HARDLINK, link=b"app/volumes/two/f")), "no directory"),
    "volume-becomes-symlink": (with_root(Entry(b"app/volumes/data", SYMLINK, link=b"/etc")), "no directory"),
    "dump-as-symlink": (lambda: tar(Entry(b"app/database/pg_dumpall.sql", SYMLINK, link=b"/etc/passwd")), "regular file"),
    "dump-as-folder": (lambda: tar(Entry(b"app/database/pg_dumpall.sql", DIRECTORY)), "regular file"),
    "dump-as-hard-link": (with_root(inside(b"f", data=b"x"), Entry(
        b"app/database/pg_dumpall.sql", HARDLINK, link=IN + b"f")), "regular file"),
    "dump-below-dump": (with_root(Entry(b"app/database/pg_dumpall.sql/x")), "where a backup has nothing"),
    "errors-as-symlink": (lambda: tar(Entry(b"app/database/pg_dumpall.errors", SYMLINK, link=b"/")), "regular file"),
    "other-file-beside-dump": (lambda: tar(Entry(b"app/database/evil.sql", data=b"x")), "where a backup has nothing"),
    "mariadb-name-in-postgres-folder": (lambda: tar(Entry(b"app/database/all_databases.sql")), "where a backup has nothing"),
    "dump-twice": (lambda: tar(Entry(b"app/database/pg_dumpall.sql", data=PG_DUMP),
                               Entry(b"app/database/pg_dumpall.sql", data=PG_DUMP)), "second time"),
    "dump-without-trailer": (lambda: tar(Entry(b"app/database/pg_dumpall.sql", data=PG_DUMP[:60])), "dump 'app/database/pg_dumpall.sql'"),
    "dump-empty": (lambda: tar(Entry(b"app/database/pg_dumpall.sql")), "dump 'app/database/pg_dumpall.sql'"),
    "mariadb-dump-without-trailer": (lambda: tar(Entry(b"db/mariadb_dump/all_databases.sql", data=b"SELECT 1;\n")), "dump 'db/mariadb_dump/all_databases.sql'"),
    "dump-with-shell": (lambda: tar(Entry(b"app/database/pg_dumpall.sql", data=b"\\! id\n" + PG_DUMP)), "dump 'app/database/pg_dumpall.sql'"),
    # repetition and replacement
    "file-twice": (with_root(inside(b"f", data=b"1"), inside(b"f", data=b"2")), "second time"),
    "file-twice-by-dot": (with_root(inside(b"f", data=b"1"), Entry(b"./" + IN + b"f", data=b"2")), "second time"),
    "symlink-then-file": (with_root(inside(b"f", SYMLINK, link=b"/etc/passwd"), inside(b"f", data=b"2")), "second time"),
    "file-then-symlink": (with_root(inside(b"f", data=b"1"), inside(b"f", SYMLINK, link=b"/etc/passwd")), "second time"),
    "symlink-then-folder": (with_root(inside(b"f", SYMLINK, link=b"/etc"), inside(b"f", DIRECTORY)), "second time"),
    "folder-then-symlink": (with_root(inside(b"f", DIRECTORY), inside(b"f", SYMLINK, link=b"/etc")), "second time"),
    "implied-folder-then-symlink": (with_root(inside(b"f/x", data=b"1"), inside(b"f", SYMLINK, link=b"/etc")), "second time"),
    "folder-then-file": (with_root(inside(b"f", DIRECTORY), inside(b"f", data=b"x")), "second time"),
    "device-then-file": (with_root(inside(b"f", CHAR), inside(b"f", data=b"x")), "second time"),
    "below-symlink": (with_root(inside(b"s", SYMLINK, link=b"/etc"), inside(b"s/passwd", data=b"x")), "no directory"),
    "below-symlink-deep": (with_root(inside(b"s", SYMLINK, link=b"."), inside(b"s/a/b/c", data=b"x")), "no directory"),
    "below-file": (with_root(inside(b"f", data=b"x"), inside(b"f/g", data=b"x")), "no directory"),
    "below-fifo": (with_root(inside(b"f", FIFO), inside(b"f/g", data=b"x")), "no directory"),
    "below-device": (with_root(inside(b"f", CHAR), inside(b"f/g", data=b"x")), "no directory"),
    "below-hard-link": (with_root(inside(b"f", data=b"x"), inside(b"h", HARDLINK, link=IN + b"f"), inside(b"h/g")), "no directory"),
    "service-twice-as-symlink": (with_root(Entry(b"app", SYMLINK, link=b"/")), "where a directory belongs"),
    # hard links
    "hard-link-absolute": (with_root(inside(b"h", HARDLINK, link=b"/etc/passwd")), "hard link"),
    "hard-link-dotdot": (with_root(inside(b"h", HARDLINK, link=IN + b"../../../../etc/passwd")), "hard link"),
    "hard-link-to-nothing": (with_root(inside(b"h", HARDLINK, link=IN + b"none")), "no earlier file"),
    "hard-link-to-later": (with_root(inside(b"h", HARDLINK, link=IN + b"f"), inside(b"f", data=b"x")), "no earlier file"),
    "hard-link-to-itself": (with_root(inside(b"h", HARDLINK, link=IN + b"h")), "no earlier file"),
    "hard-link-to-folder": (with_root(inside(b"d", DIRECTORY), inside(b"h", HARDLINK, link=IN + b"d")), "no earlier file"),
    "hard-link-to-root": (with_root(inside(b"h", HARDLINK, link=b"app/volumes/data")), "out of its volume"),
    "hard-link-to-other-volume": (with_root(Entry(b"app/volumes/two/f", data=b"x"), inside(
        b"h", HARDLINK, link=b"app/volumes/two/f")), "out of its volume"),
    "hard-link-to-other-service": (with_root(Entry(b"web/volumes/data/f", data=b"x"), inside(
        b"h", HARDLINK, link=b"web/volumes/data/f")), "out of its volume"),
    "hard-link-to-dump": (with_root(Entry(b"app/database/pg_dumpall.sql", data=PG_DUMP), inside(
        b"h", HARDLINK, link=b"app/database/pg_dumpall.sql")), "out of its volume"),
    "hard-link-relative": (with_root(inside(b"f", data=b"x"), inside(b"h", HARDLINK, link=b"f")), "out of its volume"),
    "hard-link-by-pax": (with_root(pax([(b"linkpath", b"/etc/shadow")]), header(IN + b"h", HARDLINK, link=IN + b"f")), "hard link"),
    # kinds, owners, links
    "symlink-without-target": (with_root(inside(b"s", SYMLINK)), "without a target"),
    "symlink-target-of-5000": (with_root(inside(b"s", SYMLINK, link=b"t" * 5000)), "4095"),
    "owner-minus-one": (with_root(inside(b"f", uid=2**32 - 1)), "no user or group id"),
    "owner-negative": (with_root(inside(b"f", uid=-5)), "no user or group id"),
    "group-too-large": (with_root(inside(b"f", gid=2**40)), "no user or group id"),
    "multi-volume": (with_root(header(IN + b"f", b"M", 0, magic=b"ustar  \0")), "unknown type"),
    # sparse
    "sparse-1-tb": (with_root(sparse_1_0(IN + b"s", b"%d" % (1 << 40), padded(b"1\n%d\n0\n" % (1 << 40)))), "limit on bytes"),
    "sparse-out-of-order": (with_root(sparse_1_0(IN + b"s", b"4096", padded(b"2\n1024\n512\n0\n512\n") + bytes(1024))), "sparse"),
    "sparse-overlapping": (with_root(sparse_1_0(IN + b"s", b"4096", padded(b"2\n0\n512\n256\n512\n") + bytes(1024))), "sparse"),
    "sparse-beyond-its-size": (with_root(sparse_1_0(IN + b"s", b"512", padded(b"1\n0\n1024\n") + bytes(1024))), "sparse"),
    "sparse-data-missing": (with_root(sparse_1_0(IN + b"s", b"4096", padded(b"1\n0\n4096\n") + bytes(512))), "fewer bytes"),
    "sparse-map-negative": (with_root(sparse_1_0(IN + b"s", b"512", b"1\n-1\n5\n")), "tar, near byte"),
    "sparse-map-of-100000": (with_root(sparse_1_0(IN + b"s", b"%d" % (1 << 30), padded(b"100000\n" + b"".join(
        b"%d\n1\n" % (at * 2) for at in range(100_000))) + bytes(100_000))), "65536 blocks"),
    "sparse-map-of-millions": (with_root(sparse_1_0(IN + b"s", b"%d" % (1 << 30), b"3000000\n" + b"".join(
        b"%d\n1\n" % (at * 2) for at in range(3_000_000)))), "memory"),
    "pax-megabytes-many-times": (with_root(*[pax([(b"SCHILY.xattr.u%d" % at, b"") for at in range(38_000)])] * 31,
                                                 header(IN + b"f")), "malformed"),
    "sparse-minor-unknown": (with_root(pax([(b"GNU.sparse.major", b"9"), (b"GNU.sparse.minor", b"9")]), header(IN + b"s")), "sparse file format"),
    "sparse-folder": (with_root(pax([(b"GNU.sparse.realsize", b"5")]), header(IN + b"d", DIRECTORY)), "sparse"),
    "realsize-larger-than-data": (with_root(pax([(b"SCHILY.realsize", b"5000")]), header(IN + b"s", size=3), padded(b"abc")), "fewer bytes"),
    # headers
    "checksum-wrong": (with_root(gnu(inside(b"f"))[:148] + b"0000000\0" + gnu(inside(b"f"))[156:]), "Damaged tar"),
    "size-negative": (with_root(fixed(gnu(inside(b"f")), at_124=b"\xff" * 12)), "negative size"),
    "size-overflow": (with_root(fixed(gnu(inside(b"f")), at_124=b"\x80" + b"\x7f" * 11)), "tar, near byte"),
    "pax-size-negative": (with_root(pax([(b"size", b"-1")]), header(IN + b"f")), "tar, near byte"),
    "pax-malformed": (with_root(header(b"x", b"x", 10) + padded(b"no record\n"), header(IN + b"f")), "malformed"),
    "pax-record-too-long": (with_root(header(b"x", b"x", 10) + padded(b"99999 a=b\n"), header(IN + b"f")), "malformed"),
    "pax-without-entry": (with_root(pax([(b"path", IN + b"f")])), "tar"),
    "pax-40-in-a-row": (with_root(*[pax([(b"comment", b"x")])] * 40, header(IN + b"f")), "tar, near"),
    "pax-too-large": (with_root(header(b"x", b"x", 2_000_000)), "too large"),
    "long-names-40-in-a-row": (with_root(*[long_field(b"L", IN + b"f")] * 40, header(IN + b"f")), "Too many special headers"),
    # the end
    "no-end": (lambda: tar(*PLAIN, end=b""), "two zero blocks"),
    "one-zero-block": (lambda: tar(*PLAIN, end=bytes(512)), "two zero blocks"),
    "half-a-block": (lambda: tar(*PLAIN, end=bytes(1024 + 100)), "multiple of 512"),
    "second-archive": (lambda: BASE + tar(inside(b"evil", data=b"x")), "follows the end"),
    "second-archive-after-padding": (lambda: BASE + bytes(10240) + tar(inside(b"evil")), "follows the end"),
    "one-byte-after-the-end": (lambda: BASE + bytes(700_000) + b"x" + bytes(511), "follows the end"),
    "entry-after-one-zero-block": (lambda: tar(*PLAIN, end=bytes(512)) + tar(inside(b"evil")), "follows the end"),
    "cut-in-a-header": (lambda: BASE[:700], "Truncated tar"),
    "cut-in-contents": (lambda: tar(ROOT, inside(b"f", data=b"x" * 5000), end=b"")[:2000], "Truncated tar"),
    "cut-in-contents-nobody-wants": (lambda: tar(Entry(b"web/volumes/x/f", data=b"x" * 5000), end=b"")[:2000], "Truncated"),
    "no-tar-inside": (lambda: os.urandom(5000), "no tar"),
    "nothing-inside": (lambda: b"", "tar"),
    "text-inside": (lambda: b"hello" * 1000, "no tar"),
    "short-text-inside": (lambda: b"hello", "no tar"),
}

PACKED = {
    "empty": (lambda: b"", "it is empty"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(600), "gzip"),
    "xz": (lambda: b"\xfd7zXZ\0" + bytes(600), "xz"),
    "bzip2": (lambda: b"BZh91AY" + bytes(600), "bzip2"),
    "zip": (lambda: b"PK\x03\x04" + bytes(600), "zip"),
    "lz4": (lambda: b"\x04\x22\x4d\x18" + bytes(600), "lz4"),
    "age": (lambda: b"age-encryption.org/v1\n-> X25519" + bytes(600), "age"),
    "gpg": (lambda: b"\x85\x01\x0c\x03" + bytes(600), "gpg"),
    "plain-tar": (lambda: BASE, "plain tar"),
    "html": (lambda: b"\n<!DOCTYPE html><html>no", "HTML"),
    "xml-error": (lambda: b'<?xml version="1.0"?><Error><Code>NoSuchKey', "XML"),
    "aws-chunked": (lambda: b"1f4\r\n" + zstd(BASE), "aws-chunked"),
    "aws-chunked-signed": (lambda: b"10000;chunk-signature=" + b"0" * 64 + b"\r\n" + zstd(BASE), "aws-chunked"),
    "three-bytes": (lambda: b"\x28\xb5\x2f", "no zstd archive"),
    "noise": (lambda: b"\0noise" + bytes(600), "nothing known"),
    "surplus": (lambda: zstd(BASE) + b"x", "no zstd frame"),
    "surplus-zeros": (lambda: zstd(BASE) + bytes(4096), "no zstd frame"),
    "window-too-large": (lambda: raw_frame(BASE, 28), "window of 268435456 bytes"),
    "window-of-terabytes": (lambda: raw_frame(BASE, 41), "too much memory"),
    "dictionary": (lambda: b"\x28\xb5\x2f\xfd\x01\x58\x07" + bytes(100), "dictionary"),
    "reserved-bit": (lambda: b"\x28\xb5\x2f\xfd\x08\x58" + bytes(100), "zstd frame"),
    "reserved-block": (lambda: b"\x28\xb5\x2f\xfd\x00\x58\x07\x00\x00" + bytes(100), "zstd frame"),
    "legacy-frame": (lambda: b"\x27\xb5\x2f\xfd" + bytes(100), "nothing known"),
    "skippable-cut": (lambda: zstd(BASE) + skippable(bytes(500))[:-1], "not complete"),
    "skippable-alone": (lambda: skippable(), "no zstd"),
    "bomb": (lambda: zstd(bytes(80 << 20)), "unpacks to more"),
}

SMALL = tar(ROOT, inside(b"f", data=b"contents"), Entry(b"app/database/pg_dumpall.sql", data=PG_DUMP))
SMALL_PACKINGS = {
    "one-frame": lambda: zstd(SMALL),
    "no-checksum": lambda: zstd(SMALL, "--no-check"),
    "several-frames": lambda: frames(SMALL, 700, 1000, 1536),
}
SMALL_WANTS = [WANT, (8, POSTGRES, "app")]


# What comes out, read back

KINDS = {tarfile.REGTYPE: REGULAR, tarfile.LNKTYPE: HARDLINK, tarfile.SYMTYPE: SYMLINK, tarfile.CHRTYPE: CHAR,
         tarfile.BLKTYPE: BLOCK, tarfile.DIRTYPE: DIRECTORY, tarfile.FIFOTYPE: FIFO}


def exact_mtime(member):
    whole, _, part = member.pax_headers.get("mtime", str(int(member.mtime))).partition(".")
    return whole, part.rstrip("0")


def read_back(clean):
    """{name: (type, data or link, mode, uid, gid, mtime, xattrs)} in the archive's order."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(bytes(clean)), errors="surrogateescape", encoding="utf-8") as file:
        for member in file:
            name = os.fsencode(member.name)
            assert name not in found
            assert member.uname == "" and member.gname == ""
            kind = KINDS[member.type]
            content = file.extractfile(member).read() if kind == REGULAR else os.fsencode(member.linkname)
            xattrs = {key.encode("utf-8", "surrogateescape")[13:]: value.encode("utf-8", "surrogateescape")
                      for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")}
            found[name] = (kind, content, member.mode, member.uid, member.gid, exact_mtime(member), xattrs)
    return found


def expected(entries, root=b"app/volumes/data"):
    found = {}
    for entry in entries:
        if not (entry.name + b"/").startswith(root + b"/"):
            continue
        content = entry.data if entry.type == REGULAR else entry.link
        if entry.type == HARDLINK:
            content = content[len(root) + 1 :]
        whole, _, part = entry.mtime.partition(".")
        found[entry.name[len(root) + 1 :] or b"."] = (entry.type, content, entry.mode, entry.uid, entry.gid,
                                                      (whole, part.rstrip("0")), entry.xattrs)
    return found


def check_totals(result, stream, entries):
    total = next(total for total in result.all("section_total") if total["wanted"] and total["stream"] == stream)
    assert total["entries"] == len([name for name in entries if name != b"."])
    assert total["bytes"] == sum(len(entry[1]) for entry in entries.values() if entry[0] == REGULAR)


def assert_same(archive, entries, **limits):
    result = unpack(archive, [WANT], hashlib.sha256(archive).hexdigest(), **limits)
    assert result.unpacked and result.complete and result.ended == {7}, (result.text, result.log)
    found, wanted = read_back(result.streams[7]), expected(entries)
    assert list(found) == list(wanted)
    assert found == wanted
    check_totals(result, 7, wanted)
    return result


# The verdict on each, asserted; returned is what the unpacker made of it


def assert_sound(case):
    entries, make, limits = SOUND[case]
    return assert_same(zstd(build(entries, make)), entries, **limits)


def assert_packing(case):
    return assert_same(PACKINGS[case](), PLAIN)


def assert_hostile(case):
    make, words = HOSTILE[case]
    result = unpack(zstd(make()), [WANT, (8, POSTGRES, "app"), (9, MARIADB, "db")], max_bytes=1 << 35)
    assert result.failed, "it was accepted"
    assert not result.complete and result.failed["code"] == INTEGRITY, result.text
    assert result.text.startswith("Archive integrity check failed: ") and words in result.text, result.text
    assert "\n" not in result.text and result.status == 0, (result.text, result.log)
    return result


def assert_packed(case):
    make, words = PACKED[case]
    result = unpack(make(), [WANT], max_bytes=64 << 20)
    assert result.failed and not result.complete and result.failed["code"] == INTEGRITY, result.text
    assert words in result.text and result.status == 0, (result.text, result.log)
    return result
