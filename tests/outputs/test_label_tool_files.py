"""Files of labelling tools: read back by our readers, and shaped as the tools' schemas say."""

import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from landmarks.data.formats import coco, cvat, ibug, labelme
from landmarks.outputs.label_tool_files import Labelled, label_files

NAMES = ["left eye", "nose <1>", "jaw", "chin"]
POINTS = np.float32(
    [
        [[1.25, 2.5], [10, 20.125], [30, 31], [np.nan, np.nan]],
        [[5, 6], [7, 8], [9.5, 10], [11, 12]],
        [[40, 41], [42.5, 43], [44, 45], [46, 47]],
    ]
)
IMAGES = ["a.png", "sub/b & c.png", "sub/b & c.png"]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in set(IMAGES):
        cv2.imwrite(str(folder / name), np.full((48, 64, 3), 99, np.uint8))
    return folder


def write(kind, out, photos, faces=(0, 1, 2)):
    with label_files(kind, out, NAMES, photos) as labels:
        for i in faces:
            labels.add(Labelled(IMAGES[i], (64, 48), POINTS[i]))
    return out


def check(faces, rows=(0, 1, 2), order=range(4)):
    assert [faces.name(row) for row in range(len(faces))] == [IMAGES[row] for row in rows]
    np.testing.assert_allclose(faces.points, POINTS[list(rows)][:, list(order)], atol=0.001)


def test_coco_is_read_back_with_its_boxes(photos, tmp_path):
    out = write("coco", tmp_path, photos)
    places = {"train_annotations": "coco.json", "train_images": "photos"}
    places |= {key.replace("train", "test"): value for key, value in places.items()}
    faces = coco.read_faces(str(out), **places, part="train")
    check(faces)
    np.testing.assert_allclose(faces.boxes[1], [5, 6, 11, 12], atol=0.001)
    content = json.loads((out / "coco.json").read_text())
    assert content["categories"][0]["keypoints"] == NAMES
    assert [image["id"] for image in content["images"]] == [1, 2]
    assert content["annotations"][0]["num_keypoints"] == 3
    assert content["images"][1] == {"id": 2, "file_name": IMAGES[1], "width": 64, "height": 48}


def test_pts_are_read_back_beside_their_images(photos, tmp_path):
    write("pts", tmp_path, photos, (0, 1))
    for path in (tmp_path / "pts").rglob("*.pts"):
        path.rename(photos / path.relative_to(tmp_path / "pts"))
    check(ibug.read_faces(str(photos), missing="negative", part="train"), (0, 1))
    assert (photos / "sub/b & c.pts").read_text().startswith("version: 1\nn_points: 4\n{\n6.000 7")


def test_cvat_is_read_back_and_has_its_schema_s_elements(photos, tmp_path):
    path = write("cvat", tmp_path, photos) / "cvat.xml"
    faces = cvat.read_faces(str(path), str(path), images=str(photos), part="train")
    check(faces, order=[NAMES.index(name) for name in faces.point_names])
    root = ElementTree.parse(path).getroot()
    assert root.tag == "annotations" and root.findtext("version") == "1.1"
    labels = root.findall("meta/task/labels/label")
    assert [label.findtext("name") for label in labels] == ["face", *NAMES]
    images = root.findall("image")
    assert [image.get("id") for image in images] == ["0", "1"]
    assert {key for image in images for key in image.attrib} == {"id", "name", "width", "height"}
    assert [len(image.findall("skeleton/points")) for image in images] == [4, 8]
    (gone,) = [p for p in root.iter("points") if p.get("outside") == "1"]
    assert gone.get("label") == "chin"


def test_labelme_is_read_back_and_names_its_photo(photos, tmp_path):
    out = write("labelme", tmp_path, photos) / "labelme"
    content = json.loads((out / "sub/b & c.json").read_text())
    assert set(content) == set(
        "version flags shapes imagePath imageData imageHeight imageWidth".split()
    )
    assert (out / "sub" / content["imagePath"]).resolve() == (photos / IMAGES[1]).resolve()
    assert {shape["shape_type"] for shape in content["shapes"]} == {"point"}
    assert (content["imageHeight"], content["imageWidth"]) == (48, 64)
    assert [shape["group_id"] for shape in content["shapes"]] == [0] * 4 + [1] * 4
    faces = labelme.read_faces(str(out), images=str(photos), part="train")
    check(faces, order=[NAMES.index(name) for name in faces.point_names])


@pytest.mark.parametrize("kind", ["coco", "pts", "cvat", "labelme"])
def test_an_error_leaves_nothing(kind, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(RuntimeError), label_files(kind, out, NAMES, photos) as labels:
        labels.add(Labelled(IMAGES[0], (64, 48), POINTS[0]))
        raise RuntimeError
    assert list(out.iterdir()) == []


def test_an_unreadable_place_is_one_sentence(photos, tmp_path):
    from landmarks.errors import UserError

    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"coco\.json"):
        write("coco", Path(tmp_path / "file"), photos)
