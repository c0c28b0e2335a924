"""The file system for the stacks' volumes: a journaled ext4 in a loop-mounted file, where the machine allows that.

Volumes are bind mounts below it. Without a loop device the folder itself is used, and the report says so.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess

HOME = pathlib.Path(os.environ.get("RESTORE_TESTS_CACHE", "/var/tmp/restore-tests")) / "bench"
IMAGE = HOME / "disk.img"
MOUNT = HOME / "disk"


def _quiet(*argv):
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _attach(size):
    with IMAGE.open("wb") as image:
        image.truncate(size)
    # Inode tables are written now rather than by the kernel in the background of the measurements.
    return _quiet("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", str(IMAGE)) \
        and _quiet("mount", "-o", "loop,discard", str(IMAGE), str(MOUNT))


def _remove():
    while os.path.ismount(MOUNT):
        if not _quiet("umount", str(MOUNT)) and not _quiet("umount", "-l", str(MOUNT)):
            break
    shutil.rmtree(HOME, ignore_errors=True)


@contextlib.contextmanager
def mounted(size):
    """The folder for volumes and scratch; what a killed run left there goes first."""
    _remove()
    MOUNT.mkdir(parents=True)
    try:
        if not _attach(size):
            print("bench: no loop device: volumes are on the file system of", HOME)
        yield MOUNT
    finally:
        _remove()


@contextlib.contextmanager
def folder(name):
    """A folder on that file system that is gone afterwards."""
    path = MOUNT / name
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
