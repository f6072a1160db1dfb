"""Every data format, from the same known faces: what is read, kept, refused and trained on."""

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_runs import TINY
from refusals import refused

from landmarks.cli import main as cli
from landmarks.errors import UserError
from landmarks.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.usefixtures("narrow")
WITHOUT_BOXES = ("ibug", "points", "mat_files", "ibug-signed")
WITH_VISIBILITY = ("coco", "yolo", "cvat", "table-csv", "table-tsv", "table-parquet", "ibug-signed")
ROUNDED = ("yolo", "label_studio")  # formats whose numbers are no pixels, and so are rounded


def assert_same(name, found, known):
    if name in ROUNDED:
        assert np.allclose(found, known, rtol=0, atol=0.001, equal_nan=True)
    else:
        assert np.array_equal(found, known, equal_nan=True)


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_same_faces_in_every_format(written, part, monkeypatch):
    known = written.parts[part]
    for again in (False, True):
        if again:  # from the cache

            def refuse(*_):
                raise AssertionError("read again")

            monkeypatch.setattr("landmarks.data.caches.mapped_faces._write", refuse)
        faces = written.module.read_faces(**written.settings, part=part)
        assert [faces.name(row) for row in range(len(faces))] == known.names
        assert_same(written.name, faces.points, known.points)
        assert len(faces.point_names) == 0
        assert isinstance(faces.points, np.memmap) and faces.points.dtype == np.float32
        assert faces.rows.tolist() == list(range(len(known.names))) and faces.wanted is None
        if written.name not in WITHOUT_BOXES:
            assert_same(written.name, faces.boxes, known.boxes)
            assert faces.boxes.dtype == np.float32
        else:
            assert faces.boxes is None
        if written.name in WITH_VISIBILITY:
            assert np.array_equal(faces.visible, known.seen)
        else:
            assert faces.visible is None
    assert len(written.module.read_faces(**written.settings, part=part, limit=2)) == 2


def test_a_missing_image_stops_or_is_left_out(written, tmp_path):
    (image,) = tmp_path.rglob("trainset/3ü.png")
    image.unlink()
    with pytest.raises(UserError, match=r"1 of 8 images .*trainset/3ü\.(png|jpg)"):
        written.module.read_faces(**written.settings)
    faces = written.module.read_faces(**written.settings, on_error="skip")
    assert faces.rows.tolist() == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "name", ["wflw", "coco", "dlib", "table-csv", "table-tsv", "table-parquet", "yolo"]
)
def test_an_image_may_show_several_faces(name, write, parts, tmp_path):
    known = parts["train"]
    known.names[4] = known.names[3]
    module, settings = write(name, tmp_path, parts)
    faces = module.read_faces(**settings)
    assert [faces.name(row) for row in range(8)] == known.names
    assert_same(name, faces.points, known.points)


BROKEN = {
    # format: file, text, what takes its place (first occurrence), what the sentence holds
    "pts, header": ("ibug", "0ü.pts", "{\n", "", ["line 3", "n_points"]),
    "pts, cut off": ("ibug", "0ü.pts", "}", "", ["line 102", "cut off"]),
    "pts, count": ("ibug", "0ü.pts", "98", "99", ["line 2", "99", "98 points follow"]),
    "pts, line": ("ibug", "0ü.pts", "{\n", "{\n1\n", ["line 4", "x and y", "'1'"]),
    "pts, another K": ("ibug", "2ü.pts", " 98\n{\n", " 99\n{\n1 1\n", ["99 points", "has 98"]),
    "wflw, fields": ("wflw", "*train.txt", "\n", " 7\n", ["line 1", "208 fields", "207"]),
    "wflw, number": ("wflw", "*train.txt", "nan", "1_0", ["line 1, column ", "'1_0'"]),
    "wflw, name": ("wflw", "*train.txt", "helen/", "../", ["line 1, column 207", "leaves"]),
    "coco, JSON": ("coco", "train.json", "]", "", ["line 1, column ", "not JSON"]),
    "coco, name": ("coco", "train.json", "helen/", "../", ["images[0]", "leaves"]),
    "coco, image": ("coco", "train.json", '"image_id": 49', '"image_id": 5', ["annotations[0]"]),
    "coco, length": ("coco", "train.json", '"keypoints": [', '"keypoints": [1, ', ["295 numbers"]),
    "coco, number": ("coco", "train.json", '"bbox": [', '"bbox": [NaN, ', ["[0], bbox", "[nan, 0"]),
    "csv, columns": ("table-csv", "train.csv", "helen", "a,helen", ["line 2", "300 columns"]),
    "csv, not UTF-8": ("table-csv", "train.csv", "/1ü", "/1\udcfc", ["line 3", "not UTF-8"]),
    "coco, not UTF-8": ("coco", "train.json", "helen", "hel\udcfcn", ["line 1", "not UTF-8"]),
    "wflw, not UTF-8": ("wflw", "*train.txt", "/1ü", "/1\udcfc", ["line 2, column 207", "UTF-8"]),
    "csv, name": ("table-csv", "train.csv", "helen/", "../", ["line 2, column 1 ('image')"]),
    "csv, no y": ("table-csv", "train.csv", "y_3,", "z_3,", ["line 1", "no column for y of"]),
    "csv, two kinds": ("table-csv", "train.csv", "y_3,", "y3,", ["line 1", "'x_0' and 'y3'"]),
}


