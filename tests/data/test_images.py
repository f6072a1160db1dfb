import cv2
import numpy as np
import pytest

from landmarks.data import images
from landmarks.data.faces import Faces
from landmarks.data.images import check_images, find_images, read_image
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


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_good_images_are_all_used(faces, decode, on_error):
    assert check_images(faces, on_error, None, decode).rows.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_unreadable_images_stop_with_a_list_or_are_left_out(faces, damage, caplog):
    damage(faces.folder / "b.jpg")
    damage(faces.folder / "sub/c.jpg")
    with pytest.raises(UserError, match=r"^2 of 6 images .*b\.jpg, sub/c\.jpg.*on_error=skip"):
        check_images(faces, "stop", None, decode=True)
    assert not caplog.text
    assert check_images(faces, "skip", None, decode=True).rows.tolist() == [0, 3, 4, 5]
    assert "Left out 2 of 6 images" in caplog.text and "b.jpg, sub/c.jpg" in caplog.text


def test_missing_and_unreadable_are_told_apart(faces):
    DAMAGE["missing"](faces.folder / "a.jpg")
    cut(faces.folder / "b.jpg")
    cut(faces.folder / "e.jpg")
    with pytest.raises(UserError, match=r"\(1 missing, 2 unreadable\)"):
        check_images(faces, "stop", None, decode=True)
    with pytest.raises(UserError, match=r"\(1 missing, 0 unreadable\)"):
        check_images(faces, "stop", None, decode=False)


def test_a_long_list_is_cut(tmp_path):
    names = np.array([f"{i:02d}.jpg".encode() for i in range(25)])
    with pytest.raises(UserError) as refused:
        check_images(Faces(tmp_path, names, source="list.csv"), "stop", None, decode=True)
    assert "25 of 25" in str(refused.value)
    assert "19.jpg, ..." in str(refused.value) and "20.jpg" not in str(refused.value)
    with pytest.raises(UserError, match=r"Not one image of list\.csv can be read"):
        check_images(Faces(tmp_path, names, source="list.csv"), "skip", None, decode=True)


@pytest.mark.parametrize("name", ["a.jpg", "sub/c.jpg"])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_link_to_the_outside_is_refused(faces, tmp_path, name, on_error):
    outside = tmp_path / "outside.jpg"
    (faces.folder / name).rename(outside)
    (faces.folder / name).symlink_to(outside)
    with pytest.raises(UserError, match=rf"{name} is a link that leaves the images folder"):
        check_images(faces, on_error, None, decode=True)


def test_a_linked_subfolder_to_the_outside_is_refused(faces, tmp_path):
    (faces.folder / "sub").rename(tmp_path / "elsewhere")
    (faces.folder / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link that leaves the images folder"):
        check_images(faces, "skip", None, decode=False)


def test_links_inside_and_a_linked_folder_are_fine(faces, tmp_path):
    (faces.folder / "a.jpg").unlink()
    (faces.folder / "a.jpg").symlink_to("b.jpg")
    (tmp_path / "link").symlink_to(faces.folder)
    linked = Faces(tmp_path / "link", faces.names)
    assert len(check_images(linked, "stop", None, decode=True).rows) == 6


def test_a_broken_link_is_missing(faces):
    (faces.folder / "a.jpg").unlink()
    (faces.folder / "a.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(UserError, match=r"\(1 missing, 0 unreadable\).*a\.jpg"):
        check_images(faces, "stop", None, decode=True)


def test_good_images_are_decoded_once_and_restored_ones_are_found(faces, monkeypatch):
    whole = (faces.folder / "e.jpg").read_bytes()
    (faces.folder / "e.jpg").write_bytes(whole[:200])
    assert check_images(faces, "skip", None, decode=True).rows.tolist() == [0, 1, 2, 3, 5]
    read, looked = images.read_image, []
    monkeypatch.setattr(images, "read_image", lambda *a: looked.append(a[0]) or read(*a))
    (faces.folder / "e.jpg").write_bytes(whole)
    assert check_images(faces, "skip", None, decode=True).rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert looked == [faces.path(4)]


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
    with pytest.raises(UserError, match=r"input=.*nowhere: there is no such"):
        find_images(str(tmp_path / "nowhere"))
