"""`.pts` files as their data sets and their copies write them."""

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.ibug import read_faces
from landmarks.errors import UserError

HEADER = "version: 1\nn_points:  68\n{\n"


@pytest.fixture
def faces():
    """Six faces of 68 points about (260, 230), 200 wide, on the grid of float32."""
    rng = np.random.default_rng(0)
    places = np.array([260, 230]) + rng.uniform(-100, 100, (6, 68, 2))
    return np.round(places, 2).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    """Write points (N, 68, 2), given from pixel (0, 0), as .pts files; return their folder."""

    def write(points, before=HEADER, after="}\n"):
        for i, face in enumerate(points):
            cv2.imwrite(str(tmp_path / f"image{i:05}.jpg"), np.full((400, 400, 3), 9 * i, np.uint8))
            lines = "".join(f"{x:.6f} {y:.6f}\n" for x, y in face)
            (tmp_path / f"image{i:05}.pts").write_text(before + lines + after)
        return str(tmp_path)

    return write


def test_merl_rav_s_signs_are_asked_about_and_read_as_answered(faces, write):
    as_written = faces + 1
    occluded, gone = np.zeros((2, 6, 68), bool)
    occluded[0, 30:40] = occluded[4, 7] = True
    gone[1, :17] = gone[4, 8] = True
    as_written[occluded] *= -1
    as_written[gone] = -1
    root = write(as_written)
    for missing in (None, -1):
        with pytest.raises(UserError, match=r"11 points .*=negative .*=absolute .*=none"):
            read_faces(root, missing=missing)
    placed = read_faces(root, missing="absolute").points
    assert np.array_equal(np.isnan(placed).all(axis=2), gone)
    assert np.allclose(placed[~gone], faces[~gone], atol=1e-4)
    hidden = read_faces(root, missing="negative").points
    assert np.array_equal(np.isnan(hidden).all(axis=2), gone | occluded)
    assert np.allclose(hidden[~(gone | occluded)], faces[~(gone | occluded)], atol=1e-4)
    assert np.allclose(read_faces(root, missing="none").points, as_written - 1, atol=1e-4)


@pytest.mark.parametrize("before", ["", "68\n", "\ufeff", "version: 1\nn_points: 68\n", "\n"])
def test_header_and_braces_may_be_left_out(faces, write, before):
    points = read_faces(write(faces + 1, before, "")).points
    assert np.allclose(points, faces, atol=1e-4)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("69\n", "", ("line 1", "n_points", 69, 68)),
        ("", "5\n", ("line 69", "'5'")),
        ("x y\n", "", ("line 1", "'x y'")),
        ("1 2 3\n", "", ("line 1", "'1 2 3'")),
        ("", "}\n", ("line 1",)),
        ("{\n", "", ("line 69", "'}'")),
    ],
)
def test_what_is_no_list_of_points_is_refused(faces, write, before, after, named):
    with refused("image00000.pts", *named):
        read_faces(write(faces, before, after))


def test_a_file_without_points_is_refused(faces, write, tmp_path):
    root = write(faces)
    for text in ("", "68\n", HEADER, HEADER + "}\n", "version: 1\n"):
        (tmp_path / "image00000.pts").write_text(text)
        with refused("image00000.pts, line"):
            read_faces(root)


def test_a_shorter_list_without_a_header_is_refused(faces, write, tmp_path):
    root = write(faces, "", "")
    path = tmp_path / "image00003.pts"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with refused("image00003.pts, line 1", 67, 68):
        read_faces(root)
