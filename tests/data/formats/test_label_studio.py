"""Label Studio's exports, JSON and JSON-MIN."""

import json

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.label_studio import read_faces
from landmarks.data.reading import json_items
from landmarks.errors import UserError

SIZE = {"original_width": 200, "original_height": 50, "image_rotation": 0}


def point(label, x, y, **more):
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label]}
    return {**SIZE, "type": "keypointlabels", "value": value, "to_name": "image", **more}


def rectangle(name, x, y, width, height):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
    return {**SIZE, "type": "rectanglelabels", "id": name, "value": value}


def task(*results, image="/data/upload/3/0123abcd-a.png", **more):
    annotation = {"id": 1, "was_cancelled": False, "ground_truth": False, "result": [*results]}
    return {"id": 1, "data": {"image": image}, "annotations": [annotation], **more}


@pytest.fixture
def read(tmp_path):
    """Write tasks, or a text, and the image a.png; return the faces."""

    def read(*tasks, part="train", **settings):
        cv2.imwrite(str(tmp_path / "a.png"), np.full((50, 200, 3), 99, np.uint8))
        text = tasks[0] if isinstance(tasks[0], str) else json.dumps(tasks, indent=1)
        (tmp_path / "t.json").write_text(text)
        path = str(tmp_path / "t.json")
        return read_faces(path, path, part=part, **settings)

    return read


def test_percent_are_pixels_of_each_image(read):
    faces = read(task(point("nose", 25, 50), point("left eye", 10, 20.5)))
    assert faces.points.tolist() == [[[20, 10.25], [50, 25]]]
    assert faces.point_names == ["left eye", "nose"] and faces.boxes is None
    shifted = read(task(point("nose", 25, 50)), first_pixel=0.5)
    assert shifted.points.tolist() == [[[49.5, 24.5]]]


def test_rectangles_are_boxes_and_part_the_faces(read):
    results = [rectangle("r1", 0, 0, 10, 20), rectangle("r2", 50, 50, 10, 20)]
    results += [point("nose", 5, 10, parentID="r1"), point("nose", 55, 60, parentID="r2")]
    for parents in (True, False):
        if not parents:
            results = [{k: v for k, v in it.items() if k != "parentID"} for it in results]
        faces = read(task(*results))
        assert faces.points.tolist() == [[[10, 5]], [[110, 30]]]
        assert faces.boxes.tolist() == [[-0.5, -0.5, 19.5, 9.5], [99.5, 24.5, 119.5, 34.5]]


def test_json_min_is_read_too(read):
    listed = [{"x": 25, "y": 50, "width": 0.3, "keypointlabels": ["nose"], **SIZE}]
    faces = read({"image": "http://host/data/upload/1/a.png?x=1", "kp-1": listed, "id": 7})
    assert faces.points.tolist() == [[[50, 25]]]


def test_an_image_is_the_end_of_its_address_that_is_there(read, tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), np.full((50, 200, 3), 99, np.uint8))
    for address in ("/data/local-files/?d=set%5Cin%5Ca.png", "s3://bucket/set/in/a.png"):
        assert read(task(point("nose", 1, 2), image=address)).name(0) == "in/a.png"


def test_several_annotations_are_asked_about(read):
    both = task(point("nose", 25, 50))
    both["annotations"] += task(point("nose", 50, 50))["annotations"]
    with pytest.raises(UserError, match=r"t\.json, \[0\]: .* 2 annotations; data\.several=first"):
        read(both)
    assert read(both, several="first").points[0, 0, 0] == 50
    assert read(both, several="last").points[0, 0, 0] == 100
    both["annotations"][1]["ground_truth"] = True
    assert read(both).points[0, 0, 0] == 100


def test_items_are_read_piece_by_piece(read, monkeypatch):
    monkeypatch.setattr(json_items, "CHUNK", 7)
    tasks = [task(point("nösé", i, 50)) for i in range(20)]
    assert read(*tasks).points[:, 0, 0].tolist() == [2 * i for i in range(20)]
    whole = json.dumps(tasks, indent=1)
    line = whole.count("\n", 0, whole.index('"image_rotation": 0,\n', 3000)) + 1
    broken = whole[:3000] + whole[3000:].replace('"image_rotation": 0,', '"image_rotation" 0,', 1)
    with pytest.raises(UserError, match=rf"t\.json, line {line}, column \d+: not JSON"):
        read(broken)
    with refused("t.json", "middle"):
        read(whole[:3000])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            {"a": "b", "annotations": [{"original_width": 1, "value": 2}]},
            ("[0]", "'data'"),
        ),
        (task(point("nose", "1", 2)), ("[0].annotations[0].result[0].value.x",)),
        (task(point("nose", 1, 2, original_width=None)), ("result[0]", "original_width")),
        (task(point("nose", 1, 2, image_rotation=90)), ("result[0]", 90)),
        (task(point("nose", 1, 2), point("nose", 3, 4)), ("result[1]", "'nose'")),
        (task(rectangle("a", 1, 2, 3, 4)), (1,)),
        (task(point("nose", 1, 2), image="../../.."), ("[0]", "''")),
    ],
)
def test_what_is_malformed_is_named(read, content, named):
    with refused("t.json", *named):
        read(content)
