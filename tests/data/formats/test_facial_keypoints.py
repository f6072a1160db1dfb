"""Kaggle's Facial Keypoints: images in a column, points with gaps, a table of asked coordinates."""

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.facial_keypoints import POINTS, read_faces

SIDE = 12


@pytest.fixture
def made(write_facial_keypoints, tmp_path):
    return write_facial_keypoints(tmp_path, train=6, test=3, side=SIDE)


def test_images_points_and_names_are_those_of_the_table(made):
    faces = read_faces(str(made.root))
    assert list(faces.point_names) == POINTS and len(faces) == 6 and faces.scored_to == SIDE
    assert np.allclose(faces.points, made.points, atol=1e-4, equal_nan=True)
    assert np.isnan(faces.points).any() and not np.isnan(faces.points).all(2).any(1).all()
    for row, pixels in enumerate(made.pixels):
        assert np.array_equal(cv2.imread(faces.path(row), cv2.IMREAD_GRAYSCALE), pixels)
    assert len(read_faces(str(made.root), limit=2)) == 2


def test_test_faces_know_what_is_asked_of_them(made):
    faces = read_faces(str(made.root), part="test")
    assert [faces.name(row) for row in range(3)] == ["1.png", "2.png", "3.png"]
    assert faces.points is None and list(faces.point_names) == POINTS
    listed = zip(faces.asked.rows, faces.asked.faces, faces.asked.places, strict=True)
    features = [f"{p}_{axis}" for p in POINTS for axis in "xy"]
    assert [(row, face + 1, features[place]) for row, face, place in listed] == made.asked
    first = read_faces(str(made.root), part="test", limit=1)
    assert set(first.asked.faces.tolist()) == {0} and len(first) == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("training.csv", " 7\n", " 7 7\n", ("line 2, column 31 ('Image')", 145)),
        ("training.csv", " 7\n", " 300\n", ("line 2, column 31 ('Image')", "'300'")),
        ("training.csv", " 7\n", " 7x\n", ("line 2, column 31 ('Image')", "'7x'")),
        ("training.csv", ",Image", ",Picture", ("line 1", "'Image'")),
        ("training.csv", "nose_tip_y", "nose_y", ("line 1", "nose_tip_x")),
        ("test.csv", "\n2,", "\n1,", ("ImageId 1",)),
        ("IdLookupTable.csv", "\n2,1,", "\n2,9,", ("line 3, column 2", "'9'")),
        ("IdLookupTable.csv", "\n2,", "\n1,", ("RowId 1",)),
        ("IdLookupTable.csv", "nose_tip_x", "nose_tipx", ("line", "column 3", "nose_tip_x")),
    ],
)
def test_faults_are_named_by_line_and_column(made, file, old, new, named):
    path = made.root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with refused(file, *named):
        read_faces(str(made.root), part="train" if file == "training.csv" else "test")


def test_packed_and_missing_files_are_named(made):
    (made.root / "training.csv").rename(made.root / "training.zip")
    with refused("training.zip", "training.csv"):
        read_faces(str(made.root))
    (made.root / "IdLookupTable.csv").unlink()
    with refused("IdLookupTable.csv"):
        read_faces(str(made.root), part="test")
