"""A text file of points a face, as LaPa, JD-landmark and FaceSynthetics have them."""

import unicodedata

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.points import read_faces
from landmarks.errors import UserError

POINTS = np.array([[[1.5, 2], [30, 40], [7, 8]], [[3, 4], [50, 60.25], [9, 8]]])
PLACES = {  # of the image and of the text, by data set
    "lapa": ("train/images/{}.jpg", "train/landmarks/{}.txt"),
    "jd": ("AFW/picture/{}.jpg", "AFW/landmark/{}.jpg.txt"),
    "face synthetics": ("{}.png", "{}_ldmks.txt"),
    "pts": ("afw/{}.JPG", "afw/{}.pts"),
    "mirrored trees": ("pictures/x/y/{}.png", "labels/x/y/{}.txt"),
}


@pytest.fixture
def write(tmp_path):
    """Write the faces' images and texts at places, return the folder."""

    def write(image, text, before="", sign=" ", names=("a", "b")):
        for name, points in zip(names, POINTS, strict=True):
            lines = "".join(f"{x}{sign}{y}\n" for x, y in points)
            places = tmp_path / image.format(name), tmp_path / text.format(name)
            for place in places:
                place.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(places[0]), np.full((64, 64, 3), 99, np.uint8))
            places[1].write_text(before + lines)
        return str(tmp_path)

    return write


@pytest.mark.parametrize("before", ["", "3\n", "\ufeff3\r\n", "version: 1\nn_points: 3\n"])
@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_text_files_find_their_images(write, places, before):
    root = write(*places, before)
    faces = read_faces(root)
    assert np.array_equal(faces.points, POINTS)
    assert [faces.name(row) for row in faces.rows] == [places[0].format(name) for name in "ab"]
    assert np.array_equal(read_faces(root, one_based=True).points, POINTS - 1)


@pytest.mark.parametrize("sign", [",", ";", "\t", "  ", ", ", " ;"])
def test_x_and_y_are_parted_by_any_sign(write, sign):
    assert np.array_equal(read_faces(write("{}.png", "{}.txt", sign=sign)).points, POINTS)


def test_a_decimal_comma_is_named(write, tmp_path):
    root = write("{}.png", "{}.txt")
    (tmp_path / "b.txt").write_text("3,5 4\n50 60\n9 8\n")
    with refused("b.txt, line 1, column 1", "'3,5'"):
        read_faces(root)


def test_names_are_the_same_in_both_forms_of_unicode(write, tmp_path):
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    write("images/{}.png", "landmarks/{}.txt", names=(composed, "b"))
    (tmp_path / f"landmarks/{composed}.txt").rename(tmp_path / f"landmarks/{apart}.txt")
    faces = read_faces(str(tmp_path))
    assert sorted(faces.name(row) for row in faces.rows) == [
        "images/b.png",
        f"images/{composed}.png",
    ]


def test_several_folders_of_images_are_asked_about(write, tmp_path):
    write("before/{}.png", "landmarks/{}.txt")
    root = write("after/{}.png", "landmarks/{}.txt")
    with pytest.raises(
        UserError, match=r"several folders .*\(after, before\).*data\.images=FOLDER"
    ):
        read_faces(root)
    faces = read_faces(f"{root}/landmarks", images=f"{root}/after")
    assert [faces.path(row) for row in faces.rows] == [f"{root}/after/{name}.png" for name in "ab"]


def test_several_suffixes_are_asked_about(write):
    write("{}.png", "{}.txt")
    root = write("{}.png", "{}_old.txt")
    with pytest.raises(UserError, match=r"end in \.txt, _old\.txt .*data\.suffix="):
        read_faces(root)
    assert len(read_faces(root, suffix="_OLD.txt")) == 2
    with refused("train", "_new.txt"):
        read_faces(root, suffix="_new.txt")


def test_a_note_among_the_texts_is_no_face(write, tmp_path, caplog):
    root = write("{}.png", "{}.txt")
    (tmp_path / "README.txt").write_text("These faces are free to use.\n")
    assert len(read_faces(root)) == 2 and "README.txt" in caplog.text
    (tmp_path / "a.txt").write_text("free\n")
    with refused("a.txt, line 1", "'free'"):
        read_faces(root)


def test_test_folders_part_the_faces(write):
    write("train/{}.png", "train/{}.txt")
    root = write("test/{}.png", "test/{}.txt")
    assert [read_faces(root).name(0), read_faces(root, part="test").name(0)] == [
        "train/a.png",
        "test/a.png",
    ]
    with refused("test", "none", "data.test_folders="):
        read_faces(root, test_folders=[], part="test")
    with refused("data.root=FOLDER"):
        read_faces(f"{root}/nowhere")


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_missing_image_is_named_where_it_was_looked_for(write, tmp_path, name):
    image, text = PLACES["lapa"]
    root = write(image, text)
    masks = tmp_path / "train/labels"
    masks.mkdir()
    for one in "ab":
        cv2.imwrite(str(masks / f"{one}.png"), np.zeros((64, 64), np.uint8))
    (tmp_path / image.format(name)).unlink()
    with refused("1 of 2 images", f"train/images/{name}.jpg"):
        read_faces(root)
    other = "b" if name == "a" else "a"
    faces = read_faces(root, on_error="skip")
    assert [faces.name(row) for row in faces.rows] == [image.format(other)]


def test_missing_images_are_named_in_an_empty_folder_and_beside_others(write, tmp_path):
    image, text = PLACES["lapa"]
    root = write(image, text)
    for one in "ab":
        (tmp_path / image.format(one)).unlink()
    with refused("train/images/a.jpg", "data.images=FOLDER"):
        read_faces(root)
    beside = write("own/{}.jpg", "own/{}.txt")
    (tmp_path / "own/b.jpg").unlink()
    with refused("own/b.jpg"):
        read_faces(f"{beside}", suffix=".txt", test_folders=["train"])


def test_a_folder_of_images_that_is_not_there_is_asked_for(write, tmp_path):
    root = write(*PLACES["lapa"])
    with refused(tmp_path / "nowhere", "data.images=FOLDER"):
        read_faces(root, images=str(tmp_path / "nowhere"))
