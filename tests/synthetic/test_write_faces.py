import json
import re

import cv2
import numpy as np
import pandas as pd
import pytest

from landmarks.synthetic import write_faces as write
from landmarks.synthetic.paint_face import draw_face
from landmarks.synthetic.write_faces import write_faces


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces") / "root"
    root.mkdir()
    write_faces(root, train=6, test=4, seed=3)
    return root


def pictures(folder):
    return {path.name: path.read_bytes() for path in (folder / "images").iterdir()}


def test_layout_of_the_folder(written):
    found = sorted(str(p.relative_to(written)) for p in written.rglob("*") if p.suffix != ".jpg")
    assert found == [
        "test",
        "test/images",
        "test/landmarks.csv",
        "test/test_points.csv",
        "train",
        "train/images",
        "train/landmarks.csv",
    ]
    assert len(pictures(written / "train")) == 6
    assert len(pictures(written / "test")) == 4


@pytest.mark.parametrize(("part", "number", "count"), [("train", 0, 6), ("test", 1, 4)])
def test_landmarks_are_the_rounded_points(written, part, number, count):
    table = pd.read_csv(written / part / "landmarks.csv", sep="\t")
    expected = [f"Point_{k}_{axis}" for k in range(971) for axis in "XY"]
    assert table.columns.tolist() == ["file_name", *expected]
    assert len(table) == count and table.file_name.is_unique
    assert all(dtype == np.int64 for dtype in table.dtypes.iloc[1:])
    for i in range(count):
        assert re.fullmatch(r"[0-9a-f]{32}\.jpg", table.file_name[i])
        image, points = draw_face(np.random.default_rng([3, number, i]))
        row = table.iloc[i, 1:].to_numpy(dtype=int).reshape(971, 2)
        assert np.array_equal(row, np.rint(points))
        stored = cv2.imread(str(written / part / "images" / table.file_name[i]))
        assert stored.shape == image.shape
        assert np.abs(stored[..., ::-1].astype(int) - image).mean() < 12


def test_test_points_are_lists_of_thirty_indices(written):
    table = pd.read_csv(written / "test" / "test_points.csv", sep="\t")
    truth = pd.read_csv(written / "test" / "landmarks.csv", sep="\t")
    assert table.columns.tolist() == ["file_name", "point_index_list"]
    assert table.file_name.tolist() == truth.file_name.tolist()
    lists = [json.loads(text) for text in table.point_index_list]
    for indices in lists:
        assert len(set(indices)) == 30 and min(indices) >= 0 and max(indices) < 971
    assert any(indices != sorted(indices) for indices in lists)
    assert len({tuple(indices) for indices in lists}) == len(lists)


def test_a_face_does_not_depend_on_the_counts(written, tmp_path):
    write_faces(tmp_path / "fewer", train=3, test=1, seed=3)
    for part in ("train", "test"):
        few, many = pictures(tmp_path / "fewer" / part), pictures(written / part)
        assert few.items() <= many.items()


def test_another_seed_gives_other_faces(written, tmp_path):
    write_faces(tmp_path / "other", train=2, test=0, seed=4)
    other = pictures(tmp_path / "other" / "train")
    assert not other.keys() & pictures(written / "train").keys()
    assert not set(other.values()) & set(pictures(written / "train").values())


def test_many_processes_write_the_same_files(written, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_POOL_FROM", 5)
    monkeypatch.setattr(write, "count_cores", lambda: 2)
    write_faces(tmp_path / "pool", train=6, test=4, seed=3)
    for part in ("train", "test"):
        assert pictures(tmp_path / "pool" / part) == pictures(written / part)
        for name in ("train/landmarks.csv", "test/landmarks.csv", "test/test_points.csv"):
            assert (tmp_path / "pool" / name).read_bytes() == (written / name).read_bytes()
