"""What lies in a folder says which reader it is for."""

import numpy as np
import pytest
from refusals import refused

from landmarks.cli.data_root_argument import name_reader
from landmarks.commands.preparing.config_groups import build, list_choices, read_choice
from landmarks.data.formats import auto
from landmarks.data.reading.find_format import find_format
from landmarks.errors import UserError


def test_every_format_is_found_by_what_lies_there(written, tmp_path):
    name = written.name.partition("-")[0]
    found = find_format(tmp_path)
    assert found.name == name and str(tmp_path) in found.why
    if name not in ("ibug", "points"):  # whose parts are told apart by settings here
        faces, known = auto.read_faces(str(tmp_path)), written.parts["train"]
        assert len(faces.rows) == len(known.names)
        assert np.allclose(faces.points, known.points, rtol=0, atol=0.001, equal_nan=True)


def test_the_contest_s_folder_is_read_as_before(contest, tmp_path):
    root = contest(train=2).root
    (root / "train/meta.csv").write_text("file_name,x_0,y_0\na,1,2\n")
    assert find_format(root).name == "thousand"
    words = ["model=resnet18", f"data.root={root}"]
    assert name_reader("train", words) == (words, "")
    named, said = name_reader("train", [f"data.root={root}", "data=auto"])
    named = [word.replace('"', "") for word in named]
    assert named == ["data=thousand", f"data.root={root}"] and "landmarks.csv" in said


def test_contests_in_a_folder_are_no_tables(contest, tmp_path):
    for name in ("a", "b"):
        contest(train=2, folder=f"all/{name}")
    with refused(f"data.root={tmp_path / 'all/a'}"):
        find_format(tmp_path / "all")


def test_files_of_several_kinds_are_asked_about(write, parts, tmp_path):
    write("cvat", tmp_path / "a", parts)
    write("labelme", tmp_path / "b", parts)
    with pytest.raises(UserError, match=r"several kinds: .*\(data=cvat\).*\(data=labelme\)"):
        find_format(tmp_path)
    write("dlib", tmp_path / "c/1", parts)
    write("dlib", tmp_path / "c/2", parts)
    with pytest.raises(UserError, match=r"data=dlib data\.train="):
        find_format(tmp_path / "c")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/notes.txt").write_text("nothing\n")
    (tmp_path / "d/meta.csv").write_text("file_name,age\na.png,7\n")
    assert find_format(tmp_path / "d") is None and find_format(tmp_path / "nowhere") is None
    with refused("labels"):
        auto.read_faces(str(tmp_path / "d"))


