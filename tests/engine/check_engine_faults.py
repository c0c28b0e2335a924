"""`make check-engine-faults`: every fault on the engine's side, at a point of every phase. One line a point, with what is
wrong below it; the last line is `N passed, N failed`."""
import functools
import pathlib
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import engine_faults as faults  # noqa: E402
import held  # noqa: E402
from own_engine import Engine  # noqa: E402

# Each takes a scene, the engine and a point.
FAULTS = {
    "dockerd is restarted": faults.restart,
    "dockerd is killed": functools.partial(faults.restart, number=signal.SIGKILL, away=0.1),
    "the application's container is removed": lambda scene, _, point: faults.remove_container(scene, point, "app"),
    "the stager's container is removed": lambda scene, _, point: faults.remove_container(scene, point, "stager"),
    "the run's containers are killed": lambda scene, _, point: faults.kill_stager(scene, point),
}
HANGING = {"send database_ready 1": {"DB_TIMEOUT": 5}, "send load_run 1": {"DB_LOAD_TIMEOUT": 3}}
MEGABYTES = 520  # of the disk that is filled


def on_a_scene(fault, engine, point, folder):
    scene = faults.Scene(folder, engine, policy="always" if "killed" in fault else "unless-stopped")
    try:
        return FAULTS[fault](scene, engine, point)
    finally:
        scene.remove()


def attempts(engine, small, folder):
    """(name, function) of every point. Those before `engine.use()` speak with the shared engine."""
    for point, options in HANGING.items():
        yield f"a database client never ends, {point}", lambda: faults.client_hangs(folder, point, **options)
    engine.use()
    for fault in FAULTS:
        for point in faults.POINTS:
            yield f"{fault}, {point}", lambda: on_a_scene(fault, engine, point, folder)
    small.use()
    for point in faults.POINTS[1:]:
        yield f"the engine's disk is full, {point}", lambda: faults.full_disk(small, folder, point)


def attempt(run):
    try:
        return run()
    except Exception as error:  # pylint: disable=broad-except
        return [f"{type(error).__name__}: {error}"]


def main(chosen):
    held.build()
    count = {True: 0, False: 0}
    engine, small = Engine(), Engine(megabytes=MEGABYTES)
    try:
        for made in (engine, small):
            made.start()
            made.load()
        with tempfile.TemporaryDirectory() as folder:
            for name, run in attempts(engine, small, pathlib.Path(folder)):
                if chosen and not any(part in name for part in chosen):
                    continue
                problems = attempt(run)
                count[not problems] += 1
                print(f"{'FAILED' if problems else 'ok    '} {name}", *problems, sep="\n    ", flush=True)
    finally:
        engine.remove()
        small.remove()
    print(f"{count[True]} passed, {count[False]} failed")
    return 1 if count[False] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
