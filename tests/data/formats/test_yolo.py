"""YOLO-pose data sets as Ultralytics, Roboflow and their converters write them."""

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.commands.preparing.choose_layout import settle_layout
from landmarks.commands.training_run.training_inputs import choose_flip
from landmarks.data.formats.yolo import read_faces

YAML = (
    "path: .\ntrain: images/train\nval: images/val\nkpt_shape: [2, 3]\nnames: {0: face, 3: cat}\n"
)
LABELS = {  # of images of 40 x 20 pixels
    "train/a": "0 0.5 0.5 0.4 0.6 0.25 0.5 2 0.75 0.5 1.0\n0 0.5 0.5 1 1 0.1 0.1 2.0 0 0 0\n",
    "train/b": "0 0.5 0.5 0.4 0.6\n\n0 0.5 0.5 0.4 0.6 0.5 0.5 2 0.5 0.25 2\n",
    "val/d": "0 0.5 0.5 0.4 0.6 0.25 0.5 2 0.75 0.5 2\n",
}
IMAGES = ("train/a", "train/b", "train/c", "val/d", "val/e")  # c and e: without labels


@pytest.fixture
def write(tmp_path):
    """Write a small data set with some texts changed, by (file, old, new); return its folder."""

    def write(*changes):
        texts = {"data.yaml": YAML} | {f"labels/{k}.txt": v for k, v in LABELS.items()}
        for file, old, new in changes:
            assert old in texts[file]
            texts[file] = texts[file].replace(old, new)
        for name in IMAGES:
            path = tmp_path / f"images/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((20, 40, 3), 9 * len(name), np.uint8))
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return str(tmp_path)

    return write


def test_each_line_with_points_is_a_face(write, caplog):
    root = write()
    faces = read_faces(root)
    assert [faces.name(row) for row in range(len(faces))] == ["a.png", "a.png", "b.png"]
    gone = [np.nan, np.nan]
    known = [[[9.5, 9.5], [29.5, 9.5]], [[3.5, 1.5], gone], [[19.5, 9.5], [19.5, 4.5]]]
    assert np.allclose(faces.points, known, equal_nan=True)
    assert np.allclose(faces.boxes[0], [11.5, 3.5, 27.5, 15.5])
    assert "1 of 3 images" in caplog.text and "1 line" in caplog.text
    assert faces.flip is None and not faces.point_names
    test = read_faces(f"{root}/data.yaml", part="test")  # an image without labels is a face, too
    assert [test.name(row) for row in range(len(test))] == ["d.png", "e.png"]
    assert np.isfinite(test.points[0]).all() and np.isnan(test.points[1]).all()


def test_without_v_a_point_at_0_0_is_missing(write):
    lines = ("labels/train/a.txt", LABELS["train/a"], "0 .5 .5 .4 .6 .25 .5 0 0\n")
    others = [(f"labels/{k}.txt", LABELS[k], "") for k in ("train/b", "val/d")]
    root = write(("data.yaml", "[2, 3]", "[2, 2]"), lines, *others)
    faces = read_faces(root)
    assert np.allclose(faces.points, [[[9.5, 9.5], [np.nan, np.nan]]], equal_nan=True)
    assert read_faces(root, part="test").points is None


def test_parts_are_found_as_roboflow_and_lists_name_them(write, tmp_path):
    root = write(
        ("data.yaml", "path: .\ntrain: images/train", "path: /gone\ntrain: ../images/train")
    )
    assert len(read_faces(root)) == 3
    (tmp_path / "list.txt").write_text("./images/train/b.png\nimages/val/d.png\n")
    faces = read_faces(write(("data.yaml", "train: images/train", "train: list.txt")))
    assert [faces.name(row) for row in range(2)] == ["images/train/b.png", "images/val/d.png"]
    several = "train: [images/val, images/train]"
    faces = read_faces(write(("data.yaml", "train: images/train", several)))
    assert [faces.name(row) for row in (0, 1)] == ["val/d.png", "train/a.png"]


def test_several_classes_are_asked_about(write):
    root = write(("labels/train/b.txt", "\n\n0", "\n\n3"))
    with refused("face, cat", "data.category=face"):
        read_faces(root)
    assert len(read_faces(root, category="face")) == 2
    assert len(read_faces(root, category="3")) == 1
    with refused("'fase'", "'face'"):
        read_faces(root, category="fase")


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("data.yaml", "[2, 3]", "[2, 4]", ("data.yaml, kpt_shape", "'[2, 4]'")),
        ("data.yaml", "[2, 3]", "[2, 3", ("data.yaml, line 5, column 6", "YAML")),
        ("data.yaml", "names", "flip_idx: [0]\nnames", ("data.yaml, flip_idx", "0 to 1")),
        ("data.yaml", "train: images", "train: photos", ("data.yaml, train", "photos/train")),
        ("data.yaml", "[2, 3]", "[3, 3]", ("a.txt, line 1", 11, 14)),
        ("labels/train/b.txt", "0.25 2\n", "0.25 2,0\n", ("b.txt, line 3, column 11", "'2,0'")),
        (
            "labels/train/b.txt",
            "0.25 2\n",
            "0.25 0.9\n",
            ("b.txt, line 3, column 11", "v", "'0.9'"),
        ),
        (
            "labels/train/a.txt",
            "0.75 0.5",
            "30 10",
            ("a.txt, line 1, column 9", "0 to 1", "30, 10"),
        ),
        ("labels/train/a.txt", "0 0.5 0.5 1 1", "a .5 .5 1 1", ("a.txt, line 2, column 1", "'a'")),
    ],
)
def test_what_is_malformed_is_named(write, file, old, new, named):
    root = write((file, old, new))
    with refused(*named):
        read_faces(root)


@pytest.mark.parametrize(
    ("flip", "names", "known"),
    [([1, 0, 2], "", [1, 0, 2]), ([0, 1, 2], "", None), ([0, 1, 2], "named", [1, 0, 2])],
)
def test_flip_idx_is_checked_on_the_labels(write, tmp_path, flip, names, known, caplog):
    rng = np.random.default_rng(0)
    named = "kpt_names: {0: [left_eye, right_eye, nose]}\n" if names else ""
    root = write(("data.yaml", "[2, 3]\n", f"[3, 2]\nflip_idx: {flip}\n{named}"))
    lines = []
    for _ in range(20):
        shape = np.array([[0.7, 0.3], [0.3, 0.3], [0.5, 0.6]]) + rng.normal(0, 0.01, (3, 2))
        lines.append(f"0 .5 .5 1 1 {' '.join(map(str, shape.ravel()))}\n")
    (tmp_path / "labels/train/a.txt").write_text("".join(lines))
    (tmp_path / "labels/train/b.txt").write_text("")
    faces = read_faces(root)
    labelled = np.ones(3, bool)
    named = settle_layout({"name": "auto"}, faces, np.arange(20), labelled)
    found = choose_flip(faces, named, np.arange(20), 0)
    assert (None if found is None else found.tolist()) == known
    warned = any(" flip_idx" in f" {r.message}" for r in caplog.records if r.levelname == "WARNING")
    assert warned == (flip == [0, 1, 2])
