"""memory: peak of all processes together in whole restores of one volume, beside the limit."""
import contextlib

import data
import disk
import harness
import measure
import storage

LIMIT = 96
FILE_BYTES = 64 << 20
MIB = 1 << 20


@contextlib.contextmanager
def small_stack(volume):
    """One service with one volume, running."""
    mini = harness.MiniStack(harness.unique("bench"))
    try:
        mini.add("app", {"data": "/data"}, [(str(volume), "/data")], start=True)
        yield mini
    finally:
        mini.remove()


def put_archive(project, mib):
    """Uploads the archive of a volume of that size and returns the prefix it is under."""
    prefix = f"memory-{mib}"
    with disk.folder("archive") as folder:
        path = folder / harness.backup_name(project)
        data.write_archive(path, "app/volumes/data", mib * MIB // FILE_BYTES, FILE_BYTES)
        storage.put(path, prefix)
    return prefix


def run_one(bench, mib):
    with disk.folder("volume") as volume, small_stack(volume) as mini:
        prefix = put_archive(mini.project, mib)
        env = harness.environment(mini.project, f"s3://{storage.BUCKET}/{prefix}", **storage.credentials())
        found = measure.run([str(harness.RESTORE)], env, f"restore-{mini.project}", mini.project)
        storage.clear(prefix)
        written = sum(path.stat().st_size for path in volume.iterdir())
        assert written == mib * MIB, f"{written} bytes restored"
    name = f"volume of {mib} MiB" if mib < 1024 else f"volume of {mib // 1024} GiB"
    bench.report.add(name, "peak memory", "MiB", found.memory, "limit", LIMIT, "<= 1")
    bench.report.detail(name, bench.told(found))
    return found


def run(bench):
    found = {mib: run_one(bench, mib) for mib in bench.memory_sizes}
    small, large = min(found), max(found)
    if small != large:
        share = large / small
        name = f"volume of {large // 1024} GiB"
        bench.report.add(name, "wall", "s", found[large].wall, f"{share:.0f} x {small // 1024} GiB", share * found[small].wall)
        bench.report.add(name, "downtime", "s", found[large].downtime, f"{small // 1024} GiB", found[small].downtime)
