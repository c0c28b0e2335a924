"""A copy of the source tree in which something is taken out, and what is built from it."""
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns("build", ".git", "__pycache__", ".pytest_cache")


class Scratch:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / "scratch"
        shutil.copytree(ROOT, self.folder, ignore=LEFT_OUT)

    def exchange(self, file, text, replacement):
        """Puts `replacement` where `text` stands, which must be once. Returns what puts it back."""
        path = self.folder / file
        before = path.read_text()
        found = before.count(text)
        assert found == 1, f"{file} holds the text {found} times instead of once: {text!r}"
        path.write_text(before.replace(text, replacement))
        return lambda: path.write_text(before)

    def make(self, *targets):
        """(whether it built, what make said)."""
        done = subprocess.run(["make", f"-j{os.cpu_count()}", *targets], cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode == 0, done.stdout.decode(errors="replace")