@pytest.mark.parametrize(
    ("command", "words", "named"),
    [
        ("train", ["data.root={}"], ["data=cvat", "data.train={}/train.xml"]),
        ("check", ["data.root={}", "data.limit=3"], ["data.limit=3", "data=cvat"]),
        ("predict", ["data=auto", "data.root={}"], ["data=cvat", "data.test={}/test.xml"]),
        ("train", ["data.root={}", "data.train=x.xml"], ["data.train=x.xml", "data=cvat"]),
        ("train", ["data.root={}/train.xml"], ["data=cvat", "data.train={}/train.xml"]),
        ("train", ["data.root={}", "resume=auto"], ["resume=auto", "data=cvat"]),
        ("train", ["data.root={}", "resume=runs/a"], None),
        ("train", ["data.root={}", "data=coco"], None),
        ("train", ["data.root={}", "experiment=quickstart"], None),
        ("train", ["-m", "data.root={},{}"], None),
        ("train", ["-m", "data.root={}", "data=auto,coco"], None),
        ("train", ["-m", "data.root={}", "loss=l1,wing"], ["-m", "loss=l1,wing", "data=cvat"]),
        ("predict", ["data.root={}"], None),
        ("evaluate", ["data.root={}"], None),
        ("evaluate", ["data.root={}", "predictions=p.csv"], ["data=cvat"]),
        ("show", ["data.root={}"], ["data=cvat"]),  # there is no run to show
        ("show", ["data.root={}", "checkpoint=a.pt"], None),
        ("train", ["data.limit=3"], None),
        ("train", ["data.root={}/nowhere"], None),
    ],
)
def test_words_name_the_reader_where_none_is_named(
    command, words, named, write, parts, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write("cvat", tmp_path, parts)
    words = [word.replace("{}", str(tmp_path)) for word in words]
    found, said = name_reader(command, words)
    if named is None:
        assert found == words and not said
        return
    found = {word.replace('"', "") for word in found}
    assert {word.replace("{}", str(tmp_path)) for word in named} <= found
    assert not any(word.startswith("data.root") for word in found) and "CVAT's XML" in said


ROOTED = [name for name in list_choices("data") if "root" in (read_choice(f"data/{name}") or {})]


@pytest.mark.parametrize("name", sorted(set(ROOTED) - {"checkpoint", "several", "synthetic"}))
@pytest.mark.parametrize("kind", ["image", "file"])
def test_a_file_in_place_of_a_folder_is_said(name, kind, tmp_path):
    file = tmp_path / ("a.jpg" if kind == "image" else "notes")
    file.write_bytes(b"\xff\xd8\xff" if kind == "image" else b"Dear diary\n")
    node = {**read_choice(f"data/{name}"), "root": str(file)}
    node = {key: None if value == "???" else value for key, value in node.items()}
    with refused(f"data.root={file}" if kind == "image" else file):
        build(node, part="train")


def test_nothing_known_is_said_of_data_auto(tmp_path):
    with refused("labels"):
        name_reader("train", ["data=auto", f"data.root={tmp_path}"])


def test_celeba_s_folder_holds_one_table_of_points(tmp_path):
    images = tmp_path / "img_align_celeba/img_align_celeba"
    images.mkdir(parents=True)
    (images / "000001.jpg").touch()
    tables = {
        "list_attr_celeba": "image_id,Smiling\n000001.jpg,1\n",
        "list_bbox_celeba": "image_id,x_1,y_1,width,height\n000001.jpg,95,71,226,313\n",
        "list_eval_partition": "image_id,partition\n000001.jpg,0\n",
        "list_landmarks_align_celeba": "image_id,lefteye_x,lefteye_y\n000001.jpg,69,109\n",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    found = find_format(tmp_path)
    assert found.name == "table" and "list_landmarks" in found.settings["train"]
    assert found.settings["images"] == str(images)


def test_coco_files_of_two_parts_beside_each_other_are_both_read(write, parts, tmp_path):
    write("coco", tmp_path, parts)
    found = find_format(tmp_path)
    for part in ("train", "test"):
        faces = build({**read_choice("data/coco"), **found.settings}, part=part)
        assert (
            len(faces) == len(parts[part].names)
            and np.isin(faces.names, np.char.encode(parts[part].names, "utf-8")).all()
        )


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("sign", [",", ";", "\t", ", "])
def test_lists_of_points_are_found_whatever_parts_them(sign, part, tmp_path):
    (tmp_path / part).mkdir()
    lines = [f"{10 + i}.5{sign}{20 + i}" for i in range(5)]
    (tmp_path / part / "a.txt").write_text("\n".join(lines))
    assert find_format(tmp_path).name == "points"


@pytest.mark.parametrize("kind", ["gone", "pointer", "UTF-16", "empty", "cut"])
@pytest.mark.parametrize(
    ("format", "file"),
    [
        ("table-csv", "train.csv"),
        ("table-parquet", "train.parquet"),
        ("dlib", "train.xml"),
        ("cvat", "train.xml"),
        ("label_studio", "train.json"),
        ("coco", "train.json"),
    ],
)
def test_test_faces_are_not_trained_on_where_the_others_cannot_be_read(
    format, file, kind, write, parts, tmp_path
):
    write(format, tmp_path, parts)
    file = tmp_path / file
    content = file.read_bytes()
    damaged = {
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "UTF-16": content.decode("utf-8", "replace").encode("utf-16"),
        "empty": b"",
        "cut": content[: len(content) // 2],
    }
    file.unlink() if kind == "gone" else file.write_bytes(damaged[kind])
    with pytest.raises(UserError) as refused:
        auto.read_faces(str(tmp_path))
    assert "train" in str(refused.value)
    if kind == "gone":
        assert len(auto.read_faces(str(tmp_path), part="test")) == len(parts["test"].names)


@pytest.mark.parametrize("other", ["latest.xml", "contest.xml", "interval.xml", "mytest.xml"])
def test_a_name_that_holds_the_word_alone_is_of_no_part(other, write, parts, tmp_path):
    write("cvat", tmp_path, parts)
    (tmp_path / "test.xml").rename(tmp_path / other)
    assert find_format(tmp_path).settings["test"] == ""
    (tmp_path / "train.xml").rename(tmp_path / "constrain.xml")
    with refused("data.train"):
        find_format(tmp_path)


@pytest.mark.parametrize("third", ["val.xml", "validation/a.xml"])
def test_a_test_file_goes_before_one_of_validation_faces(third, write, parts, tmp_path):
    write("cvat", tmp_path, parts)
    (tmp_path / third).parent.mkdir(exist_ok=True)
    (tmp_path / third).write_bytes((tmp_path / "test.xml").read_bytes())
    found = find_format(tmp_path).settings
    assert found["train"] == str(tmp_path / "train.xml")
    assert found["test"] == str(tmp_path / "test.xml")
    (tmp_path / "test.xml").unlink()
    assert find_format(tmp_path).settings["test"] == str(tmp_path / third)


def test_folders_say_of_which_part_files_are(write, parts, tmp_path):
    write("cvat", tmp_path, parts)
    for part in ("train", "test"):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / f"{part}.xml").rename(tmp_path / part / "annotations.xml")
    found = find_format(tmp_path).settings
    assert found["train"] == str(tmp_path / "train/annotations.xml")
    assert found["test"] == str(tmp_path / "test/annotations.xml")


@pytest.mark.parametrize("format", ["cvat", "coco"])
def test_test_faces_are_not_advised_to_be_trained_on(format, write, parts, tmp_path):
    write(format, tmp_path, parts)
    (train,) = tmp_path.glob("train.*")
    train.rename(train.with_stem("val"))
    with pytest.raises(UserError) as refused:
        find_format(tmp_path)
    assert str(refused.value).endswith("=FILE.")


def test_a_file_of_test_faces_that_is_named_is_trained_on(write, parts, tmp_path):
    write("cvat", tmp_path, parts)
    assert find_format(tmp_path / "test.xml").settings["train"] == str(tmp_path / "test.xml")
    (tmp_path / "test.xml").unlink()
    (tmp_path / "train.xml").rename(tmp_path / "contest_values.xml")  # "test" and "val" within
    found = find_format(tmp_path).settings
    assert found == {"train": str(tmp_path / "contest_values.xml"), "test": ""}


def test_tables_of_two_parts_have_images_of_their_own(tmp_path):
    for part in ("training", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / f"{part}/{part}_1.jpg").touch()
        text = f",0,1\n{part}_1.jpg,45.0,98.0\n"
        (tmp_path / f"{part}_frames_keypoints.csv").write_text(text)
    found = find_format(tmp_path).settings
    assert found["images"] == str(tmp_path / "training")
    assert found["test_images"] == str(tmp_path / "test")
