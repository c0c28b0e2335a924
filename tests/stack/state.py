#!/usr/bin/python3
"""Computes the canonical state of a stack, and compares two of them.

    state.py take PROJECT >FILE
    state.py compare BEFORE AFTER [--mtime ns|s|none]

The state is JSON: section (a volume, a database, a server's users) to the name
of a thing to its value. `compare` prints 'identical' or the differences for
every section and exits with 1 if there are any. GNU tar keeps whole seconds,
hence --mtime s, the default, for what came out of an archive.
"""
import argparse
import hashlib
import json
import os
import pathlib
import stat
import sys

import stack
import state_mariadb
import state_postgres

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symlink",
         stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFCHR: "character device",
         stat.S_IFBLK: "block device"}
DIFFERENCES_SHOWN = 20
NANOSECONDS = 10**9


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _xattrs(path):
    names = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(names)}


def describe(path):
    """All of an entry that a backup may hold."""
    status = os.lstat(path)
    entry = {"type": TYPES[stat.S_IFMT(status.st_mode)], "mode": f"{stat.S_IMODE(status.st_mode):04o}",
             "uid": status.st_uid, "gid": status.st_gid, "mtime": status.st_mtime_ns,
             "xattrs": _xattrs(path)}
    if entry["type"] == "file":
        entry.update(size=status.st_size, sha256=sha256_of(path))
    elif entry["type"] == "symlink":
        entry["target"] = os.fsdecode(os.readlink(path))
    elif entry["type"].endswith("device"):
        entry["device"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    return entry


def _entries(root):
    """Relative names of everything below root, root itself as '.'; sorted."""
    names = [b"."]
    for folder, folders, files in os.walk(root):
        names += [os.path.relpath(os.path.join(folder, name), root) for name in folders + files]
    return sorted(names)


def folder_state(root):
    """Name to description of every entry; hard links name their first sibling."""
    root = os.fsencode(root)
    first_of, state = {}, {}
    for name in _entries(root):
        path = os.path.join(root, name)
        entry = describe(path)
        status = os.lstat(path)
        if entry["type"] != "folder" and status.st_nlink > 1:
            entry["linked"] = first_of.setdefault((status.st_dev, status.st_ino), os.fsdecode(name))
        state[os.fsdecode(name)] = entry
    return state


DATABASE_STATES = {"postgres": state_postgres.state, "mariadb": state_mariadb.state}


def take(project):
    """The state of the running stack: every labelled volume, every database."""
    sections = {f"volume {name}": folder_state(root)
                for name, root in stack.volumes(project).items()}
    for item in stack.containers(project):
        if item.database_kind and item.number == 1:
            sections.update(DATABASE_STATES[item.database_kind](item))
    return sections


def _comparable(name, value, mtime):
    """The value without what the archive cannot hold. A volume root's time is
    left out: `docker cp` does not copy it."""
    if not isinstance(value, dict) or "mtime" not in value:
        return value
    value = dict(value)
    if mtime == "none" or name == ".":
        del value["mtime"]
    elif mtime == "s":
        value["mtime"] //= NANOSECONDS
    return value


def _difference(before, after):
    if isinstance(before, dict) and isinstance(after, dict):
        return ", ".join(f"{key} {before.get(key)} -> {after.get(key)}"
                         for key in sorted(before.keys() | after.keys())
                         if before.get(key) != after.get(key))
    return f"{before} -> {after}"


def compare_section(before, after, mtime="s"):
    """Lines that say what differs between two sections; none if identical."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            lines.append(f"missing: {name!r}")
        elif name not in before:
            lines.append(f"added: {name!r}")
        else:
            old, new = (_comparable(name, s[name], mtime) for s in (before, after))
            if old != new:
                lines.append(f"differs: {name!r}: {_difference(old, new)}")
    return lines


def compare(before, after, mtime="s"):
    """Section name to lines of differences (an empty list: identical)."""
    return {section: compare_section(before.get(section, {}), after.get(section, {}), mtime)
            if section in before and section in after
            else [f"the whole section is {'added' if section in after else 'missing'}"]
            for section in sorted(before.keys() | after.keys())}


def print_comparison(result, out=sys.stdout):
    """One line per section; below it the first differences."""
    for section, lines in result.items():
        verdict = f"{len(lines)} differences" if lines else "identical"
        print(f"{section:<40} {verdict}", file=out)
        for line in lines[:DIFFERENCES_SHOWN]:
            print(f"    {line[:300]}", file=out)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("take").add_argument("project")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=pathlib.Path)
    comparing.add_argument("after", type=pathlib.Path)
    comparing.add_argument("--mtime", choices=["ns", "s", "none"], default="s")
    return parser.parse_args()


def main():
    options = _arguments()
    if options.command == "take":
        json.dump(take(options.project), sys.stdout, indent=1, sort_keys=True)
        print()
        return 0
    result = compare(json.loads(options.before.read_text()),
                     json.loads(options.after.read_text()), options.mtime)
    print_comparison(result)
    return 1 if any(result.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
