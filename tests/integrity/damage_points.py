#!/usr/bin/python3
"""
Every cut and every flipped bit of small archives, each through the real restore-unpacker in its sandbox, each in a
process of its own: `make check-integrity`. tests/e2e/test_points.py runs a sample of the same points.

  cut     the object is cut behind N bytes: as an object that is that short, and as a download that broke off
  sha     one bit is flipped, BACKUP_SHA256 is set
  plain   one bit is flipped, BACKUP_SHA256 is not set; packings with zstd's checksum alone

Cuts and `sha` must all be refused. Of `plain` no flip may change what is restored: zstd's checksum covers contents, and
a few bits of its own headers mean nothing (which window, which block type); those that are accepted are counted, and
every stream of them is compared, byte by byte, with what the sound archive gives.
"""
import collections
import hashlib
import os
import pathlib
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from archive_cases import SMALL, SMALL_PACKINGS, SMALL_WANTS  # noqa: E402
from tar_maker import frames, skippable, zstd  # noqa: E402
from unpacker_driver import INTEGRITY, unpack  # noqa: E402

PACKINGS = {**SMALL_PACKINGS,
            "fastest": lambda: zstd(SMALL, "--fast=20"),
            "skippable-between": lambda: zstd(SMALL[:1024]) + skippable(b"skip") + zstd(SMALL[1024:]),
            "frames-no-checksum": lambda: frames(SMALL, 700, 1536, options=("--no-check",))}
CHECKSUMMED = ("one-frame", "several-frames", "fastest")
Point = collections.namedtuple("Point", "kind packing position broken_off", defaults=(False,))
ARCHIVES = {name: make() for name, make in PACKINGS.items()}
_sound = {}


def sound_streams(packing):
    """What the archive gives as it is; the control without which a refusal proves nothing."""
    if packing not in _sound:
        result = unpack(ARCHIVES[packing], SMALL_WANTS, hashlib.sha256(ARCHIVES[packing]).hexdigest())
        assert result.complete and result.unpacked, f"{packing} is refused as it is: {result.text}"
        _sound[packing] = result.streams
    return _sound[packing]


def all_points():
    for packing, archive in ARCHIVES.items():
        for cut in range(len(archive)):
            yield Point("cut", packing, cut)
            yield Point("cut", packing, cut, True)
        for bit in range(len(archive) * 8):
            yield Point("sha", packing, bit)
            if packing in CHECKSUMMED:
                yield Point("plain", packing, bit)


def sample(count, seed):
    points = list(all_points())
    return random.Random(seed).sample(points, count)


def flipped(archive, bit):
    changed = bytearray(archive)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def attempt(point):
    archive = ARCHIVES[point.packing]
    if point.kind == "cut":
        size = len(archive) if point.broken_off else point.position
        return unpack(archive[: point.position], SMALL_WANTS, size=size, close=True)
    digest = hashlib.sha256(archive).hexdigest() if point.kind == "sha" else ""
    return unpack(flipped(archive, point.position), SMALL_WANTS, digest)


def judge(point):
    """"refused", "same" (accepted, and every stream as it was), or what is wrong."""
    sound = sound_streams(point.packing)
    result = attempt(point)
    if result.failed and not result.complete:
        if result.failed["code"] != INTEGRITY:
            return f"refused with exit code {result.failed['code']}: {result.text}"
        return "refused" if result.status == 0 else f"the process ended with {result.status}: {result.log}"
    if point.kind == "plain" and result.complete and result.unpacked and result.streams == sound:
        return "same"
    return "ACCEPTED"


def main():
    started = time.monotonic()
    for packing in PACKINGS:
        sound_streams(packing)
        print(f"{packing}: {len(ARCHIVES[packing])} bytes", flush=True)
    points = list(all_points())
    tally, wrong = collections.Counter(), []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done, (point, verdict) in enumerate(zip(points, pool.map(judge, points, chunksize=20)), 1):
            if verdict not in ("refused", "same"):
                wrong.append((point, verdict))
                print(f"WRONG: {point}: {verdict}", flush=True)
            tally[point.kind, verdict if verdict in ("refused", "same") else "wrong"] += 1
            if done % 2000 == 0:
                print(f"{done} of {len(points)} points, {time.monotonic() - started:.0f} s", flush=True)
    for (kind, verdict), count in sorted(tally.items()):
        print(f"{kind:6} {verdict:8} {count}")
    print(f"{len(points)} points in {time.monotonic() - started:.0f} s")
    print(f"{len(points) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
