from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from landmarks.data.faces import Faces
from landmarks.data.split import (
    load_split,
    load_training_names,
    load_validation_rows,
    save_split,
    split_faces,
)


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
    assert abs(len(validation) - round(share * len(used))) <= (2 if by == "groups" else 0)


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
    assert len(train) + len(validation) == len(meta) and len(validation) == round(len(meta) / 10)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": None}, ["split.file=FILE", "file_name", "'person'"]),
        ({"file": "nowhere.csv"}, ["nowhere.csv"]),
        ({"column": "age"}, ["'age'"]),
        ({"column": "planet"}, [100, "'planet'"]),
    ],
)
def test_groups_that_do_not_fit(groups, change, said):
    with refused(*said):
        split_faces(make_faces(100), **{**groups, **change})


def test_a_face_without_group_is_named(groups):
    with refused(2, "labels.csv", "'100.jpg'"):
        split_faces(make_faces(102), **groups)


def write_groups(path, rows, encoding="utf-8", head="file_name,group"):
    path.write_bytes("\n".join([head, *(",".join(row) for row in rows), ""]).encode(encoding))
    return {"by": "groups", "file": str(path)}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"encoding": "utf-8-sig"},
        {"head": "file_name, group"},
        {"head": "file_name,NA", "column": "NA"},
        {"head": "person,file_name", "column": "file_name"},
    ],
)
@pytest.mark.parametrize("values", [["NA", "null", "None", "nan", "DE"], ["  1", " 2 ", "3", "4"]])
def test_whatever_text_is_a_group(tmp_path, change, values):
    column = change.get("column", "group")
    change = {key: value for key, value in change.items() if key != "column"}
    rows = [[f"{i:03d}.jpg", values[i % len(values)]] for i in range(60)]
    rows = [row[::-1] for row in rows] if column == "file_name" else rows
    file = write_groups(tmp_path / "groups.csv", rows, **change)
    train, validation = split_faces(make_faces(60), share=0.25, column=column, **file)
    assert len(train) + len(validation) == 60 and 12 <= len(validation) <= 15
    if column != "file_name":
        assert not set(train % len(values)) & set(validation % len(values))


def test_groups_of_a_parquet_file(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"file_name": [f"{i:03d}.jpg" for i in range(40)], "group": range(40)})
    table["group"] %= 8
    table.to_parquet(tmp_path / "groups.parquet")
    file = str(tmp_path / "groups.parquet")
    train, validation = split_faces(make_faces(40), by="groups", file=file)
    assert len(validation) == 5 and not set(train % 8) & set(validation % 8)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ["groups.csv", "'group'"]),
        (b"file_name,group\n", ["groups.csv", "no rows"]),
        (
            "file_name,group\n000.jpg,Jos\u00e9\n".encode("latin-1"),
            ["groups.csv", "line 2", "UTF-8"],
        ),
        (b"file_name,group\n000.jpg,1,2\n", ["groups.csv", "line 2", 3]),
        (b"file_name,group\n000.jpg,\n001.jpg, \n", ["2 faces", "'000.jpg'"]),
    ],
)
def test_a_damaged_file_of_groups_is_one_sentence(tmp_path, content, said):
    (tmp_path / "groups.csv").write_bytes(content)
    with refused(*said):
        split_faces(make_faces(2), by="groups", file=str(tmp_path / "groups.csv"))