@pytest.mark.parametrize(("name", "file", "old", "new", "said"), BROKEN.values(), ids=BROKEN)
def test_malformed_files_are_refused_in_one_sentence(
    name, file, old, new, said, write, parts, tmp_path, cache
):
    module, settings = write(name, tmp_path, parts)
    path = next(p for p in sorted(tmp_path.rglob(file)) if "trainset" in str(p) or name != "ibug")
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as refused:
        module.read_faces(**settings)
    message = str(refused.value)
    assert str(path) in message and "\n" not in message
    for words in said:
        assert words in message
    assert not [folder for kind in cache.iterdir() for folder in kind.iterdir()]


@pytest.mark.parametrize(
    ("name", "file", "between", "line", "column"),
    [
        ("ibug", "trainset/5ü.pts", " ", 6, 2),
        ("wflw", "*train.txt", " ", 6, 6),
        ("table-csv", "train.csv", ",", 7, 7),
        ("table-tsv", "train.tsv", "\t", 7, 7),
    ],
)
def test_a_field_that_is_no_number_is_named(
    name, file, between, line, column, write, parts, tmp_path
):
    module, settings = write(name, tmp_path, parts)
    (path,) = tmp_path.rglob(file)
    lines = path.read_text().split("\n")
    fields = lines[line - 1].split(between)
    fields[column - 1] = "1_5"
    lines[line - 1] = between.join(fields)
    path.write_text("\n".join(lines))
    with refused(path, f"line {line}", f"column {column}", "'1_5'"):
        module.read_faces(**settings)


def test_nothing_there_names_what_to_set(write, parts, tmp_path):
    nowhere = str(tmp_path / "not/there/nowhere")
    for name in ("ibug", "wflw"):
        with refused(nowhere, "data.root=FOLDER"):
            importlib.import_module(f"landmarks.data.formats.{name}").read_faces(nowhere)
    coco, settings = write("coco", tmp_path, parts)
    with refused(nowhere, "data.test_annotations=FILE"):
        coco.read_faces(**{**settings, "root": nowhere}, part="test")
    table, settings = write("table-csv", tmp_path, parts)
    with refused(nowhere, "data.train=FILE"):
        table.read_faces(nowhere, settings["test"])


def test_ibug_s_parts_and_first_pixel_are_settings(write, parts, tmp_path):
    module, settings = write("ibug", tmp_path, parts)
    read_faces, root = module.read_faces, settings["root"]
    points = read_faces(root, one_based=False).points
    assert np.array_equal(points, parts["train"].points + 1, equal_nan=True)
    assert len(read_faces(root, test_folders=[])) == 11
    assert len(read_faces(root, test_folders=["helen/trainset"], part="test")) == 8
    with refused("test", "ibug", "data.test_folders="):
        read_faces(root, test_folders=["ibug"], part="test")


def test_coco_leaves_out_crowds_and_faces_without_labels(write, parts, tmp_path, caplog):
    module, settings = write("coco", tmp_path, parts)
    read_faces = module.read_faces
    content = json.loads((tmp_path / "train.json").read_text())
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1]["keypoints"][2::3] = [0] * 98
    (tmp_path / "train.json").write_text(json.dumps(content))
    faces = read_faces(**settings)
    assert [faces.name(row) for row in range(len(faces))] == parts["train"].names[:6]
    assert "Left out 2 of 8 annotations" in caplog.text and "1 a crowd, 1 without" in caplog.text
    for annotations in (None, [{"image_id": 7, "bbox": [1, 2, 3, 4]}]):
        content["annotations"] = annotations
        (tmp_path / "test.json").write_text(json.dumps(content))
        faces = read_faces(**settings, part="test")
        assert faces.points is None and len(faces) == (8 if annotations is None else 1)
    assert faces.boxes.tolist() == [[0.5, 1.5, 3.5, 5.5]]


