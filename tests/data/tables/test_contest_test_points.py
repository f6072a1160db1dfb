import numpy as np
import pytest

from landmarks.data.tables.contest_test_points import read_test_points

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