@pytest.mark.parametrize("by", ["blocks", "random", "groups"])
@pytest.mark.parametrize("rows", [None, np.r_[0:30, 45:100]])
def test_faces_of_one_image_stay_on_one_side(tmp_path, by, rows):
    """Images show three faces or so, whose rows are apart; groups name single faces of them."""
    images = np.random.default_rng(0).integers(0, 33, 100)
    names = np.array([f"{i:03d}.jpg".encode() for i in images])
    faces = replace(make_faces(100, rows), names=names)
    listed = [[name.decode(), str(face // 2)] for face, name in enumerate(names)]
    joined = [[name, group] for name, group in listed if name < "020.jpg"]  # chains of images
    joined += [[name, name] for name, _ in listed if name >= "020.jpg"]
    file = write_groups(tmp_path / "groups.csv", joined) if by == "groups" else {"by": by}
    for seed in range(5):
        train, validation = split_faces(faces, share=0.2, seed=seed, **file)
        assert not set(images[train]) & set(images[validation])
        if by == "groups":
            groups = dict(joined)
            sides = [{groups[names[row].decode()] for row in part} for part in (train, validation)]
            assert not sides[0] & sides[1]
        assert 10 <= len(validation) <= 25


def test_an_image_is_one_however_its_name_is_spelled(tmp_path):
    names = [b"a/1.jpg", b"./a/1.jpg", b"a//1.jpg", b"a/./1.jpg", b"a/2.jpg", b"a/2.jpeg"]
    faces = Faces(Path("images"), np.array(names), source="labels.csv")
    train, validation = split_faces(faces, share=0.4)
    assert train.tolist() == [0, 1, 2, 3] and validation.tolist() == [4, 5]
    (tmp_path / "g.csv").write_text("file_name,group\n./a/1.jpg,x\n./a/2.jpg,y\na/2.jpeg,y\n")
    _, validation = split_faces(faces, by="groups", share=0.4, file=str(tmp_path / "g.csv"))
    assert validation.tolist() == [4, 5]


def test_faces_of_one_image_alone_cannot_be_split():
    faces = replace(make_faces(5), names=np.array([b"a.jpg"] * 5))
    with refused(5):
        split_faces(faces)


@pytest.mark.parametrize(
    ("sizes", "wanted", "warned"),
    [
        ([600] + [20] * 20, {100}, False),  # not the one that holds most of the faces
        ([300, 300, 300, 100], {100}, False),
        ([150, 100, 750], {100}, False),
        ([600, 400], {400}, True),
        ([995, 5], {5}, True),
        ([90, 30, 880], {90, 120}, False),
    ],
)
def test_groups_of_the_wanted_size_are_chosen(tmp_path, sizes, wanted, warned, caplog):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rows = [[f"{i:03d}.jpg", str(group)] for i, group in enumerate(groups)]
    file = write_groups(tmp_path / "groups.csv", rows)
    for seed in range(4):
        _, validation = split_faces(make_faces(1000), seed=seed, **file)
        assert len(validation) in wanted
    assert ("split.share=0.1 asks for 100" in caplog.text) == warned


def test_too_few_faces():
    with refused(2):
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
    with refused("labels.csv"):
        load_split(tmp_path / "split.npz", replace(faces, names=names))


@pytest.mark.parametrize("kept", [0, 60, 400])
def test_a_damaged_split_is_named(tmp_path, kept):
    path, faces = tmp_path / "split.npz", make_faces(50)
    save_split(path, faces, *split_faces(faces))
    path.write_bytes(path.read_bytes()[:kept])
    with refused(path):
        load_split(path, faces)
    for load in (load_validation_rows, load_training_names):
        with refused("split.npz"):
            load(path)


def test_more_faces_at_the_end_keep_the_split(tmp_path):
    faces = make_faces(50)
    split = split_faces(faces)
    save_split(tmp_path / "split.npz", faces, *split)
    again = load_split(tmp_path / "split.npz", make_faces(60))
    assert [part.tolist() for part in again] == [part.tolist() for part in split]


@pytest.mark.parametrize("by", ["blocks", "random"])
def test_folds_part_all_faces_into_sets_of_one_size(tmp_path, by):
    names = np.array([b"%d.jpg" % (i // 2) for i in range(46)])  # two faces an image
    faces = Faces(tmp_path, names, np.zeros((46, 3, 2), np.float32), source="a.csv")
    parts = [split_faces(faces, by=by, folds=4, fold=fold, seed=1) for fold in range(4)]
    validated = [rows for _, rows in parts]
    assert sorted(np.concatenate(validated)) == list(range(46))
    assert max(map(len, validated)) - min(map(len, validated)) <= 4
    for training, rows in parts:
        assert len(np.union1d(training, rows)) == 46
        assert not np.intersect1d(names[training], names[rows]).size
    if by == "blocks":
        assert all(np.array_equal(np.arange(r[0], r[-1] + 1), r) for r in validated)
    with refused("fold=4"):
        split_faces(faces, by=by, folds=4, fold=4)
    with refused("folds=30"):
        split_faces(faces, by=by, folds=30, fold=0)
