"""COCO files as tools write them: categories, other lists of points, ids as text, nulls."""

import errno
import json
from io import BytesIO

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.coco import list_annotations, read_faces
from landmarks.data.formats.coco_annotations import Keys
from landmarks.data.formats.coco_file import load
from landmarks.errors import UserError

PLACES = [[10.0, 20.0], [30.0, 40.0], [25.0, 45.0]]
KEYPOINTS = [10, 20, 2, 30, 40, 1, 25, 45, 2]
FACE = {"id": 1, "name": "face", "keypoints": ["a", "b", "c"]}
HAND = {"id": 2, "name": "hand", "keypoints": ["d", "e", "f"]}
CAR = {"id": 3, "name": "car"}


@pytest.fixture
def read(tmp_path):
    """Read a file of two images with these annotations."""
    (tmp_path / "images").mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"images/{i}.png"), np.zeros((64, 64, 3), np.uint8))

    def read(*annotations, categories=(FACE, CAR), images=None, part="train", order=(), **settings):
        images = images or [{"id": i, "file_name": f"{i}.png"} for i in range(2)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        content = {key: content[key] for key in [*order, *content]}
        (tmp_path / "a.json").write_text(json.dumps(content))
        files = {
            f"{p}_{w}": x
            for p in ("train", "test")
            for w, x in (("annotations", "a.json"), ("images", "images"))
        }
        return read_faces(str(tmp_path), **files, **settings, part=part)

    return read


def face(image=0, keypoints=KEYPOINTS, category=1, **other):
    return {
        **{"image_id": image, "category_id": category, "keypoints": keypoints},
        **{"bbox": [1, 2, 30, 40], **other},
    }


def box(image, category=3):
    return {"image_id": image, "category_id": category, "bbox": [1, 1, 9, 9]}


def test_the_category_names_the_points(read):
    assert read(face()).point_names == ["a", "b", "c"]
    numbered = {**FACE, "keypoints": ["1", "2", "3"]}
    assert not read(face(), categories=[numbered]).point_names


def test_other_keys_of_points_box_and_validity_are_named(read):
    own = {"spots": KEYPOINTS, "head": [5, 6, 7, 8], "ok": True}
    rows = [face(0, **own), face(1, **{**own, "ok": False})]
    faces = read(*rows, keypoints="spots", box="head", valid="ok")
    assert faces.points.tolist() == [PLACES] and faces.boxes.tolist() == [[4.5, 5.5, 11.5, 13.5]]
    with refused("'haed'", "data.box", "'head'"):
        read(*rows, box="haed")


@pytest.mark.parametrize(
    ("part", "annotations", "images"),
    [
        ("train", "train/_annotations.coco.json", "train"),
        ("test", "valid/_annotations.coco.json", "valid"),
        ("train", "annotations/train.json", "images/train"),
        ("test", "annotations/person_keypoints_val2017.json", "val2017"),
        ("train", "annotations/faces_train.json", "images"),
        ("train", "annotations/coco_wholebody_train_v1.0.json", "train2017"),
        ("test", "annotations/coco_wholebody_val_v1.0.json", "images/val2017"),
    ],
)
def test_usual_folders_are_found(tmp_path, part, annotations, images):
    for place in (tmp_path / annotations, tmp_path / images / "a.png"):
        place.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(tmp_path / images / "a.png"), np.zeros((64, 64, 3), np.uint8))
    content = {"images": [{"id": 0, "file_name": "a.png"}], "annotations": [face()]}
    (tmp_path / annotations).write_text(json.dumps(content))
    faces = read_faces(str(tmp_path), part=part)
    assert faces.rows.tolist() == [0] and faces.folder == tmp_path / images
    again = tmp_path / f"annotations/other_{part}.json"
    again.parent.mkdir(exist_ok=True)
    again.write_text(json.dumps(content))
    if "_" in annotations and "coco" not in annotations:
        with refused(
            f"data.{part}_annotations",
            annotations.rpartition("/")[2],
        ):
            read_faces(str(tmp_path), part=part)


def test_a_name_that_only_holds_the_part_s_is_not_taken_for_it(tmp_path):
    (tmp_path / "annotations").mkdir()
    for name in ("latest", "contest_val2", "constrain", "faces_train2017"):
        (tmp_path / f"annotations/{name}.json").touch()
    found = {part: list_annotations(tmp_path, part) for part in ("train", "test")}
    assert [path.stem for path in found["train"]] == ["faces_train2017"]
    assert [path.stem for path in found["test"]] == ["contest_val2"]


