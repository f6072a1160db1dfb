import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.faces import Faces
from landmarks.data.images import check_images as goodimages
from landmarks.data.images.check_images import check_images
from landmarks.data.images.decoding import read_image
from landmarks.data.reading.reader_arguments import Reading
from landmarks.errors import UserError


@pytest.fixture
def faces(tmp_path):
    """Six faces, all of them readable; one lies in a subfolder."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    names = ["a.jpg", "b.jpg", "sub/c.jpg", "d.png", "e.jpg", "f.jpg"]
    for i, name in enumerate(names):
        noise = np.random.default_rng(i).integers(0, 255, (40 + i, 30, 3)).astype(np.uint8)
        assert cv2.imwrite(str(folder / name), noise)
    return Faces(folder, np.array([name.encode() for name in names]), source="list.csv")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def cut_with_thumbnail(path):
    """Cut off a photo that holds a whole smaller one, as cameras write them."""
    thumbnail = cv2.imencode(".jpg", np.full((8, 8, 3), 99, np.uint8))[1].tobytes()
    data = path.read_bytes()
    length = (len(thumbnail) + 8).to_bytes(2, "big")
    path.write_bytes(data[:2] + b"\xff\xe1" + length + b"Exif\0\0" + thumbnail + data[2:])
    assert read_image(str(path)) is not None
    cut(path)


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "corrupt": lambda path: path.write_bytes(b"\xff\xd8 no image \xff\xd9"),
    "empty": lambda path: path.write_bytes(b""),
    "cut off": cut,
    "cut off, with a thumbnail": cut_with_thumbnail,
    "page": lambda path: path.write_text("<html>404</html>"),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("flags", [cv2.IMREAD_COLOR, cv2.IMREAD_REDUCED_GRAYSCALE_8])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_read_image_gives_a_whole_image_or_none(faces, damage, flags):
    assert read_image(faces.path(0), flags) is not None
    damage(faces.folder / "a.jpg")
    assert read_image(faces.path(0), flags) is None


def test_read_image_is_bgr(tmp_path):
    cv2.imwrite(str(tmp_path / "blue.png"), np.full((4, 6, 3), (250, 10, 20), np.uint8))
    image = read_image(str(tmp_path / "blue.png"))
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    assert image[0, 0].tolist() == [250, 10, 20]


def test_a_grey_image_has_three_channels_too(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 6), 99, np.uint8))
    assert read_image(str(tmp_path / "grey.png")).shape == (4, 6, 3)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_good_images_are_all_used(faces, part, on_error):
    kept = check_images(faces, Reading(part=part, on_error=on_error))
    assert kept.rows.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_unreadable_images_stop_with_a_list_or_are_left_out(faces, damage, caplog):
    damage(faces.folder / "b.jpg")
    damage(faces.folder / "sub/c.jpg")
    with pytest.raises(UserError, match=r"^2 of 6 images .*b\.jpg, sub/c\.jpg.*on_error=skip"):
        check_images(faces, Reading())
    assert not caplog.text
    assert check_images(faces, Reading(on_error="skip")).rows.tolist() == [0, 3, 4, 5]
    assert "Left out 2 of 6 images" in caplog.text and "b.jpg, sub/c.jpg" in caplog.text


def test_missing_and_unreadable_are_told_apart(faces):
    DAMAGE["missing"](faces.folder / "a.jpg")
    cut(faces.folder / "b.jpg")
    cut(faces.folder / "e.jpg")
    with pytest.raises(UserError, match=r"\(1 missing, 2 unreadable\)"):
        check_images(faces, Reading())
    with pytest.raises(UserError, match=r"\(1 missing, 0 unreadable\)"):
        check_images(faces, Reading(part="test"))


def test_a_long_list_is_cut(tmp_path):
    names = np.array([f"{i:02d}.jpg".encode() for i in range(25)])
    (tmp_path / "24.jpg").touch()
    with pytest.raises(UserError) as refused:
        check_images(Faces(tmp_path, names, source="list.csv"), Reading())
    assert "25 of 25" in str(refused.value)
    assert "19.jpg, ..." in str(refused.value) and "20.jpg" not in str(refused.value)
    with pytest.raises(UserError, match=r"list\.csv"):
        check_images(Faces(tmp_path, names, source="list.csv"), Reading(on_error="skip"))


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_labels_alone_are_told_where_to_name_the_images(tmp_path, on_error):
    names = np.array([b"a.jpg", b"b.jpg"])
    faces = Faces(tmp_path / "labels", names, source="list.csv")
    faces.folder.mkdir()
    for name in ("a.json", "b.json"):
        (faces.folder / name).touch()
    with pytest.raises(UserError, match=r"None of 2 images .*data\.images=FOLDER") as refused:
        check_images(faces, Reading(on_error=on_error), named_by="data.images")
    assert "a.json" not in str(refused.value)  # labels are no images


@pytest.mark.parametrize("name", ["a.jpg", "sub/c.jpg"])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_link_to_the_outside_is_refused(faces, tmp_path, name, on_error):
    outside = tmp_path / "outside.jpg"
    (faces.folder / name).rename(outside)
    (faces.folder / name).symlink_to(outside)
    with refused(name, "link"):
        check_images(faces, Reading(on_error=on_error))


def test_a_linked_subfolder_to_the_outside_is_refused(faces, tmp_path):
    (faces.folder / "sub").rename(tmp_path / "elsewhere")
    (faces.folder / "sub").symlink_to(tmp_path / "elsewhere")
    with refused("link"):
        check_images(faces, Reading(part="test", on_error="skip"))


def test_links_inside_and_a_linked_folder_are_fine(faces, tmp_path):
    (faces.folder / "a.jpg").unlink()
    (faces.folder / "a.jpg").symlink_to("b.jpg")
    (tmp_path / "link").symlink_to(faces.folder)
    linked = Faces(tmp_path / "link", faces.names)
    assert len(check_images(linked, Reading()).rows) == 6


def test_a_broken_link_is_missing(faces):
    (faces.folder / "a.jpg").unlink()
    (faces.folder / "a.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(UserError, match=r"\(1 missing, 0 unreadable\).*a\.jpg"):
        check_images(faces, Reading())


def test_good_images_are_decoded_once_and_restored_ones_are_found(faces, monkeypatch):
    whole = (faces.folder / "e.jpg").read_bytes()
    (faces.folder / "e.jpg").write_bytes(whole[:200])
    assert check_images(faces, Reading(on_error="skip")).rows.tolist() == [0, 1, 2, 3, 5]
    read, looked = goodimages.read_image, []
    monkeypatch.setattr(goodimages, "read_image", lambda *a: looked.append(a[0]) or read(*a))
    (faces.folder / "e.jpg").write_bytes(whole)
    assert check_images(faces, Reading(on_error="skip")).rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert looked == [faces.path(4)]


def test_folders_are_looked_at_once_each(tmp_path, monkeypatch):
    for folder in ("x", "y/z"):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(20):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), np.zeros((8, 8), np.uint8))
    names = [f"{folder}/{i}.png".encode() for i in range(20) for folder in ("x", "y/z", "gone")]
    faces, real = Faces(tmp_path, np.array([*names, b"top.png"])), os.path.realpath
    resolved = []
    monkeypatch.setattr(os.path, "realpath", lambda p: resolved.append(p) or real(p))
    with pytest.raises(UserError, match=r"^21 of 61 images \(21 missing"):
        check_images(faces, Reading(part="test"))
    assert len(resolved) <= 4


def test_a_limit_forgets_no_good_image(faces, monkeypatch):
    check_images(faces, Reading())
    read, looked = goodimages.read_image, []
    monkeypatch.setattr(goodimages, "read_image", lambda *a: looked.append(a[0]) or read(*a))
    few = replace(faces, names=faces.names[:2])
    for some in (few, faces, few):
        check_images(some, Reading())
    assert not looked


def test_a_file_of_the_same_size_and_time_is_looked_at_again(faces):
    path = faces.folder / "b.jpg"
    check_images(faces, Reading())
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UserError, match=r"\(0 missing, 1 unreadable\).*b\.jpg"):
        check_images(faces, Reading())


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_list_of_good_images_is_made_again(faces, cache, damage):
    check_images(faces, Reading())
    (kept,) = cache.glob("images/*/good.npz")
    kept.unlink() if damage is None else kept.write_bytes(damage)
    assert len(check_images(faces, Reading()).rows) == 6
    assert len(np.load(kept)["names"]) == 6


def test_two_runs_at_once_keep_what_both_have_found(faces, cache, monkeypatch):
    save = goodimages._save

    def other_first(*arguments):
        monkeypatch.setattr(goodimages, "_save", save)
        check_images(replace(faces, names=faces.names[3:]), Reading())
        return save(arguments[0], goodimages._load(arguments[0]), *arguments[2:])

    monkeypatch.setattr(goodimages, "_save", other_first)
    check_images(replace(faces, names=faces.names[:3]), Reading())
    (kept,) = cache.glob("images/*/good.npz")
    assert len(np.load(kept)["names"]) == 6
