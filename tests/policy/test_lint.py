"""The policy lint: shipped policies pass, and each kind of dangerous line is refused."""
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import lint  # noqa: E402

POLICIES = sorted((HERE.parents[1] / "policies").glob("*.def"))
SOUND = '/* Policy. openat: a file, reading alone. socket: TCP alone. */\nALLOW(read, "frames")\n'


def problems(tmp_path, text, name="worker"):
    path = tmp_path / f"{name}.def"
    path.write_text(text)
    return " | ".join(problem for _, problem in lint.lint(path))


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_shipped(path):
    assert lint.lint(path) == []
    assert lint.read_policy(path).rules


@pytest.mark.parametrize("line", [
    'ALLOW_IF2(socket, 0, AF_INET, 1, SOCK_STREAM | SOCK_CLOEXEC, "connections")',
    'ALLOW_IF(openat, 2, O_RDONLY | O_NOFOLLOW, "a file")',
    'ALLOW_IF(mmap, 2, PROT_READ | PROT_WRITE, "heap")',
    'ALLOW_IF(fcntl, 1, F_GETFL, "flags (of an open file), \\"as is\\"")',
    'ALLOW_MASKED(mknodat, 2, S_IFMT, S_IFIFO, "FIFOs")',
    'ALLOW_IF(write, 0, FD_LOG, "log")\nALLOW_IF(write, 0, FD_DATA_OUT, "data")',
])
def test_sound_lines(tmp_path, line):
    assert problems(tmp_path, SOUND + line + "\n") == ""


@pytest.mark.parametrize("line, problem", [
    ('ALLOW(raed, "frames")', "no syscall raed"),
    ('ALLOW(write, "")', "no reason"),
    ('ALLOW(write, " ")', "no reason"),
    ('ALLOW(write, "TODO")', "no reason"),
    ("ALLOW(write)", "not of the form"),
    ('ALLOW(write, "a") ALLOW(close, "b")', "not of the form"),
    ('ALLOW(write,\n      "on two lines")', "not of the form"),
    ("#if 0", "not of the form"),
    ('PERMIT(write, "frames")', "unknown macro"),
    ('ALLOW(write, 0, 1, "frames")', "takes 0 parts"),
    ('ALLOW_IF(write, 0, "frames")', "takes 2 parts"),
    ('ALLOW_IF(write, 6, 1, "frames")', "index is 0 to 5"),
    ('ALLOW_IF2(write, 0, 1, 0, 2, "frames")', "each comes once"),
    ('ALLOW_MASKED(write, 0, 0, 0, "frames")', "limits nothing"),
    ('ALLOW(read, "again")', "the same as line 2"),
    ('ALLOW_IF(read, 0, FD_LOG, "frames")', "voids it"),
    ('ALLOW_IF(write, 0, 1, "frames")\nALLOW(write, "frames")', "voids it"),
    ('ALLOW(kexec_load, "kernels")', "in no policy"),
    ('ALLOW(bpf, "filters")', "in no policy"),
    ('ALLOW(io_uring_enter, "speed")', "in no policy"),
    ('ALLOW(rt_sigaction, "handlers")', "needs a paragraph"),
    ('ALLOW(execve, "programs")', "needs a paragraph"),
    ('ALLOW(execveat, "programs")', "needs a paragraph"),
    ('ALLOW(ptrace, "debugging")', "needs a paragraph"),
    ('ALLOW_IF(clone, 0, 0x11, "threads")', "needs a paragraph"),
    ('ALLOW(clone3, "threads")', "needs a paragraph"),
    ('ALLOW(fork, "children")', "needs a paragraph"),
    ('ALLOW(vfork, "children")', "needs a paragraph"),
    ('ALLOW_IF(open, 1, O_RDONLY, "a file")', "needs a paragraph"),
    ('ALLOW(openat2, "files")', "needs a paragraph"),
    ('ALLOW(connect, "the endpoint")', "needs a paragraph"),
    ('ALLOW(bind, "a port")', "needs a paragraph"),
    ('ALLOW(kill, "signals")', "needs a paragraph"),
    ('ALLOW_IF(mprotect, 2, PROT_READ, "memory")', "needs a paragraph"),
    ('ALLOW(openat, "files")', "limit on argument 2"),
    ('ALLOW_IF(openat, 0, FD_FIRST_FREE, "files")', "limit on argument 2"),
    ('ALLOW_IF(openat, 2, O_RDWR | O_CREAT, "files")', "O_CREAT, O_RDWR"),
    ('ALLOW(mmap, "memory")', "limit on argument 2"),
    ('ALLOW_IF(mmap, 2, PROT_READ | PROT_EXEC, "code")', "PROT_EXEC"),
    ('ALLOW(ioctl, "devices")', "limit on argument 1"),
    ('ALLOW_IF(ioctl, 1, TIOCSTI, "a terminal")', "types into a terminal"),
    ('ALLOW(fcntl, "descriptors")', "limit on argument 1"),
    ('ALLOW(prctl, "flags")', "limit on argument 0"),
    ('ALLOW_IF(setsockopt, 1, SOL_SOCKET, "options")', "limit on argument 2"),
    ('ALLOW(socket, "sockets")', "limit on argument 0, 1"),
    ('ALLOW_IF(socket, 1, SOCK_STREAM, "sockets")', "limited to one family"),
    ('ALLOW_IF(socket, 0, AF_INET, "sockets")', "limited to SOCK_STREAM"),
    ('ALLOW_IF2(socket, 0, AF_NETLINK, 1, SOCK_STREAM, "sockets")', "limited to one family"),
    ('ALLOW_IF2(socket, 0, AF_INET, 1, SOCK_DGRAM, "names")', "limited to SOCK_STREAM"),
    ('ALLOW_IF2(socket, 0, AF_INET, 1, SOCK_STREAM | SOCK_RAW, "packets")', "limited to SOCK_STREAM"),
])
def test_dangerous_lines(tmp_path, line, problem):
    assert problem in problems(tmp_path, SOUND + line + "\n")


def test_lines_in_comments_are_no_lines(tmp_path):
    assert problems(tmp_path, SOUND + '/*\nALLOW(ptrace, "x")\n*/\n') == ""


def test_the_line_is_named(tmp_path):
    path = tmp_path / "worker.def"
    path.write_text(SOUND + '\nALLOW(raed, "frames")\n')
    done = subprocess.run([HERE / "lint.py", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == f"{path}:4: no syscall raed on this architecture\n"


def test_a_file_begins_with_a_comment(tmp_path):
    assert "begins with a comment" in problems(tmp_path, 'ALLOW(read, "frames")\n')


def test_an_empty_policy(tmp_path):
    assert "no rules" in problems(tmp_path, "/* Policy. */\n")


def test_promised_sizes(tmp_path):
    lines = "".join(f'ALLOW({name}, "why")\n' for name in ("write", "close", "exit", "exit_group"))
    assert problems(tmp_path, SOUND + lines) == ""
    assert "no more than 4" in problems(tmp_path, SOUND + lines, "unpacker")
    assert "exactly exit exit_group read write" in problems(tmp_path, SOUND, "unpacker")
