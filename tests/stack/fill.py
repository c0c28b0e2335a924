#!/usr/bin/python3
"""Fills the test stack with data that has tripped up restores, always the same
for a given seed and scale.

    fill.py PROJECT [--seed N] [--scale N]

--scale multiplies the number of ordinary files and table rows (1: about 1 MB).
"""
import argparse
import os
import random

import stack

APP = 1000
OTHER = 1001
# A fixed time, with nanoseconds, long before any test runs.
BASE_TIME_NS = 1_700_000_000_123_456_789

ODD_NAMES = [
    "line\nbreak.txt", "Grüße-日本.txt", "-leading-dash", "..name", ".hidden",
    " leading and trailing ", "quote'\"back\\slash", "$(touch pwned)", "star*[a]?",
    "tab\there", "x" * 255, b"not-utf8-\xff\xfe.bin",
]


class Folder:
    """Writes entries below one folder, each with owner, mode and time."""

    def __init__(self, root, rng):
        self.root = os.fsencode(root)
        self.rng = rng
        self.times = []

    def path(self, name):
        return os.path.join(self.root, os.fsencode(name))

    def _finish(self, path, mode, uid):
        os.chown(path, uid, uid, follow_symlinks=False)
        if mode is not None:
            os.chmod(path, mode)
        self.times.append(path)

    def file(self, name, data=None, mode=0o644, uid=APP):
        path = self.path(name)
        with open(path, "wb") as out:
            out.write(self.rng.randbytes(self.rng.randrange(1, 3000)) if data is None else data)
        self._finish(path, mode, uid)

    def folder(self, name, mode=0o755, uid=APP):
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        self._finish(path, mode, uid)

    def symlink(self, name, target, uid=APP):
        path = self.path(name)
        os.symlink(target, path)
        self._finish(path, None, uid)

    def hard_link(self, name, existing):
        os.link(self.path(existing), self.path(name))

    def fifo(self, name, uid=APP):
        path = self.path(name)
        os.mkfifo(path)
        self._finish(path, 0o600, uid)

    def sparse(self, name, size):
        path = self.path(name)
        with open(path, "wb") as out:
            out.seek(size // 2)
            out.write(b"data amid a hole")
            out.truncate(size)
        self._finish(path, 0o644, APP)

    def set_times(self):
        """Last, and children first, since writing into a folder changes its time."""
        for path in sorted(set(self.times), key=lambda p: (-p.count(b"/"), p)):
            when = BASE_TIME_NS + self.rng.randrange(10**16)
            os.utime(path, ns=(when, when), follow_symlinks=False)
        os.utime(self.root, ns=(BASE_TIME_NS, BASE_TIME_NS))


def clear(root):
    """Empties a volume, so that filling twice gives the same."""
    for folder, names, files in os.walk(os.fsencode(root), topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        for name in names:
            path = os.path.join(folder, name)
            os.unlink(path) if os.path.islink(path) else os.rmdir(path)


def fill_uploads(root, seed, scale):
    """The volume whose root belongs to the application."""
    clear(root)
    out = Folder(root, random.Random(f"uploads {seed}"))
    for name in ODD_NAMES:
        out.file(name)
    fill_modes(out)
    fill_links(out)
    out.folder("odd")
    for name in ODD_NAMES:
        out.folder(os.path.join(b"odd", os.fsencode(name)))
        out.file(os.path.join(b"odd", os.fsencode(name), b"inside"))
    for depth in range(1, 41):
        out.folder("/".join(["deep"] * depth))
    out.file("/".join(["deep"] * 40 + ["end"]))
    for number in range(20):
        out.folder(f"photos/{number:02d}")
    out.folder("photos")
    for number in range(20 * scale):
        out.file(f"photos/{number % 20:02d}/photo-{number:06d}.jpg")
    out.set_times()
    os.chown(root, APP, APP)
    os.chmod(root, 0o750)


def fill_modes(out):
    out.file("empty", b"")
    out.file("readonly", mode=0o400)
    out.file("no-permissions", mode=0)
    out.file("setuid-tool", mode=0o4755)
    out.file("setgid-tool", mode=0o2755)
    out.sparse("sparse.img", 8 << 20)
    out.fifo("queue")
    out.folder("empty-folder")
    out.folder("shared", mode=0o2775)
    out.file("shared/report", mode=0o664)
    out.folder("shared/sub", mode=0o755)
    out.folder("drop", mode=0o1777)
    out.folder("no-access", mode=0)
    out.folder("of-another-user", mode=0o700, uid=OTHER)
    out.file("of-another-user/letter", uid=OTHER)
    out.file("another-users-file", uid=OTHER)


def fill_links(out):
    out.symlink("link-relative", "empty-folder")
    out.symlink("link-dangling", "no/such/thing")
    out.symlink("link-absolute", "/etc/passwd")
    out.folder("linked")
    # `docker cp` refuses a relative link that leaves the volume, so no archive has one.
    out.symlink("linked/link-up", "../empty-folder")
    out.file("linked/original")
    out.hard_link("linked/twin", "linked/original")
    out.hard_link("twin-of-original", "linked/original")


def fill_config(root, seed, scale):
    """The volume whose root is root's while its contents are the application's."""
    clear(root)
    out = Folder(root, random.Random(f"config {seed}"))
    out.file("app.ini", b"[app]\nname = demo\n", mode=0o640)
    out.file(".env", b"KEY=value\n", mode=0o600)
    out.folder("conf.d", mode=0o755)
    for number in range(5 * scale):
        out.file(f"conf.d/{number:05d}.conf", f"option_{number} = {number}\n".encode())
    out.folder("certs", mode=0o700)
    out.file("certs/key.pem", mode=0o400)
    out.symlink("current", "conf.d/00000.conf")
    out.set_times()
    os.chown(root, 0, 0)
    os.chmod(root, 0o755)


def sql_of(name, seed, scale):
    """The SQL file beside this one, with its parameters filled in."""
    text = (stack.HERE / name).read_text()
    return text.replace("@SEED@", str(seed)).replace("@ROWS@", str(1000 * scale))


def fill(project, seed=1, scale=1):
    """Fills every volume and database of the demo stack."""
    folders = stack.volumes(project)
    fill_uploads(folders["app/uploads"], seed, scale)
    fill_config(folders["app/config"], seed, scale)
    stack.psql(stack.container(project, "db"), "postgres",
               sql_of("fill_postgres.sql", seed, scale))
    stack.mariadb(stack.container(project, "maria"), sql_of("fill_mariadb.sql", seed, scale))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("project")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=int, default=1)
    options = parser.parse_args()
    fill(options.project, options.seed, options.scale)


if __name__ == "__main__":
    main()
