"""What labels look like: the right reader is named, or what to convert them to."""

import importlib

import pytest
from refusals import refused

from landmarks.data.formats import thousand
from landmarks.data.recognise import describe_other, refuse_near
from landmarks.errors import UserError

XML = "<?xml version='1.0'?>\n"
FILES = {
    "dlib": ("a.xml", XML + "<?xml-stylesheet?><dataset><images><image file='a.png'>", "data=dlib"),
    "cvat": ("a.xml", XML + '<annotations>\n<version>1.1</version>\n<image id="0"', "data=cvat"),
    "cvat video": ("a.xml", XML + '<annotations><meta/><track id="0" label="face">', "data=cvat"),
    "voc": ("a.xml", "<annotation>\n<folder/><filename>a.jpg</filename>", "Pascal"),
    "labelme": ("a.json", '{"version": "5", "shapes": [], "imagePath": "a.png"}', "data=labelme"),
    "label studio": (
        "a.json",
        '[{"id": 1, "annotations": [{"result": [{"original_width": 6, "value": {"x": 1}}]}]}]',
        "data=label_studio",
    ),
    "via json": ("a.json", '{"a.jpg12": {"regions": [{"shape_attributes": {}}]}}', "VIA"),
    "results": ("a.json", '[{"image_id": 1, "category_id": 1, "keypoints": [1]}]', "COCO results"),
    "coco": (
        "a.json",
        '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}',
        "data=coco",
    ),
    "coco, other order": ("a.json", '{"annotations": [{"image_id": 1}]}', "data=coco"),
    "coco, other lists first": (
        "a.json",
        '{"categories": [{"id": 1, "keypoints": ["nose"]}]}',
        "data=coco",
    ),
    "json": ("a.json", '{"faces": {}}', "unknown"),
    "yolo": ("a.txt", "0 0.5 0.5 0.2 0.3 0.41 0.22 2 0.3 0.2 2\n", "data=yolo"),
    "yolo, without v": (
        "a.txt",
        "0 0.5 0.5 0.2 0.3 0.41 0.22\n1 .5 .5 .2 .3 .41 .22\n",
        "data=yolo",
    ),
    "yolo's yaml": ("data.yaml", "path: .\ntrain: a\nval: b\nkpt_shape: [5, 3]\n", "data=yolo"),
    "pts": ("a.pts", "version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n", "data=ibug"),
    "bare pts": ("a.pts", "1.5 2\n3 4\n5 6\n", "data=ibug"),
    "lapa": ("a.txt", "3\n1.5 2\n3 4\n5 6\n", "data=points"),
    "bare points": ("a.txt", "1.5 2\n3 4\n5 6\n", "data=points"),
    "wflw": ("a.txt", "1.5 " * 206 + "a.jpg\n", "data=wflw"),
    "via csv": (
        "a.csv",
        "#filename,file_size,file_attributes,region_count,region_id,"
        "region_shape_attributes,region_attributes\n",
        "VIA",
    ),
    "deeplabcut": ("a.csv", "scorer,me,me\nbodyparts,nose,nose\ncoords,x,y\n", "data=table"),
    "kaggle": ("a.csv", "nose_x,nose_y,Image\n1,2," + "238 " * 200, "data=facial_keypoints"),
    "celeba": (
        "a.txt",
        "202599\nlefteye_x lefteye_y righteye_x\n000001.jpg 69  109\n",
        "data=table",
    ),
    "matlab": ("COFW.mat", "MATLAB 5.0 MAT-file", "data=mat_files"),
    "byte order mark": ("a.json", '\ufeff{"shapes": [{"shape_type": "point"}]}', "data=labelme"),
}
SETTINGS = {
    "table": lambda path: {"train": str(path), "test": ""},
    "coco": lambda path: {"root": str(path.parent), "train_annotations": path.name, **NOTHING},
    "ibug": lambda path: {"root": str(path.parent)},
    "wflw": lambda path: {"root": str(path.parent)},
    "thousand": lambda path: {"root": str(path.parent)},
    "yolo": lambda path: {"root": str(path.parent)},
    "points": lambda path: {"root": str(path.parent)},
    "cvat": lambda path: {"train": str(path), "test": ""},
    "labelme": lambda path: {"root": str(path.parent)},
    "label_studio": lambda path: {"train": str(path), "test": ""},
}
NOTHING = {"train_images": "", "test_annotations": "", "test_images": ""}


@pytest.mark.parametrize(("name", "text", "said"), FILES.values(), ids=FILES)
def test_every_reader_says_what_it_was_given(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    for reader, settings in SETTINGS.items():
        if said == f"data={reader}" or (said == "data=ibug" and reader == "points"):
            assert describe_other(tmp_path / name, reader) == ""
            continue
        with pytest.raises(UserError) as refused:
            importlib.import_module(f"landmarks.data.formats.{reader}").read_faces(
                **settings(tmp_path / name)
            )
        message = str(refused.value)
        assert said in message and name in message and "data=" in message and "\n" not in message


def test_a_table_is_named_to_the_other_readers(tmp_path):
    path = tmp_path / "deep" / "labels.csv"
    path.parent.mkdir()
    path.write_text("file_name,x_0,y_0\na.png,1,2\n")
    assert describe_other(tmp_path, "table") == describe_other(path, "table") == ""
    for reader in ("coco", "ibug", "wflw", "thousand"):
        assert f"data=table data.train={path}" in describe_other(tmp_path, reader)


def test_a_folder_in_place_of_a_file_is_looked_into(tmp_path):
    from landmarks.data.formats import coco, table

    (tmp_path / "train").mkdir()
    (tmp_path / "train/labels.csv").write_text("file_name,x_0,y_0\na.png,1,2\n")
    with pytest.raises(UserError, match=r"no table .*data\.train=.*train/labels\.csv"):
        table.read_faces(str(tmp_path), "")
    (tmp_path / "train/_annotations.coco.json").write_text(FILES["coco"][1])
    with pytest.raises(UserError, match=r"data\.train_annotations=_annotations\.coco\.json"):
        coco.read_faces(str(tmp_path), train_annotations="annotations/train.json", **NOTHING)


def test_nothing_is_said_of_what_is_not_known(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\nworld\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "._a.xml").write_bytes(b"\0\5")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "empty.csv", tmp_path / "nowhere"):
        assert describe_other(path, "coco") == ""


@pytest.mark.parametrize("where", ["outer/data", "", "data/train", "data/train/images"])
def test_a_folder_near_the_one_that_is_meant_names_it(tmp_path, where):
    meant, named = tmp_path / "data", tmp_path / where
    if where == "outer/data":  # two levels up
        meant, named = tmp_path / "outer/inner/data", tmp_path / "outer"
    (meant / "train/images").mkdir(parents=True)
    (meant / "train/landmarks.csv").write_text("")
    refuse_near(meant, "nothing/here")
    with refused(f"data.root={meant}?"):
        thousand.find_root(named)
    assert thousand.find_root(meant) == meant
