from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from landmarks.data.faces import Faces
from landmarks.data.split import load_split, save_split, split_faces
from landmarks.errors import UserError


def make_faces(count, rows=None):
    names = np.array([f"{i:03d}.jpg".encode() for i in range(count)])
    return Faces(Path("images"), names, source="labels.csv", rows=rows)


@pytest.fixture
def groups(tmp_path):
    """A table of 20 groups, five faces each, neighbours apart."""
    lines = [f"{i:03d}.jpg,earth,person {i % 20}\n" for i in reversed(range(100))]
    (tmp_path / "meta.csv").write_text("file_name,planet,person\n" + "".join(lines))
    return {"by": "groups", "file": str(tmp_path / "meta.csv"), "column": "person"}


@pytest.mark.parametrize("by", ["blocks", "random", "groups"])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("rows", [None, np.r_[0:30, 45:100]])
def test_every_row_once(by, share, rows, groups):
    faces = make_faces(100, rows)
    settings = groups if by == "groups" else {"by": by}
    train, validation = split_faces(faces, share=share, **settings)
    used = np.arange(100) if rows is None else rows
    assert np.sort(np.r_[train, validation]).tolist() == used.tolist()
    assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    least = round(share * len(used))
    assert least <= len(validation) <= least + (4 if by == "groups" else 0)


def test_blocks_are_the_last_rows():
    train, validation = split_faces(make_faces(10), share=0.3)
    assert train.tolist() == list(range(7)) and validation.tolist() == [7, 8, 9]


def test_random_follows_the_seed():
    one, again, other = (
        split_faces(make_faces(100), by="random", seed=seed)[1].tolist() for seed in (1, 1, 2)
    )
    assert one == again != other
    assert one != list(range(90, 100))


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_groups_stay_together(groups, separator):
    file = Path(groups["file"])
    file.write_text(file.read_text().replace(",", separator))
    train, validation = split_faces(make_faces(100), share=0.2, **groups)
    assert not set(train % 20) & set(validation % 20)
    assert len(validation) == 20
    other = split_faces(make_faces(100), share=0.2, seed=1, **groups)[1]
    assert set(other % 20) != set(validation % 20)


def test_real_groups_stay_together(faces68):
    meta = pd.read_csv(faces68 / "train/meta.csv", sep="\t")
    faces = Faces(faces68, meta["file_name"].to_numpy("S"))
    train, validation = split_faces(faces, by="groups", file=str(faces68 / "train/meta.csv"))
    assert not set(meta["group"][train]) & set(meta["group"][validation])
    assert len(train) + len(validation) == len(meta) and len(validation) >= len(meta) // 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": None}, "needs split.file=FILE"),
        ({"file": "nowhere.csv"}, "found nowhere.csv"),
        ({"column": "age"}, "'age' are needed"),
        ({"column": "planet"}, "holds too few groups"),
    ],
)
def test_groups_that_do_not_fit(groups, change, said):
    with pytest.raises(UserError, match=said):
        split_faces(make_faces(100), **{**groups, **change})


def test_a_face_without_group_is_named(groups):
    with pytest.raises(UserError, match=r"2 faces have no group, '100\.jpg' first"):
        split_faces(make_faces(102), **groups)


def test_too_few_faces():
    with pytest.raises(UserError, match="at least 2 faces"):
        split_faces(make_faces(1))
    assert [len(part) for part in split_faces(make_faces(2))] == [1, 1]


def test_saved_and_loaded(tmp_path):
    faces = make_faces(50)
    split = split_faces(faces, by="random", share=0.3)
    save_split(tmp_path / "split.npz", faces, *split)
    again = load_split(tmp_path / "split.npz", faces)
    assert [part.tolist() for part in again] == [part.tolist() for part in split]
    assert [path.name for path in tmp_path.iterdir()] == ["split.npz"]


@pytest.mark.parametrize("change", ["fewer", "renamed", "reordered"])
def test_changed_faces_are_refused(tmp_path, change):
    faces = make_faces(50)
    save_split(tmp_path / "split.npz", faces, *split_faces(faces))
    names = faces.names.copy()
    if change == "fewer":
        names = names[:-1]
    elif change == "renamed":
        names[3] = b"new.jpg"
    else:
        names[[4, 5]] = names[[5, 4]]
    with pytest.raises(UserError, match=r"labels\.csv is not what this run was split on"):
        load_split(tmp_path / "split.npz", replace(faces, names=names))


def test_more_faces_at_the_end_keep_the_split(tmp_path):
    faces = make_faces(50)
    split = split_faces(faces)
    save_split(tmp_path / "split.npz", faces, *split)
    again = load_split(tmp_path / "split.npz", make_faces(60))
    assert [part.tolist() for part in again] == [part.tolist() for part in split]
