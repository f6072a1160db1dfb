"""Points that a table names: their names are the layout's, left and right in them its pairs."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_runs import TINY

from landmarks.cli import main as cli
from landmarks.commands.preparing.choose_layout import settle_layout
from landmarks.data.faces import Faces
from landmarks.runs.checkpoint import load_checkpoint

SHAPE = {  # as Kaggle's Facial Keypoints names them; the subject's left is at the right
    "left_eye_center": (12, -8),
    "right_eye_center": (-12, -8),
    "left_eye_outer_corner": (17, -7),
    "right_eye_outer_corner": (-17, -7),
    "nose_tip": (0, 3),
    "mouth_left_corner": (8, 13),
    "mouth_right_corner": (-8, 13),
    "mouth_center_bottom_lip": (0, 17),
}
NAMES = list(SHAPE)
FLIP = [1, 0, 3, 2, 4, 6, 5, 7]
SETTINGS = [*TINY, "run_dir=runs/a"]


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Train on twelve faces whose points have these names; return the checkpoint and the log."""

    def train(names, *settings):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["landmarks"])
        random = np.random.default_rng(0)
        rows = [",".join(["image_id", *(f"{name}_{axis}" for name in names for axis in "xy")])]
        for i in range(12):
            points = np.array([*SHAPE.values()]) + random.normal(0, 1, (len(SHAPE), 2)) + 32
            cv2.imwrite(f"{i}.png", np.full((64, 64, 3), 90 + i, np.uint8))
            rows.append(",".join([f"{i}.png", *(f"{x:.2f}" for x in points.ravel())]))
        Path("t.csv").write_text("\n".join(rows) + "\n")
        assert cli.main(["train", "data=table", "data.train=t.csv", *settings, *SETTINGS]) == 0
        return load_checkpoint(Path("runs/a/best.pt")), capsys.readouterr().out

    return train


def test_names_are_kept_and_pair_left_and_right(train):
    content, said = train(NAMES)
    assert content.layout["names"] == NAMES and content.flip == FLIP
    assert "3 pairs and 2 points" in said


def test_names_that_the_labels_contradict_are_not_followed(train):
    wrong = [*NAMES[:4], "mouth_left_corner", "nose_tip", *NAMES[6:]]
    content, said = train(wrong)
    assert content.layout["names"] == wrong and content.flip is None
    assert re.search(r"\b9 faces.*\b50\b.*\b0\.\d{3}\b.*\b0\.300\b", said)


def test_layout_none_names_nothing(train):
    content, _ = train(NAMES, "layout=none")
    assert content.layout["names"] == [] and content.flip is None


def test_layout_none_keeps_which_numbers_points_have():
    named = ["0", "1", "7"]
    faces = Faces(Path(), np.array([b"a"]), np.zeros((1, 3, 2), np.float32), point_names=named)
    layout = settle_layout({"name": "none"}, faces, np.array([0]), np.ones(3, bool))
    assert layout.names == named and layout.flip_permutation() is None
