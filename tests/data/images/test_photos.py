import os

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.data.images.photos import find_images
from landmarks.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 255, (40, 30, 3)).astype(np.uint8)


@pytest.fixture
def faces(tmp_path):
    """Six images; one lies in a subfolder."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    names = ["a.jpg", "b.jpg", "sub/c.jpg", "d.png", "e.jpg", "f.jpg"]
    for name in names:
        assert cv2.imwrite(str(folder / name), NOISE)
    return Faces(folder, np.array([name.encode() for name in names]))


def names_in(place, **settings):
    found = find_images(str(place), **settings)
    return [found.name(row) for row in range(len(found))]


def test_find_images_in_a_folder(faces):
    (faces.folder / "notes.txt").write_text("no image")
    (faces.folder / "UPPER.JPG").write_bytes((faces.folder / "a.jpg").read_bytes())
    (faces.folder / "folder.png").mkdir()
    found = find_images(str(faces.folder))
    names = ["UPPER.JPG", "a.jpg", "b.jpg", "d.png", "e.jpg", "f.jpg", "sub/c.jpg"]
    assert [found.name(row) for row in range(len(found))] == names
    assert all(read_image(found.path(row)) is not None for row in range(len(found)))
    assert found.points is None and found.wanted is None


def test_find_images_from_a_list(faces, tmp_path):
    (tmp_path / "list.txt").write_text(f"images/e.jpg\r\n\n  images/sub/c.jpg  \n{faces.path(0)}\n")
    found = find_images(str(tmp_path / "list.txt"))
    assert len(found) == 3 and found.name(1) == "images/sub/c.jpg"
    for row, same in enumerate([4, 2, 0]):
        assert np.array_equal(read_image(found.path(row)), read_image(faces.path(same)))


def test_find_one_image(faces):
    found = find_images(faces.path(3))
    assert len(found) == 1 and found.path(0) == faces.path(3)


def test_find_none(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n \n")
    for name in ("empty", "empty.txt"):
        with pytest.raises(UserError, match=rf"input=.*{name}: no images"):
            find_images(str(tmp_path / name))
    with refused("nowhere"):
        find_images(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "ending", [".jfif", ".jpe", ".ppm", ".pgm", ".jp2", ".tiff", ".dib", ".pam", ".hdr"]
)
def test_what_opencv_reads_is_read_whatever_its_ending(tmp_path, ending):
    kind = {".jfif": ".jpg", ".jpe": ".jpg", ".dib": ".bmp"}.get(ending, ending)
    image = cv2.resize(NOISE, (200, 200))
    image = image[:, :, 0] if ending == ".pgm" else image
    image = image.astype(np.float32) / 255 if ending == ".hdr" else image
    data = cv2.imencode(kind, image)[1].tobytes()
    for name in (f"a{ending}", f"B{ending.upper()}", "without"):
        (tmp_path / name).write_bytes(data)
    assert names_in(tmp_path) == [f"B{ending.upper()}", f"a{ending}"]
    assert names_in(tmp_path / "without") == ["without"]  # named itself: its content counts
    assert read_image(str(tmp_path / f"a{ending}")).shape == (200, 200, 3)


def test_pictures_that_are_not_read_are_counted(faces, caplog):
    for name in ("x.HEIC", "sub/y.heic", "clip.mov", "notes.txt", "d.pts"):
        (faces.folder / name).write_bytes(b"\0\0ftyp")
    assert len(names_in(faces.folder)) == 6
    assert "2 .heic" in caplog.text and "1 .mov" in caplog.text and ".txt" not in caplog.text
    (faces.folder / "only").mkdir()
    (faces.folder / "x.HEIC").rename(faces.folder / "only/x.HEIC")
    with pytest.raises(UserError, match=r"no images.*1 \.heic"):
        find_images(str(faces.folder / "only"))
    with refused("x.HEIC", ".jpg"):
        find_images(str(faces.folder / "only/x.HEIC"))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"name,x_0,y_0\na.jpg,1,2\n", ("data=table",)),
        (b"some notes\nof mine\n", ()),
        (b"file_name\t" + b"Point_0_X\t" * 1942 + b"\n", ("data=table",)),  # no name is so long
        ("caf\xe9.jpg\n".encode("latin-1"), ("line 1", "UTF-8")),
        ("a.jpg\n".encode("utf-16"), ()),
        (b"\0\1\2", ()),
    ],
)
def test_a_file_that_is_no_list_is_refused(faces, content, named):
    (faces.folder / "file.txt").write_bytes(content)
    with refused("file.txt", *named):
        find_images(str(faces.folder / "file.txt"))


def test_a_list_may_begin_with_a_mark_and_name_files_that_are_gone(faces):
    (faces.folder / "list.txt").write_bytes("a.jpg\ngone.jpg\n".encode("utf-8-sig"))
    assert names_in(faces.folder / "list.txt") == ["a.jpg", "gone.jpg"]


def test_hidden_files_and_a_macs_are_passed_over_with_a_count(faces, caplog):
    hidden = ["._a.jpg", ".trash/a.jpg", "sub/.ipynb_checkpoints/c.jpg", "__MACOSX/a.jpg"]
    for name in hidden:
        (faces.folder / name).parent.mkdir(exist_ok=True)
        (faces.folder / name).write_bytes((faces.folder / "a.jpg").read_bytes())
    assert len(names_in(faces.folder)) == 6
    assert "4 hidden names" in caplog.text
    within = faces.folder / ".trash"  # named itself
    assert names_in(within) == ["a.jpg"]


def test_hidden_names_of_any_encoding_are_told(faces, caplog):
    try:
        (faces.folder / os.fsdecode(b"._caf\xe9.jpg")).write_bytes(b"")
    except OSError:
        pytest.skip("this disk takes no such name")
    assert len(names_in(faces.folder)) == 6
    assert caplog.text.encode() and "1 hidden name" in caplog.text


def test_links_are_followed_once_and_never_round(faces, tmp_path):
    (tmp_path / "disk/deep").mkdir(parents=True)
    for name in ("x.png", "deep/y.png"):
        cv2.imwrite(str(tmp_path / "disk" / name), NOISE)
    (faces.folder / "more").symlink_to(tmp_path / "disk")
    (faces.folder / "again").symlink_to(tmp_path / "disk/deep")
    (faces.folder / "inside").symlink_to(faces.folder / "sub")
    (faces.folder / "up").symlink_to(tmp_path)
    (tmp_path / "disk/deep/round").symlink_to(tmp_path / "disk")
    (faces.folder / "z.png").symlink_to(tmp_path / "disk/x.png")
    found = names_in(faces.folder)
    assert sorted(name.rpartition("/")[2] for name in found) == (
        "a.jpg b.jpg c.jpg d.png e.jpg f.jpg x.png y.png z.png".split()
    )
    assert {"sub/c.jpg", "z.png"} <= set(found)  # by their own names, where they have them


def test_a_broken_link_is_not_passed_over(faces):
    (faces.folder / "g.jpg").symlink_to("nowhere.jpg")
    assert "g.jpg" in names_in(faces.folder)


def test_a_pipe_is_no_image(faces):
    os.mkfifo(faces.folder / "pipe.jpg")
    assert "pipe.jpg" not in names_in(faces.folder)


def test_a_name_that_is_not_utf8_is_one_sentence(faces):
    try:
        (faces.folder / "a.jpg").rename(faces.folder / os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this disk takes no such name")
    with pytest.raises(UserError, match=r"not UTF-8, perhaps 'caf\xe9\.jpg'"):
        find_images(str(faces.folder))
