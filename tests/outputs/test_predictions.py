import csv

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from landmarks.outputs.predictions import PredictionFile

NAMES = np.array(["a.jpg", "sub/ü.jpg", 'x, "y".jpg', "NA", "1e5"]).astype("U")
POINTS = np.random.default_rng(0).uniform(-30, 1400, (5, 3, 2)).astype(np.float32)
POINTS[0] = [[2.5, -0.6], [3.5, 0.4], [-1.5, 0.996]]
CONFIDENCE = np.linspace(0, 1, 15, dtype=np.float32).reshape(5, 3)


def write(folder, rounded=True, npz=False, points=POINTS, unlabelled=()):
    names = np.array([name.encode() for name in NAMES])
    with PredictionFile(folder, names, 3, rounded, npz, unlabelled) as file:
        for rows in (np.s_[0:2], np.s_[2:4], np.s_[4:5]):
            file.add(points[rows], CONFIDENCE[rows])


def read(folder):
    return pd.read_csv(
        folder / "predictions.csv", dtype={"file_name": str}, keep_default_na=False, na_values=[]
    )


def test_csv_in_whole_pixels(tmp_path):
    write(tmp_path)
    table = read(tmp_path)
    columns = [f"Point_{k}_{axis}" for k in range(3) for axis in "XY"]
    assert table.columns.tolist() == ["file_name", *columns]
    assert table["file_name"].tolist() == NAMES.tolist()
    assert np.array_equal(table[columns].to_numpy(), np.rint(POINTS).reshape(5, 6))
    assert table.dtypes[columns].tolist() == [np.dtype("int64")] * 6
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1] == "a.jpg,2,-1,4,0,-2,1"
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]


def test_csv_in_hundredths(tmp_path):
    write(tmp_path, rounded=False)
    values = read(tmp_path).iloc[:, 1:].to_numpy()
    assert np.abs(values - POINTS.reshape(5, 6)).max() < 0.0051
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1] == (
        "a.jpg,2.50,-0.60,3.50,0.40,-1.50,1.00"
    )


@pytest.mark.parametrize("rounded", [True, False])
def test_npz_is_not_rounded(tmp_path, rounded):
    write(tmp_path, rounded, npz=True)
    with np.load(tmp_path / "predictions.npz") as saved:
        assert sorted(saved) == ["confidence", "names", "points"]
        assert saved["names"].tolist() == NAMES.tolist()
        assert saved["points"].dtype == np.float32 and np.array_equal(saved["points"], POINTS)
        assert np.array_equal(saved["confidence"], CONFIDENCE)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["predictions.csv", "predictions.npz"]


def test_names_of_points_stand_in_the_npz_alone(tmp_path):
    names = np.array([b"a.jpg"])
    with PredictionFile(
        tmp_path, names, 3, False, True, point_names=["left eye", "nez, ü", "7"]
    ) as file:
        file.add(POINTS[:1], CONFIDENCE[:1])
    with np.load(tmp_path / "predictions.npz") as saved:
        assert saved["point_names"].tolist() == ["left eye", "nez, ü", "7"]
    assert read(tmp_path).columns[1] == "Point_0_X"


def test_the_header_is_that_of_labels(tmp_path):
    """Its columns have the names of landmarks.csv, with commas between."""
    write(tmp_path)
    header = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert header == "file_name,Point_0_X,Point_0_Y,Point_1_X,Point_1_Y,Point_2_X,Point_2_Y"


@pytest.mark.parametrize("npz", [True, False])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing_new_and_keeps_the_old(tmp_path, npz, error):
    write(tmp_path, npz=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    names = np.array([name.encode() for name in NAMES])
    with (
        pytest.raises(error, match="stop"),
        PredictionFile(tmp_path, names, 3, rounded=False, npz=npz) as file,
    ):
        file.add(POINTS[:2] + 7, CONFIDENCE[:2])
        raise error("stop")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("unlabelled", [[1], [0, 2], [0, 1, 2]])
def test_points_that_were_never_labelled_are_left_empty(tmp_path, rounded, unlabelled):
    write(tmp_path, rounded, npz=True, unlabelled=unlabelled)
    known = [k for k in range(3) if k not in unlabelled]
    fields = [line.split(",") for line in (tmp_path / "predictions.csv").read_text().splitlines()]
    for row in (1, 2, 4, 5):  # the third name holds a comma
        assert {fields[row][1 + 2 * k + i] for k in unlabelled for i in (0, 1)} == {""}
        assert "" not in {fields[row][1 + 2 * k + i] for k in known for i in (0, 1)}
    with np.load(tmp_path / "predictions.npz") as saved:
        for values, whole in ((saved["points"], POINTS), (saved["confidence"], CONFIDENCE)):
            assert np.isnan(values[:, unlabelled]).all()
            assert np.array_equal(values[:, known], whole[:, known])


@pytest.mark.parametrize("rounded", [True, False])
def test_not_finite_is_refused_in_one_sentence(tmp_path, rounded):
    points = POINTS.copy()
    points[3, 1, 0] = np.nan
    with refused("'NA' (Point_1)"):
        write(tmp_path, rounded, npz=True, points=points)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a\nb.png", "a\r\nb.png", 'a, "b".png', "a\tb.png", " a .png"])
def test_any_name_is_read_back(tmp_path, name):
    names = np.array([name.encode(), b"next.png"])
    with PredictionFile(tmp_path, names, 1, True, False) as written:
        written.add(np.zeros((2, 1, 2), np.float32), np.ones((2, 1), np.float32))
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert [row[0] for row in csv.reader(file)][1:] == [name, "next.png"]


@pytest.mark.parametrize("boxed", [True, False])
def test_faces_of_one_image_are_told_apart(tmp_path, boxed):
    names = np.array([b"b.png", b"a.png", b"b.png", b"c.png", b"b.png"])
    boxes = np.arange(20, dtype=np.float32).reshape(5, 4) / 4
    boxes[3] = np.nan
    with PredictionFile(tmp_path, names, 3, True, True, boxes=boxes if boxed else None) as file:
        file.add(POINTS[:2], CONFIDENCE[:2])
        file.add(POINTS[2:], CONFIDENCE[2:])
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert table["face"].tolist() == [0, 0, 1, 0, 2]
    edges = [column for column in table if column.startswith("box_")]
    assert len(edges) == 4 * boxed and table.shape == (5, 2 + 4 * boxed + 6)
    assert np.array_equal(table.iloc[:, -6:].to_numpy(), np.rint(POINTS).reshape(5, 6))
    with np.load(tmp_path / "predictions.npz") as saved:
        assert saved["face"].tolist() == [0, 0, 1, 0, 2] and ("boxes" in saved) == boxed
    if boxed:
        assert np.array_equal(table[edges].to_numpy(), boxes, equal_nan=True)
