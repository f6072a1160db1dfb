"""One process trains in a folder; a killed one lets go of it."""

import os
import signal
import subprocess
import sys

import pytest
from refusals import refused

from landmarks.errors import UserError
from landmarks.runs.run_lock import LOCK, hold, is_held

HOLD = (
    "import sys, time; from pathlib import Path; from landmarks.runs.run_lock import hold\n"
    "with hold(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of tmp_path until its input ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], **pipes)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_that_another_process_trains_in_is_refused_until_it_ends(other, tmp_path):
    assert is_held(tmp_path)
    with refused(tmp_path), hold(tmp_path):
        pytest.fail("two hold one lock")
    other.communicate()
    assert not is_held(tmp_path) and not list(tmp_path.iterdir())
    with hold(tmp_path):
        assert (tmp_path / LOCK).is_file()
    assert not list(tmp_path.iterdir())


def test_a_killed_process_lets_go(other, tmp_path):
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert (tmp_path / LOCK).is_file() and not is_held(tmp_path)
    with hold(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_the_lock_is_not_inherited_by_workers(tmp_path):
    """A reading process may outlive its killed parent by seconds."""
    code = (
        "import os, sys, time; from pathlib import Path; from landmarks.runs.run_lock import hold\n"
        "with hold(Path(sys.argv[1])):\n"
        "    if os.fork() == 0:\n"
        "        print(os.getpid(), flush=True); sys.stdin.read(); os._exit(0)\n"
        "    os.kill(os.getpid(), 9)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], **pipes)
    assert int(process.stdout.readline()) > 0  # the child is there ...
    process.wait()
    assert not is_held(tmp_path)  # ... and holds nothing
    process.stdin.close()
    process.stdout.close()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="run_dir="), hold(tmp_path / "nowhere"):
        pass
