"""Data for the benchmarks: files that compress to about a half (or a quarter), and tables of a wanted size.

The same every time. Repeats are farther apart than zstd looks back at its default level.
"""
import io
import pathlib
import random
import subprocess
import tarfile

import stack

BLOCK = 4096
POOL_BLOCKS = 8192
LARGEST_FILE = 48 << 20


def pool(random_share):
    """32 MiB of blocks, each random at its beginning and prose at its end."""
    rng = random.Random(f"pool {random_share}")
    dull = b"The quick brown fox jumps over the lazy dog, number %d of many. "
    head = int(BLOCK * random_share)
    return b"".join(rng.randbytes(head) + (dull % n * 80)[:BLOCK - head] for n in range(POOL_BLOCKS))


def file_sizes(count, total):
    """Many small files, some large: log-normal, as file systems have them."""
    rng = random.Random(f"{count} {total}")
    raw = [min(rng.lognormvariate(0, 1.8), 400) for _ in range(count)]
    scale = total / sum(raw)
    return [max(1, min(int(size * scale), LARGEST_FILE)) for size in raw]


def write_files(root, count, total, owner=None):
    """Writes the tree of an application's volume: folders of 100 files."""
    content, rng = pool(0.5), random.Random("places")
    for number, size in enumerate(file_sizes(count, total)):
        folder = pathlib.Path(root) / f"{number // 1000:03d}" / f"{number // 100 % 10}"
        if number % 100 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"file-{number:06d}.dat", content, rng.randrange(len(content)), size)
    if owner is not None:
        subprocess.run(["chown", "-R", f"{owner}:{owner}", str(root)], check=True)


def _write(path, content, start, size):
    with path.open("wb") as out:
        while size > 0:
            piece = content[start:start + size]
            out.write(piece)
            size -= len(piece)
            start = 0


class Endless(io.RawIOBase):
    """`size` bytes of the pool as a file to read."""

    def __init__(self, content, size):
        super().__init__()
        self.content, self.left, self.at = content, size, 0

    def read(self, size=-1):
        size = min(self.left if size < 0 else size, self.left, len(self.content) - self.at)
        piece = self.content[self.at:self.at + size]
        self.left -= size
        self.at = (self.at + size) % len(self.content)
        return piece


def write_archive(path, folder, count, size):
    """An archive with `count` files of `size` bytes below `folder`, never on disk unpacked."""
    content = pool(0.25)
    with open(path, "wb") as out, subprocess.Popen(["zstd", "-q", "-T0"], stdin=subprocess.PIPE, stdout=out) as zstd:
        with tarfile.open(fileobj=zstd.stdin, mode="w|", bufsize=1 << 20) as tar:
            for number in range(count):
                entry = tarfile.TarInfo(f"{folder}/file-{number:05d}.dat")
                entry.size, entry.mtime = size, 1_700_000_000
                tar.addfile(entry, Endless(content, size))
        zstd.stdin.close()
    assert zstd.returncode == 0


POSTGRES = """
DROP TABLE IF EXISTS bulk_1, bulk_2, bulk_3, bulk_4;
"""
POSTGRES_TABLE = """
CREATE TABLE bulk_{table} (id bigint PRIMARY KEY, customer integer, amount numeric(12,2), at timestamptz, note text);
INSERT INTO bulk_{table} SELECT n, n % 5000, n % 100000 / 7.0,
  '2023-01-01 00:00:00+00'::timestamptz + n * interval '1 second', md5(n::text) || md5((n + {table})::text)
  FROM generate_series(1, {rows}) n;
CREATE INDEX ON bulk_{table} (customer);
"""
POSTGRES_ROW = 112  # bytes of one row in the dump
MARIADB_TABLE = """
DROP TABLE IF EXISTS bulk_{table};
CREATE TABLE bulk_{table} (id BIGINT PRIMARY KEY, author INT, price DECIMAL(12,2), edited DATETIME, body TEXT,
  KEY (author)) ENGINE=InnoDB;
INSERT INTO bulk_{table} SELECT seq, seq % 5000, seq / 7, '2023-01-01' + INTERVAL seq SECOND,
  CONCAT(MD5(seq), MD5(seq + {table})) FROM seq_1_to_{rows};
"""
MARIADB_ROW = 115
TABLES = 4


def fill_postgres(item, database, dump_bytes):
    rows = dump_bytes // POSTGRES_ROW // TABLES
    text = "".join(POSTGRES_TABLE.format(table=table, rows=rows) for table in range(1, TABLES + 1))
    stack.psql(item, database, POSTGRES + text)


def fill_mariadb(item, database, dump_bytes):
    rows = dump_bytes // MARIADB_ROW // TABLES
    text = "".join(MARIADB_TABLE.format(table=table, rows=rows) for table in range(1, TABLES + 1))
    stack.mariadb(item, text, database)
