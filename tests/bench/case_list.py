"""list: `RESTORE_MODE=list` against `aws s3 ls` of the prefix that it asks the server for."""
import datetime

import harness
import measure
import storage

APP = "app"
START = datetime.datetime(2020, 1, 1)


def keys_of(count):
    """12 of 25 are of `app`, 7 of `app_two`, the others of nobody that is asked for."""
    names = []
    for number in range(count):
        part = number % 25
        owner = APP if part < 12 else "app_two" if part < 19 else "other"
        when = START + datetime.timedelta(minutes=number)
        names.append(f"backup_{owner}_{when:%Y%m%d-%H%M%S}_{number:08x}.tar.zst")
    return names


def ours(prefix, expected):
    result = harness.restore(APP, f"s3://{storage.BUCKET}/{prefix}", RESTORE_MODE="list", **storage.credentials())
    assert result.code == 0, result
    found = result.out.count(f"backup_{APP}_2")
    assert found == expected, f"{found} listed, {expected} expected"


def theirs(prefix):
    harness.stack.aws("s3", "ls", f"s3://{storage.BUCKET}/{prefix}/backup_{APP}_")


def run_one(bench, count, rounds):
    prefix = f"many-{count}"
    names = keys_of(count)
    storage.put_many([f"{prefix}/{name}" for name in names])
    expected = sum(name.startswith(f"backup_{APP}_2") for name in names)
    results = measure.alternate(rounds, {
        "ours": lambda: measure.seconds_of(lambda: ours(prefix, expected)),
        "aws": lambda: measure.seconds_of(lambda: theirs(prefix))})
    bench.report.add_rounds(f"list {count:,} objects", "wall", "s", results["ours"], "aws s3 ls", results["aws"], "<= 0.1")


def run(bench):
    run_one(bench, 2500, bench.rounds + 2)
    if bench.everything:
        run_one(bench, 100_000, bench.rounds)
