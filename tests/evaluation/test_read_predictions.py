"""Predictions of files: what is read, which faces they are of, and what is refused."""

import csv
import random
from contextlib import suppress

import numpy as np
import pytest
from refusals import refused

from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.evaluation.read_predictions import match_faces, read_predictions
from landmarks.outputs.predictions import PredictionFile

NAMES = np.array([b"a.jpg", b"b, c.jpg", b"d.jpg"])


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(-5, 300, (3, 4, 2)).astype(np.float32)


def write(folder, names, points, boxes=None, point_names=()):
    with PredictionFile(
        folder, names, 4, False, True, boxes=boxes, point_names=point_names
    ) as file:
        file.add(points, np.full(points.shape[:2], 0.5, np.float32))


def test_what_predict_writes_is_read(tmp_path, points):
    write(tmp_path, NAMES, points)
    exact = read_predictions(tmp_path / "predictions.npz", tmp_path / "scratch")
    assert isinstance(exact.points, np.memmap)  # 100,000 faces must not fill the memory
    np.testing.assert_array_equal(exact.points, points)
    assert exact.names.tolist() == NAMES.tolist() and (exact.confidence == 0.5).all()
    text = read_predictions(tmp_path / "predictions.csv", tmp_path / "scratch")
    np.testing.assert_allclose(text.points, points, atol=0.0051)
    assert text.names.tolist() == NAMES.tolist() and text.confidence is None


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("mark", ["", "M"])
def test_tables_of_the_contest_kind_are_read(tmp_path, points, separator, mark):
    header = ["file_name", *(f"Point_{mark}{i // 2}_{'XY'[i % 2]}" for i in range(8))]
    with (tmp_path / "p.csv").open("w", newline="") as file:
        table = csv.writer(file, delimiter=separator, lineterminator="\n")
        table.writerow(header)
        table.writerows([f"{i}.jpg", *face.ravel().tolist()] for i, face in enumerate(points))
    found = read_predictions(tmp_path / "p.csv", tmp_path / "scratch")
    np.testing.assert_array_equal(found.points, points)
    assert found.names.tolist() == [b"0.jpg", b"1.jpg", b"2.jpg"]


def test_names_of_points_are_read(tmp_path, points):
    named = ["left eye", "nose, tip", "ü", "7"]
    write(tmp_path, NAMES, points, point_names=named)
    assert read_predictions(tmp_path / "predictions.npz", tmp_path / "s").point_names == named
    assert not read_predictions(tmp_path / "predictions.csv", tmp_path / "s").point_names
    write(tmp_path, NAMES, points)
    assert not read_predictions(tmp_path / "predictions.npz", tmp_path / "s").point_names


@pytest.mark.parametrize(
    "named",
    [
        ["left_eye", "Nose", "right_eye", "chin"],
        ["ear0", "eye1", "nose2", "lip3"],  # no contest's columns, though they count
        ["eye1", "eye2", "nose", "chin"],
    ],
)
def test_a_table_names_points_by_its_columns(tmp_path, points, named):
    header = ",".join(["file_name", *(f"{name}_{axis}" for name in named for axis in "xy")])
    rows = [",".join([f"{i}.jpg", *map(str, face.ravel())]) for i, face in enumerate(points)]
    (tmp_path / "p.csv").write_text("\n".join([header, *rows]))
    found = read_predictions(tmp_path / "p.csv", tmp_path / "scratch")
    assert list(found.point_names) == named
    np.testing.assert_allclose(found.points, points, rtol=1e-6)


@pytest.mark.parametrize("named", [["a", "b", "c"], ["a", "b", "c", "c"], [["a", "b", "c", "d"]]])
def test_names_that_are_not_those_of_the_points_are_refused(tmp_path, points, named):
    path = tmp_path / "named.npz"
    np.savez(path, names=["a", "b", "c"], points=points, point_names=named)
    with refused("named.npz", "point_names", 4):
        read_predictions(path, path)


def test_several_faces_of_an_image_come_in_order(tmp_path, points):
    names = np.array([b"a.jpg", b"a.jpg", b"b.jpg"])
    write(tmp_path, names, points, np.arange(12, dtype=np.float32).reshape(3, 4))
    faces = Faces(tmp_path, names, points)
    for kind in ("npz", "csv"):
        path = tmp_path / f"predictions.{kind}"
        found = read_predictions(path, tmp_path / "scratch")
        rows, at = match_faces(found, faces, path)
        assert rows.tolist() == at.tolist() == [0, 1, 2]
        np.testing.assert_allclose(found.points, points, atol=0.0051)


def test_faces_are_found_by_name_and_only_those_that_can_be_used(tmp_path, points):
    names = np.array([b"x.jpg", b"d.jpg", b"a.jpg", b"b, c.jpg"])
    labelled = np.zeros((4, 4, 2), np.float32)
    faces = Faces(tmp_path, names, labelled, rows=np.array([0, 1, 2]))
    write(tmp_path, NAMES, points)
    path = tmp_path / "predictions.npz"
    rows, at = match_faces(read_predictions(path, path), faces, path)
    assert rows.tolist() == [1, 2] and at.tolist() == [2, 0]


def test_wrong_files_are_refused(tmp_path, points):
    path = tmp_path / "predictions.npz"
    write(tmp_path, NAMES, points)
    whole = path.read_bytes()
    refused = {
        "cut.npz": whole[: len(whole) // 2],
        "torn.csv": b"file_name,Point_0_X,Point_0_Y\na.jpg,1\n",
        "empty.csv": b"file_name,Point_0_X,Point_0_Y\n",
        "words.csv": b"file_name,Point_0_X,Point_0_Y\na.jpg,1,left\n",
        "other.csv": b"name,colour\na.jpg,red\n",
        "binary.csv": b"\x89PNG\r\n",
    }
    for name, content in refused.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            read_predictions(tmp_path / name, tmp_path / "scratch")
    with pytest.raises(UserError, match=r"gone\.csv"):
        read_predictions(tmp_path / "gone.csv", tmp_path / "scratch")
    np.savez_compressed(path, names=np.array(NAMES), points=points)
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] = rng.randrange(256)
        path.write_bytes(damaged)
        with suppress(UserError):
            read_predictions(path, tmp_path / "scratch")
    np.savez(tmp_path / "flat.npz", names=np.array(["a"]), points=np.zeros((1, 8), np.float32))
    with pytest.raises(UserError, match=r"flat\.npz"):
        read_predictions(tmp_path / "flat.npz", tmp_path / "scratch")


def test_other_faces_and_other_points_are_refused(tmp_path, points):
    write(tmp_path, NAMES, points)
    path = tmp_path / "predictions.npz"
    found = read_predictions(path, path)
    others = Faces(tmp_path, np.array([b"A.JPG", b"z.jpg"]), np.zeros((2, 4, 2), np.float32))
    with pytest.raises(UserError, match=r"3 of 3 names.*A\.JPG"):
        match_faces(found, others, path)
    with refused(4, 5):
        match_faces(found, Faces(tmp_path, NAMES, np.zeros((3, 5, 2), np.float32)), path)
