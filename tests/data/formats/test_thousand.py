import shutil

import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.thousand import find_root, read_faces, read_test_points
from landmarks.errors import UserError


def test_training_faces(contest):
    made = contest()
    faces = read_faces(str(made.root))
    assert len(faces) == 6 and faces.num_points == 5
    assert [faces.name(row) for row in range(6)] == made.names
    assert np.array_equal(faces.points, made.points)
    assert faces.rows.tolist() == [0, 1, 2, 3, 4, 5] and faces.wanted is None
    assert faces.source == str(made.root / "train/landmarks.csv")


def test_test_faces(contest):
    made = contest()
    faces = read_faces(str(made.root), part="test")
    assert [faces.name(row) for row in range(3)] == made.test_names
    assert np.array_equal(faces.wanted, made.wanted) and faces.points is None
    assert faces.source == str(made.root / "test/test_points.csv")


@pytest.mark.parametrize("inside", ["", "contest01_data"])
@pytest.mark.parametrize("list_in", ["test", "base", "root"])
def test_where_the_files_may_lie(contest, tmp_path, inside, list_in):
    """test_points.csv came as a download of its own, so people put it beside the rest."""
    made = contest()
    root = tmp_path / "data"
    base = root / inside
    shutil.copytree(made.root, base)
    place = {"test": base / "test", "base": base, "root": root}[list_in]
    (base / "test/test_points.csv").rename(place / "test_points.csv")
    assert find_root(root) == base
    assert np.array_equal(read_faces(str(root)).points, made.points)
    assert np.array_equal(read_faces(str(root), part="test").wanted, made.wanted)


def test_limit_takes_the_first(contest):
    made = contest()
    assert np.array_equal(read_faces(str(made.root), limit=2).points, made.points[:2])
    faces = read_faces(str(made.root), part="test", limit=2)
    assert np.array_equal(faces.wanted, made.wanted[:2]) and len(faces) == 2
    assert len(read_faces(str(made.root), limit=100)) == 6


def test_limit_asks_for_no_image_beyond_it(contest):
    made = contest()
    (made.root / "train/images" / made.names[4]).unlink()
    assert len(read_faces(str(made.root), limit=4).rows) == 4
    with pytest.raises(UserError, match=made.names[4]):
        read_faces(str(made.root))


def test_unreadable_images(contest, caplog):
    made = contest()
    (made.root / "train/images" / made.names[2]).write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of 6 images .*data\.on_error=skip"):
        read_faces(str(made.root))
    assert read_faces(str(made.root), on_error="skip").rows.tolist() == [0, 1, 3, 4, 5]
    assert made.names[2] in caplog.text


def test_nothing_there_names_what_to_do(tmp_path):
    with refused(tmp_path / "data", "data.root=FOLDER", "data=synthetic"):
        read_faces(str(tmp_path / "data"))
    with refused(tmp_path, "contest01_data/", "data.root=FOLDER", "data=synthetic"):
        read_faces(str(tmp_path))


@pytest.mark.parametrize(
    ("part", "gone", "named"),
    [
        ("train", "train/images", ("train/images",)),
        ("train", "train/landmarks.csv", ("train/landmarks.csv",)),
        ("test", "test/images", ("test/images",)),
        ("test", "test/test_points.csv", ("test/test_points.csv", "input=")),
    ],
)
def test_a_missing_part_is_named(contest, part, gone, named):
    made = contest()
    (made.root / gone).rename(made.root / "elsewhere")
    with refused(*named):
        read_faces(str(made.root), part=part)


def test_real_faces(faces971):
    faces = read_faces(str(faces971), limit=50)
    assert faces.points.shape == (50, 971, 2) and len(faces.rows) == 50
    assert len(read_faces(str(faces971), part="test")) == 864


HEADER = "file_name\tpoint_index_list\n"
PLAIN = HEADER + "b.jpg\t[742, 385, 0]\na.jpg\t[3, 970, 12]\n"


@pytest.fixture
def written(write_file):
    return lambda text: write_file("test_points.csv", text)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN[:-1],
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN + "\n\n",
        PLAIN.replace("[", '"[').replace("]", ']"'),
        PLAIN.replace(", ", ","),
    ],
    ids=["plain", "no end", "windows", "old mac", "bom", "empty lines", "quoted", "dense"],
)
def test_rows_and_indices_in_the_file_s_order(written, text):
    names, wanted = read_test_points(written(text))
    assert names.tolist() == [b"b.jpg", b"a.jpg"]
    assert wanted.dtype == np.int32
    assert wanted.tolist() == [[742, 385, 0], [3, 970, 12]]


BAD = {
    "empty file": ("", ["line 1", "point_index_list"]),
    "header only": (HEADER, ["names no faces"]),
    "other header": (PLAIN.replace("file_name", "name"), ["line 1", "'name point_index_list'"]),
    "commas": (PLAIN.replace("\t", ","), ["line 1", "TAB-separated"]),
    "name alone": (PLAIN + "c.jpg\n", ["line 4", "TAB"]),
    "empty line": (HEADER + "\n" + PLAIN[len(HEADER) :], ["line 2"]),
    "not a list": (PLAIN + "c.jpg\t7\n", ["line 4, column 2", "'7'"]),
    "code": (PLAIN + "c.jpg\t[int(1), 2, 3]\n", ["line 4, column 2", "'[int(1), 2, 3]'"]),
    "cut off": (PLAIN + "c.jpg\t[1, 2, 3\n", ["line 4, column 2", "'[1, 2, 3'"]),
    "fractions": (PLAIN + "c.jpg\t[1.5, 2, 3]\n", ["line 4, column 2", "[1.5"]),
    "truth": (PLAIN + "c.jpg\t[true, 2, 3]\n", ["line 4, column 2", "[true"]),
    "no points": (PLAIN + "c.jpg\t[]\n", ["line 4, column 2"]),
    "negative": (PLAIN + "c.jpg\t[1, -2, 3]\n", ["line 4, column 2", "-2"]),
    "huge": (PLAIN + "c.jpg\t[1, 2, 4294967296]\n", ["line 4, column 2", "4294967296"]),
    "another width": (PLAIN + "c.jpg\t[1, 2]\n", ["line 4, column 2", "2 points", "has 3"]),
    "twins": (PLAIN + "b.jpg\t[1, 2, 3]\n", ["line 4", "'b.jpg'", "line 2"]),
    "leaves": (PLAIN + "../c.jpg\t[1, 2, 3]\n", ["line 4, column 1", "'../c.jpg'"]),
    "no name": (PLAIN + "\t[1, 2, 3]\n", ["line 4, column 1"]),
    "not UTF-8": (PLAIN.encode() + b"\xe9.jpg\t[1, 2, 3]\n", ["line 4", "UTF-8"]),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_malformed_files_are_refused_in_one_sentence(written, refuse, text, said):
    message = refuse(read_test_points, written(text))
    assert all(words in message for words in said)


def test_real_list(faces971):
    names, wanted = read_test_points(faces971 / "test/test_points.csv")
    assert names.shape == (864,) and wanted.shape == (864, 30)
    assert wanted.min() >= 0 and wanted.max() <= 970
    assert (np.diff(np.sort(wanted, axis=1)) > 0).all()  # thirty different ones a face
    assert (np.diff(wanted, axis=1) < 0).any()  # in an order of their own
