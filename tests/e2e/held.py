"""A restore that is held at a frame of its protocol, while a test moves something: the supervisor stops itself there
(tests/kill/kill_points.c), its workers and the engine go on."""
import os
import signal
import subprocess
import time

import harness

BUILD = harness.ROOT / "build"
HELD = BUILD / "kill" / "restore"


def build():
    """The supervisor that can be held, beside the shipped workers."""
    subprocess.run(["make", "-s", "all", "build/bin/restore-stager.tar", "kill-build"], cwd=harness.ROOT, check=True)


class Held:
    """`with Held(project, store, "receive users_end 4", folder) as run:` is entered when the run stands there. Leaving
    it, or finish(), lets the run go on; finish() returns its result."""

    def __init__(self, project, store, point, folder, **options):
        self.log = folder / f"{project}.held"
        self.log.unlink(missing_ok=True)
        environment = harness.environment(project, store, KILL_POINT=f"{point} hold 0", KILL_LOG=self.log, **options)
        self.process = subprocess.Popen([HELD], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)

    def stands(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            return self.log.exists() and stat.read().rsplit(")", 1)[1].split()[0] == "T"

    def __enter__(self):
        deadline = time.monotonic() + 60
        while not self.stands():
            assert self.process.poll() is None, self.result()
            assert time.monotonic() < deadline, "the run never came to the point"
            time.sleep(0.002)
        return self

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def result(self, seconds=180):
        out, err = self.process.communicate(timeout=seconds)
        return harness.Result(self.process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def finish(self, seconds=180):
        self.go_on()
        return self.result(seconds)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.go_on()
            try:
                self.result(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
