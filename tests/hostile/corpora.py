"""
What libarchive and zstd test themselves with, made into objects for the unpacker. Each object is a Case: bytes, and what
its verdict must be: "any" (no crash, no hang, no violation, and what is accepted is clean), "sound" or "refused".

Of each of libarchive's files: itself as the object; packed with zstd; what is inside its own compression, packed; and
where that is a tar, its entries moved into a volume of ours, so that the policy lets them pass and the tar reader and
writer see all of them, with a few of its bytes changed as well.
"""
import bz2
import collections
import lzma
import pathlib
import random
import subprocess
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from archive_cases import BASE, IN, inside, with_root  # noqa: E402
from tar_maker import header, padded, raw_frame, record, zstd  # noqa: E402

DIRECTORY = ROOT / "build" / "corpora"
CHANGED = 6  # variants with changed bytes of each tar
INNER_MAX = 64 << 20
Case = collections.namedtuple("Case", "name data verdict")


def fetch(directory=DIRECTORY):
    subprocess.run([str(ROOT / "tests/hostile/corpora.sh"), str(directory)], check=True)
    return pathlib.Path(directory)


def uudecoded(path):
    """The first file of a uuencoded text; some of libarchive's have trailing blanks cut off."""
    lines = iter(path.read_bytes().split(b"\n"))
    for line in lines:
        if line.startswith(b"begin "):
            break
    out = bytearray()
    for line in lines:
        if line.rstrip() == b"end":
            break
        size = (line[0] - 32) & 63 if line else 0
        groups = line[1:].rstrip(b"\r").ljust((size + 2) // 3 * 4, b" ")
        bits = bytearray()
        for at in range(0, (size + 2) // 3 * 4, 4):
            a, b, c, d = ((byte - 32) & 63 for byte in groups[at : at + 4])
            bits += bytes([a << 2 | b >> 4, (b << 4 | c >> 2) & 255, (c << 6 | d) & 255])
        out += bits[:size]
    return bytes(out)


def inner(data):
    """What gzip, bzip2 or xz hold, or nothing."""
    for maker in (lambda: zlib.decompressobj(31), bz2.BZ2Decompressor, lzma.LZMADecompressor):
        try:
            found = maker().decompress(data, INNER_MAX)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            continue
        if found:
            return found
    return None


def octal(field):
    if field[:1] and field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and all(48 <= digit < 56 for digit in digits) else 0


def is_header(block):
    return len(block) == 512 and any(block) and octal(block[148:156]) == sum(block[:148]) + 256 + sum(block[156:])


SPECIAL = (b"g", b"X", b"L", b"K", b"N", b"V")  # headers that say something of the entry behind them, and no entry
WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


def moved_records(kind, number):
    """Where entry `number` goes; hard links go to the first one, so that they lead somewhere."""
    records = [(b"path", IN + b"e%d" % number)]
    return records + [(b"linkpath", IN + b"e1")] if kind == b"1" else records


def relocated(tar):
    """The same tar with each entry of its own in a volume of ours; None where it is no tar."""
    out, at, number, own = [], 0, 0, b""
    while is_header(block := tar[at : at + 512]) and number < 5000:
        kind, size = block[156:157], octal(block[124:136])
        length = 512 + (0 if kind in WITHOUT_DATA else (size + 511) // 512 * 512)
        if length > len(tar) - at:
            break
        if kind == b"x":  # ours follow in the same header: of two in a row libarchive takes one
            own += tar[at + 512 : at + 512 + size]
        elif kind in SPECIAL:
            out.append(tar[at : at + length])
        else:
            number += 1
            body = own + b"".join(record(*pair) for pair in moved_records(kind, number))
            out.append(header(b"PaxHeaders/x", b"x", len(body)) + padded(body) + tar[at : at + length])
            own = b""
        at += length
    return b"".join(out) + tar[at:] if number else None


def changed(data, seed):
    """A few bytes changed in the first 64 KiB, always the same for the same file and seed."""
    random_ = random.Random(seed)
    out = bytearray(data)
    for _ in range(random_.choice((1, 2, 8))):
        at = random_.randrange(min(len(out), 65536))
        out[at] = random_.choice((0, 0xFF, 0x80, random_.randrange(256), out[at] ^ 1 << random_.randrange(8)))
    return bytes(out)


def of_libarchive(path):
    data, name = uudecoded(path), path.name.removesuffix(".uu")
    yield Case(f"{name}: itself", data, "any")
    yield Case(f"{name}: packed", zstd(data), "any")
    opened = inner(data)
    if opened:
        yield Case(f"{name}: inside", zstd(opened), "any")
    tar = opened or data
    moved = relocated(tar)
    if moved is None:
        return
    yield Case(f"{name}: moved", zstd(moved), "any")
    for seed in range(CHANGED):
        yield Case(f"{name}: changed {seed}", zstd(changed(moved, f"{name} {seed}")), "any")


def libarchive_cases(directory):
    paths = sorted((directory / "libarchive").rglob("*.uu"))
    assert len(paths) > 300, f"only {len(paths)} test archives of libarchive were found"
    for path in paths:
        yield from of_libarchive(path)


LEVELS = (["--fast=50"], ["-1"], ["-3"], ["-9"], ["-15"], ["-19"], ["--ultra", "-22"], ["-3", "--long=27"],
          ["-3", "--no-check"], ["-3", "-T2", "-B64K"])


def golden_frames(directory):
    """A frame that zstd ships unpacks to what zstd says: nothing, or zeros, which are a tar's end. Cut, it is refused."""
    for path in sorted((directory / "zstd/golden-decompression").iterdir()):
        frame = path.read_bytes()
        content = subprocess.run(["zstd", "-dqc"], input=frame, stdout=subprocess.PIPE, check=True).stdout
        empty, zeros = len(content) == 0, not any(content) and len(content) % 512 == 0
        yield Case(f"{path.name}: itself", frame, "sound" if zeros and not empty else "refused")
        yield Case(f"{path.name}: before an archive", frame + zstd(BASE), "sound" if empty else "refused")
        yield Case(f"{path.name}: behind an archive", zstd(BASE) + frame, "sound" if zeros else "refused")
        for cut in range(1, len(frame)):
            yield Case(f"{path.name}: cut at {cut}", zstd(BASE) + frame[:cut], "refused")


def golden_contents(directory):
    for path in sorted((directory / "zstd/golden-compression").iterdir()):
        tar = with_root(inside(b"f", data=path.read_bytes()))()
        for options in LEVELS:
            yield Case(f"{path.name}: {' '.join(options)}", zstd(tar, *options), "sound")
        yield Case(f"{path.name}: raw blocks", raw_frame(tar), "sound")
        for dictionary in sorted((directory / "zstd/golden-dictionaries").iterdir()):
            yield Case(f"{path.name}: with {dictionary.name}", zstd(tar, "-D", str(dictionary)), "refused")
            yield Case(f"{dictionary.name} as contents", zstd(padded(dictionary.read_bytes())), "refused")


def zstd_cases(directory):
    yield from golden_frames(directory)
    yield from golden_contents(directory)
