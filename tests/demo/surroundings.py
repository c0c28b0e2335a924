"""The engine and the S3 server that the demo needs: those that run are used,
the others started, and only these are stopped again.

What was started is written down first, so that the run after an interrupted one
still knows it.
"""
import pathlib
import subprocess

import stack

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "env"
MARKS = stack.RUN_DIR / "demo.started"
S3_TIMEOUT = 5


def engine_answers():
    done = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return done.returncode == 0


def storage_answers():
    try:
        url = stack.rgw_env()["AWS_ENDPOINT_URL"]
    except FileNotFoundError:
        return False
    done = subprocess.run(["curl", "-sf", "--noproxy", "*", "-m", str(S3_TIMEOUT), "-o", "/dev/null", url],
                          check=False)
    return done.returncode == 0


# In the order of their start.
SERVERS = {"docker.sh": engine_answers, "rgw.sh": storage_answers}


def _marks():
    return MARKS.read_text().split() if MARKS.exists() else []


def start():
    """Starts what does not answer."""
    MARKS.parent.mkdir(parents=True, exist_ok=True)
    for script, answers in SERVERS.items():
        if not answers() and script not in _marks():
            MARKS.write_text(" ".join([*_marks(), script]))
        # No pipe for its output: the servers would keep it open.
        stack.run([SCRIPTS / script, "start"], stdout=subprocess.DEVNULL)


def stop():
    """Stops what start() of this run, or of an interrupted one, started."""
    for script in reversed(_marks()):
        stack.run([SCRIPTS / script, "stop"])
    MARKS.unlink(missing_ok=True)