def test_folders_of_images_that_may_be_meant(tmp_path):
    for place in ("annotations", "val2017", "test2017", "train_masks", "images"):
        (tmp_path / place).mkdir()
    for place in ("val2017", "images"):
        cv2.imwrite(str(tmp_path / place / "a.png"), np.zeros((64, 64, 3), np.uint8))
    content = json.dumps({"images": [{"id": 0, "file_name": "a.png"}], "annotations": [face()]})
    for part in ("train", "val"):
        (tmp_path / f"annotations/coco_wholebody_{part}_v1.0.json").write_text(content)
    assert read_faces(str(tmp_path), part="test").folder == tmp_path / "images"
    assert read_faces(str(tmp_path)).folder == tmp_path / "images"
    (tmp_path / "images/a.png").unlink()
    (tmp_path / "images").rmdir()
    assert read_faces(str(tmp_path), part="test").folder == tmp_path / "val2017"
    (tmp_path / "train_masks").rename(tmp_path / "pictures")
    with refused("data.train_images=FOLDER"):
        read_faces(str(tmp_path))
    (tmp_path / "val2014").mkdir()
    with refused("data.test_images=FOLDER"):
        read_faces(str(tmp_path), part="test")


def test_annotations_without_points_are_left_out_and_counted(read, caplog):
    faces = read(box(0), face(0), face(1), box(1), face(1, [], 1), face(1, [0] * 9))
    assert faces.points.tolist() == [PLACES] * 2
    assert "Left out 4 of 6 annotations" in caplog.text
    # The test part's faces need no points, but are no cars.
    assert len(read(box(0), face(0), box(1, 1), part="test")) == 2
    faces = read(box(0), box(0, 1), box(1, 1), part="test")
    assert faces.points is None and len(faces) == 2
    with refused("a.json", 2):
        read(box(0), box(1))


def test_several_categories_are_asked_about(read):
    mixed, both = [face(0), face(1, category=2)], (FACE, HAND)
    with refused("face, hand", "data.category=face"):
        read(*mixed, categories=both)
    for name in ("hand", "2"):
        faces = read(*mixed, categories=both, category=name)
        assert [faces.name(row) for row in range(len(faces))] == ["1.png"]
    with refused("'hands'", "data.category", "'hand'"):
        read(*mixed, categories=both, category="hands")
    with refused("data.category=1"):
        read(*mixed, categories=())
    # Of the same points, it does not matter which.
    assert len(read(*mixed, categories=(FACE, {**FACE, "id": 2, "name": "child"}))) == 2


def test_face_points_beside_the_body_s_are_asked_about(read):
    body = {"face_kpts": [1.5, 2, 2.0] * 4, "face_box": [5, 6, 7, 8], "face_valid": True}
    whole = [face(0, **body), face(1, **{**body, "face_valid": False}), face(1, **body)]
    with refused("data.keypoints=face_kpts"):
        read(*whole)
    faces = read(*whole, keypoints="face_kpts")
    assert faces.points.tolist() == [[[1.5, 2.0]] * 4] * 2
    assert faces.boxes.tolist() == [[4.5, 5.5, 11.5, 13.5]] * 2
    assert len(read(*whole, keypoints="keypoints")) == 3
    with refused("'face_kpt'", "'face_kpts'"):
        read(*whole, keypoints="face_kpt")


def test_null_and_nan_are_missing_where_v_is_0(read):
    for nothing in (None, float("nan")):
        points = read(face(0, [nothing, nothing, 0, *KEYPOINTS[3:]]), face(1)).points
        assert np.array_equal(points[0], [[np.nan, np.nan], *PLACES[1:]], equal_nan=True)
        with refused("annotations[0], keypoints", "point 0", "v"):
            read(face(0, [nothing, 1, 2, *KEYPOINTS[3:]]))


def test_pairs_without_v_are_refused(read):
    pairs = [10, 20, 30, 40, 25, 45]
    for categories in ((FACE,), ({"id": 1},)):
        with refused("annotations[0], keypoints", "pairs", "v"):
            read(face(0, pairs), face(1, pairs), categories=categories)
    with refused("annotations[0], keypoints", "point 0", 0.75):
        read(face(0, [10, 20, 0.75, *KEYPOINTS[3:]]))


