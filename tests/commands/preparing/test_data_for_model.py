"""Data that a command names by their folder alone, beside a model that was trained on others."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_runs import TINY
from refusals import refused

from landmarks.cli import main as cli
from landmarks.commands.preparing.data_for_model import in_order, read_data
from landmarks.data.formats import table
from landmarks.errors import UserError

SETTINGS = [*TINY, "flip_test=false"]
NAMES = ["right_eye", "left_eye", "nose", "mouth"]  # not in the order of letters, as CVAT's are
UNSET = dict.fromkeys(("root", "cache_dir", "limit", "on_error", "exif"))


@pytest.fixture
def faces(tmp_path):
    """Ten named faces, as a table in table/ and the same in CVAT's XML in cvat/."""
    rng = np.random.default_rng(0)
    rows, images = [",".join(["file_name", *(f"{n}_{c}" for n in NAMES for c in "xy")])], []
    for folder in ("table", "cvat"):
        (tmp_path / folder).mkdir()
    for i in range(10):
        pixels = rng.integers(0, 255, (48, 48, 3), np.uint8)
        for folder in ("table", "cvat"):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), pixels)
        points = rng.integers(16, 160, (4, 2)) / 4
        rows.append(",".join([f"{i}.png", *map(str, points.ravel())]))
        drawn = [
            f'<points label="{name}" occluded="0" points="{x},{y}"/>'
            for name, (x, y) in zip(NAMES, points, strict=True)
        ]
        images.append(f'<image id="{i}" name="{i}.png">{"".join(drawn)}</image>')
    (tmp_path / "table/faces.csv").write_text("\n".join(rows))
    (tmp_path / "cvat/annotations.xml").write_text(
        f"<annotations><version>1.1</version>{''.join(images)}</annotations>"
    )
    return tmp_path


def trained_on(module, **settings):
    return {"data": {"_target_": f"landmarks.data.formats.{module}.read_faces", **settings}}


def test_another_format_is_found_and_its_points_put_in_order(faces, monkeypatch, capsys):
    monkeypatch.chdir(faces)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    assert cli.main(["train", "data.root=table", "run_dir=runs/a", *SETTINGS]) == 0
    found = {}
    for folder in ("table", "cvat"):
        words = [f"data.root={folder}", "split=all", f"run_dir=judged-{folder}"]
        assert cli.main(["evaluate", *words, "device=cpu", "amp=off", "workers=0"]) == 0
        found[folder] = json.loads(Path(f"judged-{folder}/metrics.json").read_text())
    assert found["cvat"]["faces"] == 10
    assert found["cvat"]["mse"] == pytest.approx(found["table"]["mse"])
    assert "data.root is read as data=cvat" in capsys.readouterr().out
    assert cli.main(["predict", "data.root=cvat", "run_dir=out", "device=cpu"]) == 1
    assert "data.test" in capsys.readouterr().err  # CVAT's file of test faces


def test_the_training_s_own_format_keeps_its_settings(faces, write_contest):
    named = trained_on("table", train="old.csv", test="", images="old", name_column="file_name")
    read = read_data({**UNSET, "root": str(faces / "table"), "limit": 3}, named, "train")
    assert len(read) == 3 and read.names[0] == b"0.png"
    made = write_contest(faces / "contest", train=4)
    contest = trained_on("thousand", root="gone")
    assert len(read_data({**UNSET, "root": str(made.root)}, contest, "train")) == 4
    assert len(read_data({**UNSET, "root": str(faces / "cvat")}, contest, "train")) == 10
    pts = faces / "pts"
    pts.mkdir()
    cv2.imwrite(str(pts / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (pts / "a.pts").write_text("version: 1\nn_points: 1\n{\n3 4\n}\n")
    own = read_data({**UNSET, "root": str(pts)}, trained_on("points", root="gone"), "train")
    assert own.points.tolist() == [[[3, 4]]]  # data=ibug would count from 1


def test_what_cannot_be_told_is_refused(faces):
    named = trained_on("table", train="old.csv", test="")
    (faces / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty.*data=NAME"):
        read_data({**UNSET, "root": str(faces / "empty")}, named, "train")
    with pytest.raises(UserError, match=r"several kinds.*data=cvat.*data=table"):
        read_data({**UNSET, "root": str(faces)}, named, "train")


def test_the_training_s_own_folder_is_named_where_it_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused("data.root=nowhere/data", tmp_path, "data.root=FOLDER"):
        read_data(UNSET, trained_on("thousand", root="nowhere/data"), "test")


def test_points_are_matched_by_their_names(faces):
    read = table.read_faces(str(faces / "table/faces.csv"), "")
    assert in_order(read, NAMES) is read and in_order(read, []) is read
    turned = in_order(read, NAMES[::-1])
    assert np.array_equal(turned.points, read.points[:, ::-1])
    assert list(turned.point_names) == NAMES[::-1]
    with pytest.raises(UserError, match=r"a point 'mouth' .*'chin'"):
        in_order(read, [*NAMES[:3], "chin"])
