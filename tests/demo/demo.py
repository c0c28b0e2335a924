#!/usr/bin/python3
"""The restore container on a real stack, a real S3 server and real databases:
fills a stack, backs it up, damages every volume and database, restores with
`compose run --rm restore`, and compares with the state before.

    demo.py      as root; `make demo` installs first what is missing

Ends with a table and exits with 1 if anything differs. Removes what it made,
but for images (a cache: the next run starts quicker); an interrupted run's
leavings are removed by the next one.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "stack"))

# These lie there or beside this file.
import damage
import fill
import make_backup
import outcome
import stack
import state
import surroundings

PROJECT = "restore-demo"
TOOL_PROJECT = "restore-demo-tool"
BUCKET = "restore-demo"
# What a restore makes in the engine has this label, with its project's name.
RUN_LABEL = "restore.project"
ENV_FILE = stack.RUN_DIR / "demo.env"
SCALE = 10
# damage.py touches everything else.
LEFT_ALONE = {"db: template1"}
IMAGE_SCRIPT = ROOT / "tests/env/image.sh"


class DemoFailed(Exception):
    """The demo did not show what it should; the text says why."""


def step(text):
    print(f"--- {text}", flush=True)


def timed(text, function, *args, **options):
    step(text)
    start = time.monotonic()
    result = function(*args, **options)
    print(f"    {time.monotonic() - start:.1f} s", flush=True)
    return result


def settings():
    """What this restore needs; all else stays as .env.example has it."""
    storage = stack.rgw_env()
    return {
        "PROJECT_NAME": PROJECT,
        "S3_BUCKET_URL": f"s3://{BUCKET}/backups",
        **{name: storage[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                            "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")},
        # The damage includes databases and roles of later; with `keep`, the
        # default, they would stay and be reported.
        "DB_EXTRAS": "drop",
    }


def write_env_file():
    """A user's way: .env.example, copied and edited."""
    text = (ROOT / ".env.example").read_text()
    for name, value in settings().items():
        text, count = re.subn(rf"(?m)^#?{name}=.*$", lambda _, n=name, v=value: f"{n}='{v}'", text)
        if count != 1:
            raise DemoFailed(f".env.example has {count} lines for {name}")
    ENV_FILE.write_text(text)


def clean_environment():
    """Ours without the restore's settings, since the shell's win over the file's."""
    names = re.findall(r"(?m)^#?([A-Z_0-9]+)=", (ROOT / ".env.example").read_text())
    return {name: value for name, value in os.environ.items() if name not in names}


def compose_command():
    """Compose v2 where the docker client has it, else what the stack runs with."""
    found = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if "RESTORE_COMPOSE" not in os.environ and found.returncode == 0:
        return ["docker", "compose"]
    return stack.compose_command()


def restore():
    """Runs the restore container, shows its log and returns its lines."""
    argv = [*compose_command(), "-p", TOOL_PROJECT, "-f", str(ROOT / "compose.yaml"),
            "--env-file", str(ENV_FILE), "run", "--rm", "-T", "restore"]
    print("    " + " ".join(argv), flush=True)
    lines = []
    with subprocess.Popen(argv, env=clean_environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            lines.append(line.decode(errors="replace").rstrip("\r\n"))
            print("    " + lines[-1], flush=True)
    if process.returncode != 0:
        raise DemoFailed(f"the restore ended with exit code {process.returncode}")
    return lines


def remove_labelled(kind, label):
    """Removes all containers, volumes or images (kind) with a label."""
    everything = [] if kind == "volume" else ["--all"]
    names = stack.docker(kind, "ls", "-q", *everything, "--filter", f"label={label}").split()
    if names:
        stack.docker(kind, "rm", "-f", *names)


def remove_bucket():
    try:
        stack.aws("s3api", "head-bucket", "--bucket", BUCKET)
    except stack.CommandFailed:
        return
    stack.aws("s3", "rb", "--force", f"s3://{BUCKET}")


def clean_up():
    """Removes what a run makes, also a run that was interrupted anywhere."""
    remove_labelled("container", f"{stack.PROJECT_LABEL}={TOOL_PROJECT}")
    remove_labelled("container", f"{RUN_LABEL}={PROJECT}")
    stack.down(PROJECT)
    remove_labelled("volume", f"{RUN_LABEL}={PROJECT}")
    remove_labelled("image", f"{RUN_LABEL}={PROJECT}")
    remove_bucket()
    ENV_FILE.unlink(missing_ok=True)


def take_damaged(before):
    """Damages everything, and makes sure that nothing was left as it was."""
    damage.damage(PROJECT, with_extras=True)
    comparison = state.compare(before, state.take(PROJECT))
    for section in before.keys() - LEFT_ALONE:
        if not comparison[section]:
            raise DemoFailed(f"the damage left '{section}' as it was")
    print(f"    {sum(map(len, comparison.values()))} differences in {len(comparison)} sections")


def tell_the_story():
    """Returns whether everything is back."""
    timed("images", stack.run, [IMAGE_SCRIPT])
    timed("a stack with two databases and two volumes", stack.up, PROJECT)
    timed("filling it", fill.fill, PROJECT, scale=SCALE)
    before = timed("its state before", state.take, PROJECT)
    print("    " + timed("a backup in S3", make_backup.make_backup, PROJECT,
                         settings()["S3_BUCKET_URL"]))
    timed("damaging every volume and database", take_damaged, before)
    write_env_file()
    lines = timed("the restore", restore)
    stack.wait_healthy(PROJECT)
    after = timed("its state after", state.take, PROJECT)
    comparison = state.compare(before, after)
    outcome.print_table(outcome.read_report(lines), before, comparison)
    return not any(comparison.values())


def end_by_signal(number, _frame):
    sys.exit(128 + number)


def run():
    surroundings.start()
    clean_up()
    try:
        return tell_the_story()
    finally:
        step("cleaning up (images stay)")
        clean_up()
        surroundings.stop()


def main():
    if os.geteuid() != 0:
        print("demo.py: run it as root: it reads volumes and starts servers", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, end_by_signal)
    try:
        identical = run()
    except (DemoFailed, stack.CommandFailed, TimeoutError) as error:
        print(f"demo.py: {error}", file=sys.stderr)
        return 1
    print("\nEverything is back." if identical else "\nNot everything is back.")
    return 0 if identical else 1


if __name__ == "__main__":
    sys.exit(main())
