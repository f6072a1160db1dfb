"""Data that cannot be written to: a mounted share, another user's folder, a DVD."""

import os
import sys
from pathlib import Path

import pytest
from made_runs import TINY

from landmarks.cli import main as cli

SETTINGS = [*TINY, "run_dir=runs/a"]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = "mkdir rename remove rmdir link symlink truncate utime chmod chown".split()
watched = []  # folders; what Python opens or changes below them is refused


def refuse_writing(event, arguments):
    """Refuse, whoever runs the test: root may write where modes forbid it."""
    if not watched:
        return
    changes = event in {f"os.{name}" for name in CHANGES}
    if changes or (event == "open" and (arguments[2] or 0) & WRITES):
        for place in arguments[:2]:
            inside = isinstance(place, str | os.PathLike) and str(Path(place).absolute())
            if inside and inside.startswith(tuple(watched)):
                raise PermissionError(13, "Permission denied", str(place))


@pytest.fixture
def read_only():
    """Return what lets a folder be read only for the rest of a test."""
    if refuse_writing not in read_only_hooks:
        sys.addaudithook(refuse_writing)
        read_only_hooks.append(refuse_writing)
    yield lambda folder: watched.append(str(folder))
    watched.clear()


read_only_hooks = []  # a hook cannot be taken away again


def test_data_may_be_read_only(contest, read_only, narrow, tmp_path, monkeypatch, capsys):
    made = contest(train=8)
    read_only(made.root)
    for write in ((made.root / "x").touch, (made.root / "y").mkdir):
        with pytest.raises(PermissionError):
            write()
    before = sorted(made.root.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    data = [f"data.root={made.root}", "data=thousand"]
    assert cli.main(["check", *data, "run_dir=checked"]) in (0, 3)
    assert cli.main(["train", *data, *SETTINGS]) == 0
    assert cli.main(["predict", "checkpoint=runs/a", "device=cpu", "run_dir=out"]) == 0
    assert (tmp_path / "out/predictions.csv").is_file()
    assert sorted(made.root.rglob("*")) == before
    capsys.readouterr()
    inside = f"data.cache_dir={made.root}/cache"
    assert cli.main(["train", *data, inside, *SETTINGS[:-1], "run_dir=runs/b"]) == 1
    said = capsys.readouterr().err
    assert "set data.cache_dir=FOLDER or LANDMARKS_CACHE" in said and said.count("\n") == 1
