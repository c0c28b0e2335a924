"""`make check-sandbox` as one of the tests: every system call in every worker, against its policy."""
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_every_system_call_in_every_worker():
    subprocess.run(["make", "-s", "probes"], cwd=ROOT, check=True)
    done = subprocess.run(["/usr/bin/python3", ROOT / "tests/policy/check_sandbox.py"], capture_output=True, text=True,
                          check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0 and done.stdout.endswith(" 0 failed\n")
