"""How files are replaced: whole or not at all, in one sentence where not, and nothing left."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refused

import landmarks
from landmarks import files
from landmarks.data.caches.cache_folder import cached
from landmarks.data.faces import Faces
from landmarks.data.split import save_split
from landmarks.files import aside, refuse_foreign, refuse_twice, replacing, reserve, sweep
from landmarks.health.suspects import Finding, write_suspects
from landmarks.outputs.pictures import arrange, save_curves, save_picture
from landmarks.outputs.predictions import PredictionFile
from landmarks.outputs.submission import write_submission
from landmarks.runs.checkpoint import Checkpoint, save_checkpoint

NAMES = np.array([b"a.jpg", b"b.jpg"])
FACES = Faces(Path("images"), NAMES)
TILES = [np.zeros((4, 4, 3), np.uint8)]
HISTORY = [{"epoch": 1, "train_loss": 1.0, "val_mse": 2.0, "val_nme": 0.1}]


def predict(path):
    with PredictionFile(path.parent, NAMES, 3, rounded=False, npz=True) as file:
        file.add(np.zeros((2, 3, 2)), np.zeros((2, 3)))


WRITERS = {
    "last.pt": lambda path: save_checkpoint(
        path, Checkpoint({}, 1, {}, None, [], {}, {"w": torch.zeros(9)})
    ),
    "split.npz": lambda path: save_split(path, FACES, np.array([0]), np.array([1])),
    "predictions.csv": predict,
    "predictions.npz": predict,
    "submission.csv": lambda path: write_submission(path, NAMES, np.zeros((2, 3, 2)), True),
    "suspects.csv": lambda path: write_suspects(path, [Finding(0, "a.jpg", "missing", 1.0)]),
    "faces.png": lambda path: save_picture(path, arrange(TILES)),
    "faces.jpg": lambda path: save_picture(path, arrange(TILES)),
    "curves.png": lambda path: save_curves(path, HISTORY),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_replaces_and_leaves_nothing_beside(name, tmp_path):
    (tmp_path / name).write_text("old")
    WRITERS[name](tmp_path / name)
    assert (tmp_path / name).read_bytes() != b"old"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_every_writer_keeps_the_old_file_and_names_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_host", lambda: "full")
    monkeypatch.setattr(files, "_count", iter(range(99)))
    for count in range(9):  # whatever is written aside goes to a disk without room
        part = tmp_path / f".{os.getpid()}.{count}@full~{name}"
        part.symlink_to("/dev/full")
    (tmp_path / name).write_text("old")
    with refused(name):
        WRITERS[name](tmp_path / name)
    assert (tmp_path / name).read_text() == "old"


def test_an_error_that_is_not_the_disk_s_passes_and_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_room_is_taken_before_it_is_mapped(tmp_path, monkeypatch):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 20)
    reserve(tmp_path / "a")
    assert (tmp_path / "a").stat().st_blocks * 512 >= 1 << 20

    def full(descriptor, start, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with refused("predictions.csv", "No space left on device"):
        predict(tmp_path / "predictions.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


KILLED = """
import os, signal
from pathlib import Path
from landmarks.data.caches.cache_folder import cached
from landmarks.files import replacing

def build(part):
    (part / "half").write_text("half")
    with replacing(Path("last.pt")) as file:
        file.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

cached("kind", {"path": "x"}, build, ".")
"""


def test_what_a_killed_process_left_is_swept(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, timeout=60)
    assert done.returncode == -9
    assert len(list(tmp_path.rglob(".*"))) == 2
    sweep(tmp_path)
    cached("kind", {"path": "y"}, lambda part: {}, str(tmp_path))
    assert not list(tmp_path.rglob(".*"))


def test_what_is_under_way_or_may_be_is_not_swept(tmp_path):
    host = files._host()
    kept = [f".1.0@{host}~a", ".1.0@elsewhere~a", ".part", ".12@x", "last.pt", ".hydra"]
    left = [f".{os.getpid()}.0@{host}~a", f".{2**22 + 1}.7@{host}~a.npz", ".1.0@other~a"]
    for name in [*kept, *left]:
        (tmp_path / name).touch()
    long_ago = (tmp_path / "last.pt").stat().st_mtime - 2 * files.DAY
    os.utime(tmp_path / ".1.0@other~a", (long_ago, long_ago))
    with aside(tmp_path / "a") as part:
        part.mkdir()
        sweep(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {*kept, part.name}
    assert {path.name for path in tmp_path.iterdir()} == set(kept)
    sweep(tmp_path / "nowhere")


def test_no_module_has_a_way_of_its_own():
    """Files of a run or cache are made by `landmarks.files` alone."""
    own = re.compile(r"getpid|mkstemp|mkdtemp|NamedTemporary|imwrite")
    package = Path(landmarks.__file__).parent
    found = {
        str(p.relative_to(package)) for p in package.rglob("*.py") if own.search(p.read_text())
    }
    assert found <= {"files.py", "outputs/pictures.py"}


def test_a_file_of_another_kind_is_not_replaced(tmp_path):
    path = tmp_path / "labels.csv"
    refuse_foreign(path, b"run,state,", f"csv={path}")  # there is none
    for there in (b"", b"run,state,score\na,failed,\n"):
        path.write_bytes(there)
        refuse_foreign(path, b"run,state,", f"csv={path}")
    for there in (b"run", b"file_name,x_0,y_0\n"):
        path.write_bytes(there)
        with refused(f"csv={path}"):
            refuse_foreign(path, b"run,state,", f"csv={path}")


def test_a_file_is_listed_once_however_it_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linked.pt").symlink_to(tmp_path / "a.pt")
    refuse_twice([Path("a.pt"), Path("b.pt")])
    for twice in ("a.pt", tmp_path / "a.pt", "x/../a.pt", "linked.pt"):
        with refused("a.pt", twice, "once"):
            refuse_twice([Path("b.pt"), Path("a.pt"), Path(twice)])
