"""restore: the whole stack of tests/stack with its volumes and databases, ours against the shell way and the best
hand-made way, in turn.

Every run has to do its work: before it something is added to a volume and to both databases, which must be gone after it.
"""
import pathlib
import subprocess

import disk
import harness
import measure
import stack
import storage

HERE = pathlib.Path(__file__).resolve().parent
OTHERS = {"shell way": "shell_way.sh", "hand-made way": "hand_made_way.sh"}
GOALS = {("shell way", "wall"): "<= 0.6", ("hand-made way", "wall"): "<= 1.05"}
UPLOADS = "app/uploads"


def damage(archive):
    """Something in each that no restore may leave."""
    project = archive.project
    (stack.volumes(project)[UPLOADS] / "added-later").write_bytes(b"x")
    stack.psql(stack.container(project, "db"), "shop", "CREATE TABLE IF NOT EXISTS added_later (a integer)")
    stack.mariadb(stack.container(project, "maria"), "INSERT IGNORE INTO bulk_1 (id) VALUES (0)", "wiki")


def check(archive):
    project = archive.project
    stack.wait_healthy(project)
    root = stack.volumes(project)[UPLOADS]
    postgres, mariadb = stack.container(project, "db"), stack.container(project, "maria")
    left = [str(root / "added-later")] if (root / "added-later").exists() else []
    left += stack.psql(postgres, "shop", "SELECT relname FROM pg_class WHERE relname = 'added_later'").split()
    left += stack.mariadb(mariadb, "SELECT id FROM bulk_1 WHERE id = 0", "wiki").split()
    files = sum(1 for path in root.rglob("*") if path.is_file() and path.stat().st_uid == 1000)
    if left or files != archive.files:
        raise measure.Failure(f"not restored: {left}, {files} of {archive.files} files")


def measured(bench, argv, env, containers):
    archive = bench.archive
    damage(archive)
    found = measure.run(argv, env, containers, archive.project)
    check(archive)
    bench.report.detail(pathlib.Path(argv[0]).name, bench.told(found))
    return found


def ours(bench):
    project = bench.archive.project
    env = harness.environment(project, bench.archive.url, **storage.credentials())
    return measured(bench, [str(harness.RESTORE)], env, f"restore-{project}")


def theirs(bench, script):
    archive = bench.archive
    with disk.folder("scratch") as scratch:
        env = {"PATH": harness.environment("x", "x")["PATH"], "PROJECT": archive.project, "SCRATCH": str(scratch),
               "BUCKET": storage.BUCKET, "KEY": archive.key, **storage.credentials()}
        return measured(bench, [str(HERE / script)], env, f"bench-helper-{archive.project}")


def cold_copy(archive):
    """Seconds that a durable copy of both data directories takes while their servers are stopped: part of our downtime
    alone, since nothing else could undo a failed load."""
    items = [stack.container(archive.project, service) for service in ("db", "maria")]
    sources = [item.mounts[0]["Source"] for item in items]
    stack.docker("stop", *[item.id for item in items])
    with disk.folder("cold") as folder:
        command = 'cp -a -t "$0" "$@" && sync -f "$0"'
        seconds = measure.seconds_of(lambda: subprocess.run(["sh", "-c", command, str(folder), *sources], check=True))
    stack.docker("start", *[item.id for item in items])
    stack.wait_healthy(archive.project)
    return seconds


def compare(report, case, results, name, copy_seconds):
    def of(contender, metric):
        return [getattr(found, metric) for found in results[contender]]
    for metric, unit in (("wall", "s"), ("downtime", "s"), ("cpu", "s"), ("memory", "MiB")):
        report.add_rounds(case, metric, unit, of("ours", metric), name, of(name, metric), GOALS.get((name, metric)))
    if name == "hand-made way":
        median = measure.STATISTICS["median"]
        report.add(case, "downtime, median", "s", median(of("ours", "downtime")), f"{name} + cold copy",
                   median(of(name, "downtime")) + copy_seconds, "<= 1")


def run(bench):
    contenders = {"ours": lambda: ours(bench)}
    contenders.update({name: lambda script=script: theirs(bench, script) for name, script in OTHERS.items()})
    results = measure.alternate(bench.rounds, contenders)
    copy_seconds = cold_copy(bench.archive)
    for name in OTHERS:
        compare(bench.report, f"restore of {bench.archive.text}", results, name, copy_seconds)
