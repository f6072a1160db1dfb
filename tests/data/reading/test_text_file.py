"""Text files as people save them: what is read, and what is refused in one sentence."""

import gzip
import zipfile

import pytest
from refusals import refused

from landmarks.data.reading.text_file import find_delimiter, read_rows, read_text


@pytest.fixture
def written(tmp_path):
    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("sign", ",;\t|")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_table_is_read_however_it_was_saved(written, sign, end, start):
    lines = [["name", '"a, b; c"', "x"], ["", "", ""], ["ü.png", " 1", "2"], ["", "", ""]]
    text = start + end.join(sign.join(line) for line in lines) + end + end
    rows = list(read_rows(written(text)))
    assert rows == [(1, ["name", "a, b; c", "x"]), (3, ["ü.png", "1", "2"])]


def test_a_line_without_separators_is_one_column():
    assert find_delimiter("name") == "," and find_delimiter('"a;b;c",d') == ","


def zipped(tmp_path, inside):
    with zipfile.ZipFile(tmp_path / "z", "w") as file:
        file.writestr(inside, "text")
    return (tmp_path / "z").read_bytes()


TEXT = "file_name,x_0,y_0\na.png,1,2\n"
BINARY = {
    "utf-16": (TEXT.encode("utf-16"), "UTF-16"),
    "utf-16, big": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16"),
    "utf-16, no mark": (TEXT.encode("utf-16-le"), "UTF-16"),
    "gzip": (gzip.compress(TEXT.encode()), "gzip"),
    "xls": (b"\xd0\xcf\x11\xe0" + bytes(90), "Excel"),
    "parquet": (b"PAR1" + bytes(9), "Parquet"),
    "mat": (b"MATLAB 5.0 MAT-file" + bytes(9), "MATLAB"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(9), "image"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid 1\n", "git lfs pull"),
    "page": (b"<!DOCTYPE html>\n<html>", "web page"),
    "unknown": (b"\x01\x02\x03\0\x05\x06" * 9, "binary"),
}


@pytest.mark.parametrize("read", [read_text, lambda path: next(read_rows(path))])
@pytest.mark.parametrize(("content", "said"), BINARY.values(), ids=BINARY)
def test_what_is_no_text_is_named(written, refuse, read, content, said):
    assert said in refuse(read, written(content))


def test_archives_and_workbooks_are_told_apart(written, tmp_path):
    for inside, said in (("xl/workbook.xml", "Excel"), ("labels.csv", "ZIP")):
        with refused(said):
            read_text(written(zipped(tmp_path, inside)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name,x\nb,1\na\xe9.png,2\n", ["line 3", "UTF-8"]),
        (b"sep=;\nname;x\n", ["line 1", "'sep=;'"]),
        (b'name,x\n"a"b,1\n', ["line 2"]),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(written, content, said):
    with refused(*said):
        list(read_rows(written(content)))


def test_rows_come_one_at_a_time(written):
    rows = read_rows(written(b"name,x\n" + b"c,2\n" * 100_000 + b"b\xe9,1\n"))
    assert next(rows) == (1, ["name", "x"])
    with refused("line 100002"):
        list(rows)