@pytest.mark.parametrize(
    "columns",
    [
        "x_0,y_0,x_1,y_1",
        "x0,y0,x1,y1",
        "0_x,0_y,1_x,1_y",
        "Point_0_X,Point_0_Y,Point_1_X,Point_1_Y",
        "Point_M0_X,Point_M0_Y,Point_M1_X,Point_M1_Y",
        "landmark_0_x,landmark_0_y,landmark_1_x,landmark_1_y",
        "x1,y1,x2,y2",
        "kp.x.1,kp.y.1,kp.x.2,kp.y.2",
    ],
)
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1]])
def test_columns_of_points_are_found_by_their_index(tmp_path, columns, order):
    from landmarks.data.formats.table import read_faces

    names = columns.split(",")
    path = tmp_path / "t.csv"
    header = ["age", *(names[i] for i in order), "Name"]
    row = ["7", *(str([1.5, 2, 3, ""][i]) for i in order), "a.png"]
    path.write_text(";".join(header) + "\n" + ";".join(row) + "\n\n")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    points = read_faces(str(path), "").points
    assert np.array_equal(points, [[[1.5, 2], [3, np.nan]]], equal_nan=True)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    from landmarks.data.formats.table import read_faces

    (tmp_path / "t.parquet").write_bytes(b"nothing")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with refused("pyarrow", "'landmarks[parquet]'"):
        read_faces(str(tmp_path / "t.parquet"), "")


SETTINGS = [*TINY, "batch_size=2", "run_dir=runs/a"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("coco", []),
        ("wflw", ["crop=box", "box_margin=0.5", "layout=wflw98"]),
        ("ibug", ["crop=box", "box_from=points"]),
        ("dlib", ["crop=box"]),
    ],
)
def test_trains_and_predicts_end_to_end(
    name, settings, write, parts, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    _, written = write(name, tmp_path / "set", parts)
    data = [f"data={name}", *(f"data.{key}={value}" for key, value in written.items())]
    assert cli.main(["train", *data, *settings, *SETTINGS]) == 0
    content = load_checkpoint(Path("runs/a/best.pt"))
    named = {"wflw": "wflw98"}.get(name, "none")  # strewn points, which are no face's
    assert content.layout["name"] == named and content.num_points == 98
    assert np.isfinite(content.metrics["val_mse"])
    test = ["predict", "device=cpu", "amp=off", "workers=0"]
    if name != "ibug":
        assert cli.main([*test, "run_dir=out"]) == 0
        lines = Path("out/predictions.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines[1:]] == parts["test"].names
    if name in ("coco", "dlib"):
        return
    assert content.config["box_margin"] == {"wflw": 0.5, "ibug": 0.25}[name]
    if name == "ibug":  # validated on boxes of labels: so are labelled test faces
        capsys.readouterr()
        assert cli.main([*test, "run_dir=out"]) == 0
        assert "box_from=points" in capsys.readouterr().out
    assert cli.main([*test, "run_dir=refused", f"input={tmp_path / 'set'}"]) == 1
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1
    assert {"wflw": "crop=box needs a box", "ibug": "neither boxes nor labels"}[name] in refused


def test_ibug_follows_linked_folders_and_passes_a_macs_files_over(write, parts, tmp_path, caplog):
    module, settings = write("ibug", tmp_path / "root", parts)
    (tmp_path / "root/helen").rename(tmp_path / "disk")
    (tmp_path / "root/helen").symlink_to(tmp_path / "disk")
    (tmp_path / "root/again").symlink_to(tmp_path / "root/lfpw")
    for ending in (".pts", ".png"):
        (tmp_path / f"disk/trainset/._0ü{ending}").write_bytes(b"\0\5\x16\7")
    faces = module.read_faces(**settings)
    assert [faces.name(row) for row in faces.rows] == parts["train"].names
    assert len(module.read_faces(**settings, part="test")) == len(parts["test"].names)
    assert "2 hidden names" in caplog.text


def test_ibug_names_a_picture_that_is_not_read(write, parts, tmp_path):
    module, settings = write("ibug", tmp_path, parts)
    path = tmp_path / parts["train"].names[2]
    path.rename(path.with_suffix(".HEIC"))
    path.with_suffix(".HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(UserError, match=r"\(0 missing, 1 unreadable\).*2ü\.HEIC"):
        module.read_faces(**settings)
