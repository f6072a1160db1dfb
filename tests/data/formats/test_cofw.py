"""COFW's MATLAB files: images, points, occlusion and boxes, as MATLAB's HDF5 keeps them."""

import errno
import random
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.cofw import read_faces
from landmarks.data.reading.find_format import find_format
from landmarks.errors import UserError

h5py = pytest.importorskip("h5py")
NUM_POINTS = 29


@pytest.fixture
def known():
    """Three faces: images, points from the first pixel, occlusion, boxes x, y, width, height."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (40, 50, 3), np.uint8) for _ in range(2)]
    images.append(rng.integers(0, 255, (30, 60), np.uint8))
    points = rng.integers(2, 30, (3, NUM_POINTS, 2)) + 0.25
    occluded = rng.integers(0, 2, (3, NUM_POINTS))
    return images, points, occluded, np.array([[3.0, 4, 20, 21], [1, 1, 9, 9], [5, 6, 7, 8]])


@pytest.fixture
def write(tmp_path, known):
    """Write a file of the real one's form, with changes of its variables; return its folder."""

    def write(folder="COFW_color", name="COFW_train_color.mat", end="Tr", **changes):
        images, points, occluded, boxes = known
        (tmp_path / folder).mkdir(exist_ok=True)
        with h5py.File(tmp_path / folder / name, "w", userblock_size=512) as file:
            cells = np.empty((1, len(images)), h5py.ref_dtype)
            for i, image in enumerate(images):
                rgb = image if image.ndim == 2 else image[:, :, ::-1]
                cells[0, i] = file.create_dataset(f"#refs#/{i}", data=rgb.T).ref
            phis = np.hstack([points[:, :, 0] + 1, points[:, :, 1] + 1, occluded])
            variables = {f"Is{end}": cells, f"phis{end}": phis.T, f"bboxes{end}": boxes.T}
            for key, value in {**variables, **changes}.items():
                if value is not None:
                    dtype = h5py.ref_dtype if value is cells else None
                    file.create_dataset(key, data=value, dtype=dtype)
        with (tmp_path / folder / name).open("rb+") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
        return tmp_path

    return write


@pytest.mark.parametrize("name", ["COFW_train_color", "COFW_test_color", "COFW_test"])
def test_images_points_occlusion_and_boxes_are_read(write, known, name):
    part = name.split("_")[1]
    images, points, occluded, boxes = known
    root = write("COFW_color", f"{name}.mat", {"train": "Tr", "test": "T"}[part])
    faces = read_faces(str(root), part=part)
    assert faces.points.tolist() == points.tolist()
    assert faces.visible.tolist() == np.where(occluded, 1, 2).tolist()
    assert faces.boxes[0].tolist() == [2, 3, 22, 24] and faces.boxes.shape == boxes.shape
    assert faces.rows.tolist() == [0, 1, 2] and len(faces.point_names) == 0
    for row, image in enumerate(images):
        assert np.array_equal(cv2.imread(faces.path(row), cv2.IMREAD_UNCHANGED), image)


def test_occluded_points_can_be_left_out_and_a_second_reading_asks_no_file(
    write, known, monkeypatch
):
    root = str(write())
    read_faces(root)
    faces = read_faces(root, occluded="mask")
    assert np.array_equal(np.isnan(faces.points[:, :, 0]), known[2] == 1)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert len(read_faces(root, limit=2)) == 2


def test_data_auto_knows_it(write, tmp_path):
    root = write()
    for place in (root, root / "COFW_color", root / "COFW_color/COFW_train_color.mat"):
        found = find_format(place)
        assert found.name == "cofw" and read_faces(**found.settings).num_points == NUM_POINTS


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"phisTr": None}, ("phisTr", "IsTr", "bboxesTr")),
        ({"phisTr": np.ones((87, 4))}, ("phisTr", 3, "4 x 87")),
        ({"phisTr": np.full((87, 3), np.nan)}, ("phisTr(1, 1)",)),
        ({"phisTr": np.full((87, 3), 5.0)}, ("phisTr", "occlusion", 5)),
        ({"phisTr": np.ones((88, 3))}, (88, 4)),
        ({"bboxesTr": np.ones((3, 3))}, (87, 3)),
        ({"IsTr": np.ones((1, 3))}, ("IsTr{1}",)),
        ({"IsTr": ["a", "b", "c"]}, ("IsTr{1}",)),
        ({"phisTr": h5py.Empty("f8")}, ("phisTr",)),
    ],
)
def test_what_is_malformed_is_named(write, changes, named):
    root = write(**changes)
    with refused("COFW_train_color.mat", *named):
        read_faces(str(root))


def test_other_places_files_and_a_missing_library_are_named(write, tmp_path, monkeypatch):
    root = write()
    with refused("COFW_test_color.mat"):
        read_faces(str(root), part="test")
    with refused(f"data.root={root / 'COFW_color'}"):
        read_faces(str(root / "COFW_color" / "deeper"))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "h5py", None)
        with refused("h5py", "pip install 'landmarks[cofw]'"):
            read_faces(str(root))
    (root / "COFW_color/COFW_train_color.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(600))
    with refused("COFW_train_color.mat", "7.3"):
        read_faces(str(root))


def test_a_full_disk_is_not_the_file_s_fault(write, monkeypatch):
    root = write()

    def refuse(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises((OSError, UserError), match=r"No space left|full") as refused:
        read_faces(str(root))
    assert "MATLAB" not in str(refused.value)


@pytest.mark.parametrize("kind", [LookupError, RuntimeError, TypeError, ValueError])
@pytest.mark.parametrize("place", ["_name", "_find_table"])
def test_a_fault_of_this_program_is_not_the_file_s(write, monkeypatch, place, kind):
    root = write()

    def fail(*given):
        raise kind("ours")

    monkeypatch.setattr(f"landmarks.data.formats.cofw.{place}", fail)
    with pytest.raises(kind, match="ours"):
        read_faces(str(root))


def test_what_was_cut_off_damaged_or_not_fetched_is_named(write, tmp_path):
    root = write()
    path = root / "COFW_color/COFW_train_color.mat"
    whole, rng = path.read_bytes(), random.Random(0)
    cut = [whole[:length] for length in (0, 40, 600, len(whole) // 2, len(whole) - 1)]
    damaged = [bytearray(whole) for _ in range(150)]
    for one in damaged:
        for _ in range(30):
            one[rng.randrange(len(whole))] = rng.randrange(256)
    for content in (*cut, *damaged):
        path.write_bytes(content)
        try:
            read_faces(str(root), cache_dir=str(tmp_path / "cache"))
        except UserError as error:
            assert "COFW_train_color.mat" in str(error)
        else:
            assert content not in cut
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with refused("COFW_train_color.mat", "Git LFS"):
        read_faces(str(root))
