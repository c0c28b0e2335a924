"""Makes tar archives byte by byte, sound and hostile ones, and packs them with zstd in different ways."""
import os
import struct
import subprocess
from dataclasses import dataclass, field

REGULAR, HARDLINK, SYMLINK, CHAR, BLOCK, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
END = bytes(1024)


@dataclass
class Entry:
    name: bytes
    type: bytes = REGULAR
    data: bytes = b""
    link: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: str = "1700000000"  # as a pax header has it
    xattrs: dict = field(default_factory=dict)
    device: tuple = (0, 0)
    size: int = -1  # a false one, where it is not that of the data


def padded(data):
    return data + bytes(-len(data) % 512)


def number(value, width):
    """Octal where it fits, else base-256, as GNU tar does."""
    digits = b"%0*o" % (width - 1, value) if value >= 0 else b"x" * width
    if len(digits) < width:
        return digits + b"\0"
    return bytes([0x80 if value >= 0 else 0xFF]) + (value % (1 << 8 * (width - 1))).to_bytes(width - 1, "big")


def header(name, type=REGULAR, size=0, link=b"", mode=0o644, uid=0, gid=0, mtime=0, magic=b"ustar\x0000",
           prefix=b"", device=(0, 0), tail=b""):
    block = name[:100].ljust(100, b"\0") + number(mode, 8) + number(uid, 8) + number(gid, 8) + number(size, 12)
    block += number(mtime, 12) + b" " * 8 + type + link[:100].ljust(100, b"\0") + magic.ljust(8, b"\0")
    block += b"root".ljust(32, b"\0") + b"root".ljust(32, b"\0") + number(device[0], 8) + number(device[1], 8)
    block += prefix[:155].ljust(155, b"\0") + bytes(12)
    if tail:
        block = block[: 512 - len(tail)] + tail
    if not magic:
        block = block[:257] + bytes(255)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def fixed(block, **patches):
    """A header with bytes replaced, `at_OFFSET=bytes`, and its checksum set right."""
    for where, data in patches.items():
        at = int(where[3:])
        block = block[:at] + data + block[at + len(data) :]
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block[:512]) + block[156:]


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while len(b"%d" % size) + len(body) != size:
        size = len(b"%d" % size) + len(body)
    return b"%d" % size + body


def pax(records, type=b"x", name=b"PaxHeaders/x"):
    body = b"".join(record(key, value) for key, value in records)
    return header(name, type, len(body)) + padded(body)


def long_field(type, value, size=None):
    """GNU's @LongLink."""
    value += b"\0"
    return header(b"././@LongLink", type, len(value) if size is None else size, magic=b"ustar  \0") + padded(value)


def body_of(entry):
    return padded(entry.data)


def declared(entry):
    return len(entry.data) if entry.size < 0 else entry.size


def seconds(entry):
    return int(entry.mtime.split(".")[0])


def v7(entry):
    name = entry.name + (b"/" if entry.type == DIRECTORY else b"")
    kind = b"\0" if entry.type in (REGULAR, DIRECTORY) else entry.type
    return header(name, kind, declared(entry), entry.link, entry.mode, entry.uid, entry.gid, seconds(entry),
                  magic=b"") + body_of(entry)


def ustar(entry, magic=b"ustar\x0000", tail=b""):
    name, prefix = entry.name + (b"/" if entry.type == DIRECTORY else b""), b""
    if len(name) > 100:
        cut = name.find(b"/", len(name) - 101)
        prefix, name = name[:cut], name[cut + 1 :]
    return header(name, entry.type, declared(entry), entry.link, entry.mode, entry.uid, entry.gid, seconds(entry),
                  magic, prefix, entry.device, tail) + body_of(entry)


def star(entry):
    return ustar(entry, tail=b"tar\0")


def gnu(entry):
    name, before = entry.name + (b"/" if entry.type == DIRECTORY else b""), b""
    if len(entry.link) > 100:
        before += long_field(b"K", entry.link)
    if len(name) > 100:
        before += long_field(b"L", name)
    return before + header(name, entry.type, declared(entry), entry.link, entry.mode, entry.uid, entry.gid,
                           seconds(entry), b"ustar  \0", device=entry.device) + body_of(entry)


def posix(entry):
    """pax: all that it can say is said in its own header."""
    records = [(b"path", entry.name), (b"mtime", entry.mtime.encode()), (b"uid", b"%d" % entry.uid),
               (b"gid", b"%d" % entry.gid)]
    if entry.link:
        records.append((b"linkpath", entry.link))
    if entry.data:
        records.append((b"size", b"%d" % declared(entry)))
    records += [(b"SCHILY.xattr." + key, value) for key, value in entry.xattrs.items()]
    return pax(records) + header(b"short", entry.type, declared(entry), entry.link, entry.mode, 0, 0, 0,
                                 device=entry.device) + body_of(entry)


def tar(*entries, make=gnu, end=END):
    return b"".join(entry if isinstance(entry, bytes) else make(entry) for entry in entries) + end


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE, check=True).stdout


def frames(data, *sizes, options=()):
    """One frame for each size, and one for the rest."""
    parts, at = [], 0
    for size in sizes:
        parts.append(zstd(data[at : at + size], *options))
        at += size
    return b"".join(parts) + zstd(data[at:], *options)


def skippable(data=b"skip me", kind=0):
    return struct.pack("<II", 0x184D2A50 + kind, len(data)) + data


def raw_frame(data, window_log=None, checksum=False):
    """A frame of raw blocks, of a window of our choice, without content size."""
    out = struct.pack("<IBB", 0xFD2FB528, 4 if checksum else 0, ((window_log or 20) - 10) << 3)
    limit = 1 << min(17, window_log or 17)
    blocks = [data[at : at + limit] for at in range(0, len(data), limit)] or [b""]
    for at, block in enumerate(blocks):
        out += struct.pack("<I", len(block) << 3 | (at == len(blocks) - 1))[:3] + block
    return out


def gnu_tar(folder, *options):
    """GNU tar's own archive of the folder's contents."""
    names = sorted(os.listdir(folder))
    return subprocess.run(["tar", "-C", str(folder), "--sort=name", *options, "-cf", "-", "--", *names],
                          stdout=subprocess.PIPE, check=True).stdout
