"""What labels look like: the right reader is named, or what to convert them to."""

import importlib
from pathlib import Path

import pytest
import yaml
from refusals import refused

from landmarks.data.formats import coco, table, thousand
from landmarks.data.reading.format_signatures import describe_other, refuse_near
from landmarks.errors import UserError

FILES = yaml.safe_load(Path(__file__).with_name("label_files.yaml").read_text(encoding="utf-8"))
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


@pytest.mark.parametrize("case", FILES)
def test_every_reader_says_what_it_was_given(tmp_path, case):
    name, said, text = FILES[case].values()
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
    (tmp_path / "train").mkdir()
    (tmp_path / "train/labels.csv").write_text("file_name,x_0,y_0\na.png,1,2\n")
    with pytest.raises(UserError, match=r"no table .*data\.train=.*train/labels\.csv"):
        table.read_faces(str(tmp_path), "")
    (tmp_path / "train/_annotations.coco.json").write_text(FILES["coco"]["text"])
    with pytest.raises(UserError, match=r"data\.train_annotations=_annotations\.coco\.json"):
        coco.read_faces(str(tmp_path), train_annotations="annotations/train.json", **NOTHING)


def test_nothing_is_said_of_what_is_not_known(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\nworld\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "._a.xml").write_bytes(b"\0\5")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "empty.csv", tmp_path / "nowhere"):
        assert describe_other(path, "coco") == ""


@pytest.mark.parametrize("file", ["annotations/test.json", "val2017.json", "test/a.json"])
def test_a_file_of_test_faces_is_not_advised_to_be_trained_on(file, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(FILES["coco"]["text"])
    for reader, nothing in ((coco, {}), (table, {"test": ""})):
        settings = {"root" if reader is coco else "train": str(tmp_path), **nothing}
        with refused(tmp_path, f"data.train{'_annotations' * (reader is coco)}=FILE"):
            reader.read_faces(**settings)
    said = describe_other(tmp_path, "ibug")
    assert f"data.test_annotations={Path(file).name} data.test_images=FOLDER" in said
    assert said == describe_other(tmp_path / file, "ibug") or file.endswith("a.json")
    (tmp_path / "zoo.json").write_text(FILES["coco"]["text"])
    assert "data.train_annotations=zoo.json" in describe_other(tmp_path, "ibug")


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
