import math
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from landmarks.geometry import crop_matrix, transform
from landmarks.outputs.pictures import (
    PREDICTED,
    TILE,
    TRUTH,
    arrange,
    draw_face,
    drawing,
    save_curves,
    save_picture,
)


def centroid(tile, colour, ground):
    """The middle of what was painted in a colour over a grey ground."""
    change = np.abs(tile.astype(float) - ground).sum(2)
    full = np.abs(np.array(colour, float) - ground).sum()
    weights = np.clip(change / full, 0, 1)
    rows, columns = np.indices(weights.shape)
    return (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()


@pytest.mark.parametrize(("width", "height"), [(320, 320), (100, 160), (400, 300), (37, 20)])
@pytest.mark.parametrize("which", ["truth", "predicted"])
@pytest.mark.parametrize("at", [(0.5, 0.5), (0.31, 0.62)])
def test_a_point_is_drawn_where_it_is(width, height, which, at):
    image = np.zeros((height, width, 3), np.uint8)
    point = np.array([[at[0] * width, at[1] * height]])
    tile = draw_face(image, **{"truth": None, "predicted": None, which: point})
    assert tile.shape == (TILE, TILE, 3) and tile.dtype == np.uint8
    expected = transform(crop_matrix("letterbox", width, height, TILE), point)[0]
    colour = TRUTH if which == "truth" else PREDICTED
    assert centroid(tile, colour, 0) == pytest.approx(expected, abs=0.15)
    x, y = np.rint(expected).astype(int)
    assert tile[y, x].tolist() == list(colour)


def test_the_face_is_drawn_under_its_points():
    image = np.full((60, 120, 3), (10, 20, 30), np.uint8)
    tile = draw_face(image, None, None)
    assert tile[TILE // 2, TILE // 2].tolist() == [10, 20, 30]
    assert tile[5, 5].tolist() == [0, 0, 0]
    assert (draw_face(image, np.array([[60.0, 30.0]]), None) != tile).any()
    assert image.max() == 30  # not drawn into


def test_missing_and_far_points_draw_nothing():
    image = np.zeros((50, 50, 3), np.uint8)
    points = np.array([[math.nan, 3], [3, math.nan], [1e9, 20], [-1e9, 1e9]])
    assert draw_face(image, points, points).max() == 0


def test_truth_and_prediction_have_their_own_colours():
    image = np.zeros((TILE, TILE, 3), np.uint8)
    tile = draw_face(image, np.array([[50.0, 60.0]]), np.array([[200.0, 210.0]]))
    assert tile[60, 50].tolist() == list(TRUTH) and tile[210, 200].tolist() == list(PREDICTED)


def tiles(count, size=8):
    return [np.full((size, size, 3), 20 + 10 * i, np.uint8) for i in range(count)]


@pytest.mark.parametrize(
    ("count", "columns", "shape"),
    [(1, 4, (8, 8)), (4, 4, (8, 32)), (5, 4, (16, 32)), (6, 2, (24, 16))],
)
def test_tiles_make_a_grid(tmp_path, count, columns, shape):
    save_picture(tmp_path / "faces.png", arrange(tiles(count), columns))
    grid = cv2.imread(str(tmp_path / "faces.png"))
    assert grid.shape == (*shape, 3)
    for i in range(shape[0] // 8 * (shape[1] // 8)):
        row, column = divmod(i, shape[1] // 8)
        expected = 20 + 10 * i if i < count else 0
        assert (grid[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] == expected).all()
    assert [path.name for path in tmp_path.iterdir()] == ["faces.png"]


@pytest.mark.parametrize("name", ["faces.jpg", "faces.png"])
def test_the_name_s_ending_says_the_format(tmp_path, name):
    save_picture(tmp_path / name, arrange(tiles(2)))
    start = (tmp_path / name).read_bytes()[:4]
    assert start == (b"\x89PNG" if name.endswith("png") else b"\xff\xd8\xff\xe0")


@pytest.mark.parametrize("epochs", [1, 100])
def test_curves_are_written_and_readable(tmp_path, epochs):
    history = [
        {"epoch": i + 1, "train_loss": 9 / (i + 1), "val_mse": 5 / (i + 1), "val_nme": 0.1}
        for i in range(epochs)
    ]
    save_curves(tmp_path / "curves.png", history)
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape == (360, 1200, 3) and picture.min() < 100 and picture.mean() > 200
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7])
def test_curves_name_whole_epochs(epochs, tmp_path, monkeypatch):
    ticks = []

    def keep(figure, *_, **__):
        ticks.extend(tick for axis in figure.axes for tick in axis.get_xticks())
        raise KeyboardInterrupt

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", keep)
    row = {"train_loss": 1.0, "val_mse": 2.0, "val_nme": 0.1}
    with pytest.raises(KeyboardInterrupt):
        save_curves(tmp_path / "curves.png", [{"epoch": i + 1, **row} for i in range(epochs)])
    assert ticks and all(tick == round(tick) for tick in ticks)


def test_curves_that_are_not_finite_are_drawn_too(tmp_path):
    history = [
        {"epoch": 1, "train_loss": math.nan, "val_mse": math.inf, "val_nme": 0.0},
        {"epoch": 2, "train_loss": 1.0, "val_mse": 2.0, "val_nme": 0.1},
    ]
    save_curves(tmp_path / "curves.png", history)
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


@pytest.mark.parametrize(("width", "height"), [(33_000, 20), (20, 70_000), (40_000, 1), (1, 1)])
def test_a_face_is_drawn_whatever_its_photos_sides(width, height):
    image = np.full((height, width, 3), 90, np.uint8)
    middle = np.array([[(width - 1) / 2, (height - 1) / 2]])
    tile = draw_face(image, middle, None)
    assert np.hypot(*(np.argwhere(tile[:, :, 1] == 220).mean(0) - (TILE - 1) / 2)) < 1.5
    assert (tile == 90).all(2).any() or min(width, height) < 30


def test_curves_need_no_backend_of_a_notebook(tmp_path):
    code = (
        "from pathlib import Path; from landmarks.outputs.pictures import save_curves;"
        "row = {'epoch': 1, 'train_loss': 1.0, 'val_mse': 2.0, 'val_nme': 1.0};"
        "save_curves(Path('a.png'), [row])"
    )
    named = {**os.environ, "MPLBACKEND": "module://of_a_notebook.that_is_not_here"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=named, check=True)
    assert (tmp_path / "a.png").is_file()


def test_a_picture_that_fails_is_said_once_and_ends_nothing(tmp_path, caplog):
    for _ in range(2):
        with drawing(tmp_path):
            raise OSError(28, "No space left on device")
    assert len(caplog.records) == 1 and "No space left on device" in caplog.text
    with pytest.raises(KeyboardInterrupt), drawing(tmp_path):
        raise KeyboardInterrupt
