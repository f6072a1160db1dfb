"""MATLAB files a face, as 300W-LP and AFLW2000-3D have them."""

import cv2
import numpy as np
import pytest
from refusals import refused
from scipy.io import savemat

from landmarks.data.formats.mat_files import read_faces
from landmarks.data.reading.find_format import find_format

POINTS = np.array([[[1.5, 2], [30, 40], [7, 8], [9, 9]], [[3, 4], [50, 60.25], [9, 8], [7, 7]]])


@pytest.fixture
def write(tmp_path):
    """Write variables of the two faces, and their images; return the folder."""

    def write(*contents):
        for name, content in zip("ab", contents, strict=True):
            cv2.imwrite(str(tmp_path / f"{name}.jpg"), np.full((64, 64, 3), 99, np.uint8))
            savemat(tmp_path / f"{name}.mat", content)
        return str(tmp_path)

    return write


@pytest.mark.parametrize("variable", ["pt2d", "pts_2d", "pt3d_68", "own"])
def test_points_are_found_by_their_variable(write, tmp_path, variable):
    more = np.zeros((1, 4)) if variable == "pt3d_68" else np.zeros((0, 4))
    contents = [{variable: np.vstack([p.T + 1, more]), "Pose_Para": np.zeros(7)} for p in POINTS]
    if variable == "own":
        contents = [{variable: p + 1} for p in POINTS]
    named = variable if variable == "own" else None
    root = write(*contents)
    faces = read_faces(root, variable=named)
    assert np.allclose(faces.points, POINTS) and faces.rows.tolist() == [0, 1]
    assert np.allclose(read_faces(root, variable=named, one_based=False).points, POINTS + 1)
    assert find_format(tmp_path).name == "mat_files"


def test_several_variables_of_points_are_asked_about(write):
    contents = [{"pt2d": np.full((2, 21), 3), "pt3d_68": np.full((3, 68), 5)} for _ in "ab"]
    root = write(*contents)
    with refused("a.mat", "pt2d of 21 points", "pt3d_68 of 68 points", "data.variable=pt3d_68"):
        read_faces(root)
    assert read_faces(root, variable="pt3d_68").num_points == 68
    same = [{"pt2d": p.T, "pt3d_68": np.vstack([p.T, p.T[:1]]) + 9} for p in POINTS]
    assert np.allclose(read_faces(write(*same)).points, POINTS - 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"pts": np.zeros((2, 4))}, ["a.mat", "pts_2d", "pts", "data.variable=NAME"]),
        ({"pt2d": np.zeros((5, 4))}, ["a.mat", "pt2d", "5 x 4"]),
        ({"pt2d": "text"}, ["a.mat", "pt2d"]),
        ({"pt2d": np.ones((2, 5))}, ["b.mat", "pt2d", "4 points", 5]),
    ],
)
def test_what_is_malformed_is_named(write, content, said):
    root = write(content, {"pt2d": POINTS[1].T})
    with refused(*said):
        read_faces(root)


def test_other_files_are_named(write, tmp_path):
    root = write(*({"pt2d": p.T} for p in POINTS))
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n" * 20)
    with refused("a.mat", "7.3"):
        read_faces(root)
    for content in (b"nothing" * 100, b"1 2\n", b""):
        (tmp_path / "a.mat").write_bytes(content)
        with refused("a.mat", "MATLAB"):
            read_faces(root)
    (tmp_path / "a.mat").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    with refused("a.mat", "Git LFS", "git lfs pull"):
        read_faces(root)


def test_a_file_that_was_cut_off_is_named(write, tmp_path):
    root = write(*({"pt2d": p.T} for p in POINTS))
    whole = (tmp_path / "b.mat").read_bytes()
    for length in range(len(whole) - 8):  # the last bytes may fill up the file alone
        (tmp_path / "b.mat").write_bytes(whole[:length])
        with refused("b.mat"):
            read_faces(root)