@pytest.mark.parametrize(("listed", "named"), [(7, "7"), ("7", 7), (7.0, 7), ("a7", "a7")])
def test_ids_may_be_text(read, listed, named):
    images = [{"id": listed, "file_name": "1.png"}]
    faces = read(face(named, category="1"), images=images)
    assert faces.name(0) == "1.png" and faces.points.tolist() == [PLACES]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_off_is_said_to_be(read, tmp_path, share):
    read(face(0), face(1))
    path = tmp_path / "a.json"
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    with refused("a.json", "middle"):
        load(path, Keys(), BytesIO())


def test_faces_are_read_block_by_block_as_the_images_lie(read, monkeypatch):
    monkeypatch.setattr("landmarks.data.reading.json_items.CHUNK", 100)
    for module in ("coco", "coco_annotations", "coco_file"):
        monkeypatch.setattr(f"landmarks.data.formats.{module}.BLOCK", 3)
    images = [{"id": f"é{i}" if i % 2 else i, "file_name": f"{i % 2}.png"} for i in range(9)]
    rows = []
    for i in (8, 2, 5, 1, 0, 7, 3, 4, 6):
        points = [i, 20, 2, 0, 0, 0, 25.5, i, 1]
        rows += [face(images[i]["id"], points), face(images[i]["id"], [1, 2, 2], category=3)]
    for names in (("images", "annotations"), ("annotations", "images")):
        faces = read(*rows, images=images, order=names)
        assert faces.points[:, 0, 0].tolist() == [*range(9)]
        assert np.isnan(faces.points[:, 1]).all() and faces.points[8, 2].tolist() == [25.5, 8]
        assert faces.visible.tolist() == [[2, 0, 1]] * 9
        assert [faces.name(row) for row in range(9)] == [f"{i % 2}.png" for i in range(9)]
    with refused("annotations[18]", "id é9"):
        read(*rows, face("é9"), images=images)
    with refused("images[9]", "'id'"):
        read(*rows, images=[*images, {"id": "4", "file_name": "0.png"}])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (face(0, [1, 2, 2]), ("keypoints", 3, "annotations[0]", 9)),
        (face(0, KEYPOINTS[:-1]), ("keypoints", 8)),
        (face(0, [*KEYPOINTS[:-1], 3]), ("keypoints", "point 2", 3)),
        (face(0, ["1", *KEYPOINTS[1:]]), ("keypoints", "'1'")),
        (face(0, [True, *KEYPOINTS[1:]]), ("keypoints", "'True'")),
        (face(0, [10**400, *KEYPOINTS[1:]]), ("keypoints", f"'1{39 * '0'}'")),
        (face(0, [1e39, *KEYPOINTS[1:]]), ("keypoints", "'1e+39'")),
        (face(0, "text"), ("'keypoints'", "'text'")),
        (face(0, bbox=[1, 2, 3]), ("bbox", "[1, 2, 3]")),
        (face(0, bbox=[1, 2, 3, None]), ("bbox", "[1, 2, 3, None]")),
        (face(0, bbox="text"), ("bbox", "'text'")),
    ],
)
def test_a_faulty_face_is_named_but_for_another_category(read, wrong, named):
    with refused("annotations[2]", *named):
        read(face(0), face(1), wrong)
    if isinstance(wrong["keypoints"], list):
        assert len(read(face(0), face(1), {**wrong, "category_id": 3})) == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda text: text.replace('"bbox":', '"bbox"', 1),
            ("line 1, column", "JSON"),
        ),
        (lambda text: text + " [1, 2, 3]", ("line 1, column", "JSON")),
        (lambda text: "[" + text + "]", ("COCO results",)),
        (lambda text: "7", ("'images'", "'annotations'")),
        (lambda text: text.replace("{", '{"images": [],', 1), ("'images'", "twice")),
        (lambda text: text.replace('"images": [', '"images": 5, "other": ['), ("'images'",)),
    ],
)
def test_what_is_no_json_or_no_such_file_is_said(read, tmp_path, change, named):
    read(face(0), face(1))
    path = tmp_path / "a.json"
    path.write_text(change(path.read_text()))
    with refused("a.json", *named):
        load(path, Keys(), BytesIO())


def test_a_full_disk_is_not_the_file_s_fault(tmp_path, monkeypatch):
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"image_id": 1, "keypoints": [1, 2, 2]}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))

    def refuse(*given, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("landmarks.data.formats.coco.TemporaryFile", refuse)
    with pytest.raises((OSError, UserError)) as refused:
        read_faces(None, train_annotations=str(tmp_path / "a.json"), train_images=str(tmp_path))
    assert "a.json" not in str(refused.value)
