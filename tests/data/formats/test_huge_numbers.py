"""Numbers beyond what an integer, a float32 or memory holds: read or refused, without a warning."""

import importlib
import re
import warnings

import cv2
import numpy as np
import pytest

from landmarks.errors import UserError

MARK = re.compile(r"«(\w+)=([^»]*)»")  # a place, and what stands there otherwise
VALUES = ["1e30", "3e38", "-3e38", "1e400", "-1", "9" * 11, "9" * 30, "9" * 5000, ".nan", ".inf"]
COCO = (
    '{"images": [{"id": «id=1», "file_name": "a.png", "width": «side=64»}], "annotations": '
    '[{"id": «own=1», "image_id": «image=1», "category_id": «category=1», "iscrowd": «crowd=0», '
    '"bbox": [«left=3e38», 2, «width=40», 40], "keypoints": [«x=5», 5, «v=2», 9, 9, 2]}], '
    '"categories": [{"id": «known=1», "keypoints": ["a", "b"]}]}'
)
DLIB = (
    "<dataset><images><image file='a.png' width='«side=64»'><box top='1' left='«left=3e38»' "
    "width='«width=40»' height='9'><part name='«name=0»' x='«x=4»' y='3'/>"
    "<part name='p1' x='5' y='5'/></box></image></images></dataset>"
)
CVAT = (
    '<annotations><image id="«id=0»" name="a.png"><points label="«label=a»" points="«x=4»,3"/>'
    '<box label="f" xtl="«left=1»" ytl="1" xbr="50" ybr="50"/></image></annotations>'
)
LABELME = (
    '{"imagePath": "a.png", "shapes": [{"label": "a", "points": [[«x=4», 3]], "group_id": '
    '«group=1», "shape_type": "point"}, {"label": "f", "points": [[«left=2», 3], [50, 50]], '
    '"shape_type": "rectangle"}]}'
)
STUDIO = (
    '[{"id": «id=1», "data": {"image": "a.png"}, "annotations": [{"result": [{"original_width": '
    '«side=3e6», "original_height": 50, "value": {"x": «x=4», "y": 5, "keypointlabels": ["a"]}}, '
    '{"original_width": 64, "original_height": 50, "value": {"x": «left=3e38», "y": 5, "width": '
    '«width=2», "height": 20}}]}]}]'
)
YAML = (
    "train: .\nkpt_shape: [«points=2», «numbers=3»]\nflip_idx: [«flip=0», 1]\n"
    "names: {«class=0»: f}\n"
)
YOLO = "«class=0» «left=.5» .5 «width=.5» .5 «x=.3» .3 «v=2» .4 .5 2\n"
FACIAL = "left_eye_center_x,left_eye_center_y,Image\n«x=1»,1,«grey=0» 0 0 0\n"
LOOKUP = "RowId,ImageId,FeatureName,Location\n«row=1»,«id=1»,left_eye_center_x,?\n"
# name: reader, its settings ("@" stands for the folder), files.
FORMS = {
    "coco": ("coco", {"root": "@", "train_annotations": "a", "train_images": "."}, {"a": COCO}),
    "dlib": ("dlib", {"train": "@/t.xml", "test": ""}, {"t.xml": DLIB}),
    "cvat": ("cvat", {"train": "@/t.xml", "test": ""}, {"t.xml": CVAT}),
    "labelme": ("labelme", {"root": "@"}, {"a.json": LABELME}),
    "label_studio": ("label_studio", {"train": "@/t.json", "test": ""}, {"t.json": STUDIO}),
    "data.yaml": ("yolo", {"root": "@"}, {"data.yaml": YAML, "a.txt": MARK.sub(r"\2", YOLO)}),
    "yolo": ("yolo", {"root": "@"}, {"data.yaml": MARK.sub(r"\2", YAML), "a.txt": YOLO}),
    "numbered": (
        "table",
        {"train": "@/t.csv", "test": ""},
        {"t.csv": "file_name,x_0,y_0,x_«index=1»,y_«index=1»\na.png,«x=4»,5,6,7\n"},
    ),
    "bare": (
        "table",
        {"train": "@/t.csv", "test": ""},
        {"t.csv": "file_name,0,1,«index=2»,3\na.png,4,5,6,7\n"},
    ),
    "graded": (
        "table",
        {"train": "@/t.csv", "test": ""},
        {"t.csv": "file_name,x_0,y_0,v_0\na.png,4,5,«v=1»\n"},
    ),
    "points": ("points", {"root": "@"}, {"a.txt": "«count=2»\n«x=4» 5\n6 7\n"}),
    "ibug": ("ibug", {"root": "@"}, {"a.pts": "n_points: «count=2»\n{\n«x=4» 5\n6 7\n}\n"}),
    "thousand": (
        "thousand",
        {"root": "@"},
        {"train/landmarks.csv": "file_name\tPoint_«index=0»_X\tPoint_0_Y\na.png\t«x=3»\t4\n"},
    ),
    "facial_keypoints": ("facial_keypoints", {"root": "@"}, {"training.csv": FACIAL}),
    "lookup": (
        "facial_keypoints",
        {"root": "@", "part": "test"},
        {
            "training.csv": MARK.sub(r"\2", FACIAL),
            "test.csv": "ImageId,Image\n«id=1»,0 0 0 0\n",
            "IdLookupTable.csv": LOOKUP,
        },
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_number_too_large_is_read_or_refused(form, tmp_path):
    reader, settings, files = FORMS[form]
    read = importlib.import_module(f"landmarks.data.formats.{reader}").read_faces
    settings = {key: value.replace("@", str(tmp_path)) for key, value in settings.items()}
    settings = {"part": "train", **settings}
    for name in ("a.png", "train/images/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((64, 64, 3), np.uint8))
    places = dict.fromkeys(place for text in files.values() for place, _ in MARK.findall(text))
    refused = 0
    for place in places:
        for value in VALUES:
            for name, text in files.items():
                shown = MARK.sub(lambda it: value if it[1] == place else it[2], text)  # noqa: B023
                (tmp_path / name).write_text(shown)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    faces = read(**settings)
                except UserError as error:
                    refused += 1
                    assert str(error).count("\n") == 0 and len(str(error)) < 500
                else:
                    kept = [faces.points, faces.boxes]
                    assert not any(it is not None and np.isinf(it).any() for it in kept)
    assert refused
