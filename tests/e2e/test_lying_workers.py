"""The supervisor believes no worker: real workers, each built with one change that makes it lie, under the real
supervisor. Nothing of the stack may have changed."""
import pathlib
import shutil
import sys

import harness
import pytest
from harness import read_tree, restore, write_tree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mutants"))
from scratch import Scratch  # noqa: E402


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return Scratch(tmp_path_factory.mktemp("lying"))


@pytest.fixture
def lying(scratch, tmp_path):
    """Builds the unpacker from sources with one change; gives a `restore` that uses it."""
    def build(file, text, lie):
        put_back = scratch.exchange(file, text, lie)
        built, said = scratch.make("build/bin/restore-unpacker")
        put_back()
        assert built, said
        binary = harness.copy_program(tmp_path / "bin")
        shutil.copy(scratch.folder / "build/bin/restore-unpacker", tmp_path / "bin")
        return binary

    return build


@pytest.fixture
def attempt(mini, tmp_path, store):
    """Runs a restore of a sound archive with the binary, which must end with the code and leave all as it was."""
    volume = mini.volume("data")
    mini.add("app", paths={"data": "/data"}, mounts=[(volume, "/data")], start=True)
    root = mini.path(volume)
    write_tree(root, {"live": "data"})
    store.put(mini.project, write_tree(tmp_path / "tree", {f"app/volumes/data/f{n}": "new" * 99 for n in range(9)}))

    def run(binary, code, words):
        before, events = [read_tree(root)], harness.Events()
        result = restore(mini.project, store, binary=binary)
        assert result.code == code and words in result.err, result
        harness.assert_untouched(mini.project, [root], before, events)

    return run


def test_entries_that_were_not_sent(lying, attempt):
    binary = lying("workers/unpacker/unpack.c", "section->entries += ruling->inside[0] == '\\0' ? 0 : 1;",
                   "section->entries += ruling->inside[0] == '\\0' ? 0 : 2;")
    attempt(binary, 5, "entries and 2673 bytes were sent")


def test_bytes_that_were_not_sent(lying, attempt):
    binary = lying("workers/unpacker/unpack.c", "section->bytes += contents ? facts->size : 0;",
                   "section->bytes += contents ? facts->size - 1 : 0;")
    attempt(binary, 5, "bytes were sent")


def test_a_worker_that_only_says_it_is_confined(lying, attempt):
    binary = lying("common/sandbox.c", "if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0UL, &program) != 0) {",
                   "if (program.len == 0) {")
    attempt(binary, 13, "says it is ready, but /proc shows no filter on it")


def test_a_worker_under_another_filter(lying, attempt):
    """One call more, as a build from other sources may have."""
    binary = lying("policies/unpacker.def", "ALLOW(exit_group", 'ALLOW(getpid, "is not in the policy of the others")\nALLOW(exit_group')
    attempt(binary, 13, "unpacker runs under another filter than that of its policy")


def test_a_worker_that_goes_on_after_its_last_word(lying, attempt):
    binary = lying("workers/unpacker/unpack.c", "    unpacker->told = 0;\n",
                   '    unpacker->told = 0;\n    SEND(unpacker->channel, unpacked, .sha256 = text_of(""));\n'
                   "    unpacker->channel->direct.state = STATE_UNPACKING;\n")
    attempt(binary, 14, "unpacker broke the protocol (message out of its state)")
