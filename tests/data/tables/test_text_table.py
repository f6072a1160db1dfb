"""Tables whose header is not one line of names with commas."""

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.table import read_faces
from landmarks.data.tables import table_rows, text_table
from landmarks.data.tables.text_table import read_table

CELEBA = (
    "202599\n"
    "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y \n"
    "000001.jpg  69  109  106  113   77  142\n"
    "000002.jpg   9   10   16   13    7   12 \n"
)
CELEBA_NAMES = ["lefteye", "righteye", "nose"]
CELEBA_POINTS = [[[69, 109], [106, 113], [77, 142]], [[9, 10], [16, 13], [7, 12]]]
DEEPLABCUT = (
    "scorer,me,me,me,me\nbodyparts,Nose,Nose,left eye,left eye\ncoords,x,y,x,y\n"
    "labeled-data/clip/img005.png,185.25,61.5,,\nlabeled-data/clip/img010.png,1,2,3,4\n"
)
PLACES = [[[185.25, 61.5], [np.nan, np.nan]], [[1, 2], [3, 4]]]
SPLIT = DEEPLABCUT.replace("labeled-data/clip/", "labeled-data,clip,").replace(
    "scorer,", "scorer,,,"
)
SPLIT = SPLIT.replace("bodyparts,", "bodyparts,,,").replace("coords,", "coords,,,")


@pytest.fixture
def read(tmp_path):
    """Write a table and images of the names in it; return its faces."""

    def read(text, names, name="t.csv", **settings):
        (tmp_path / name).write_text(text)
        for image in names:
            (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / image), np.full((8, 8, 3), 99, np.uint8))
        faces = read_faces(str(tmp_path / name), "", **settings)
        assert [faces.name(row) for row in range(len(faces))] == names
        return faces

    return read


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_celeba_s_list(read, end, start):
    text = start + CELEBA.replace("\n", end)
    faces = read(text, ["000001.jpg", "000002.jpg"], "list.txt")
    assert faces.points.tolist() == CELEBA_POINTS and list(faces.point_names) == CELEBA_NAMES
    assert len(read(text, ["000001.jpg"], "list.txt", limit=1)) == 1


def test_counts_blanks_and_unnamed_columns_each_alone(read):
    names = ["000001.jpg", "000002.jpg"]
    lines = CELEBA.splitlines()
    for text in (
        "\n".join(lines[1:]),
        "\n".join([lines[0], f"image_id {lines[1]}", *lines[2:]]),
        "\n".join(",".join(line.split()) for line in lines),
        "\n".join("\t".join(line.split()) for line in lines[1:]),
    ):
        assert read(text, names).points.tolist() == CELEBA_POINTS


def test_a_row_too_short_or_too_long_is_named_by_its_line(read):
    for row in ("000003.jpg 1 2 3 4 5", "000003.jpg 1 2 3 4 5 6 7"):
        with refused("list.txt, line 5", 7):
            read(CELEBA + row + "\n", [], "list.txt")
    with refused("line 4, column 2 ('lefteye_x')", "'z'"):
        read(CELEBA.replace("   9   10", " z 10"), [], "list.txt")


@pytest.mark.parametrize("text", [DEEPLABCUT, SPLIT], ids=["one column", "three columns"])
def test_deeplabcut_s_header(read, text):
    faces = read(text, ["labeled-data/clip/img005.png", "labeled-data/clip/img010.png"])
    assert np.array_equal(faces.points, PLACES, equal_nan=True)
    assert list(faces.point_names) == ["Nose", "left eye"]


def test_visibility_beside_deeplabcut_s_points(read):
    text = (
        "scorer,me,me,me,me,me,me\nbodyparts,p1,p1,p1,tip,tip,tip\n"
        "coords,x,y,visible,x,y,visible\na.png,1,2,2,0,0,0\nb.png,5,6,1,7,8,2\n"
    )
    points = read(text, ["a.png", "b.png"]).points
    gone = [np.nan, np.nan]
    assert np.array_equal(points, [[[1, 2], gone], [[5, 6], [7, 8]]], equal_nan=True)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bodyparts", "individuals,a,a,b,b\nbodyparts", "line 2: several individuals"),
        ("coords", "other", "line 1: scorer, bodyparts and coords belong"),
        ("coords,x,y,x,y", "coords,x,y,x", "line 3: 4 columns where line 2 has 5"),
    ],
)
def test_another_header_than_deeplabcut_s_is_refused(refuse, tmp_path, old, new, said):
    path = tmp_path / "t.csv"
    path.write_text(DEEPLABCUT.replace(old, new))
    assert said in refuse(lambda file: read_faces(str(file), ""), path)


def test_a_list_of_names_is_one_column(tmp_path):
    for text, header in (
        ("my face.png\nx y.png\n", ["my face.png"]),
        ("12\n13\n", ["12"]),
        ("file_name\na b c.png\n", ["file_name"]),
    ):
        (tmp_path / "t.txt").write_text(text)
        assert read_table(tmp_path / "t.txt")[0] == header


HEADER = "file_name,x_0,y_0,x_1,y_1"
ROWS = [f"{i:03d}.png,{i}.25,-{i},{i / 7:.6f},1e{i % 3}" for i in range(60)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(text_table, "BLOCK", 256)


def read_numbers(path):
    header = table_rows.read_header(path)
    blocks = [*table_rows.read_rows(path, 0, [1, 2, 3, 4][: len(header) - 1])]
    return np.concatenate([names for names, _ in blocks]), np.concatenate([v for _, v in blocks])


@pytest.fixture
def read_exactly(monkeypatch):
    def exactly(path):
        def refuse(*_):
            raise text_table.NotPlainError

        with monkeypatch.context() as patch:
            patch.setattr(table_rows, "read_plain", refuse)
            return read_numbers(path)

    return exactly


@pytest.fixture
def no_exact_reader(monkeypatch):
    def refuse(path):
        raise AssertionError("the exact reader was asked")

    monkeypatch.setattr(table_rows, "_text_rows", refuse)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text.rstrip("\n"),
        lambda text: text.replace(",", ";"),
        lambda text: (
            text.replace(",7.25,", ",,").replace(",8.25,", ",NaN,").replace("\n9", "\n\n9")
        ),
        lambda text: text.replace("file_name,", "", 1),
        lambda text: text.replace(",", ", "),
        lambda text: text.replace(".25,", ".2512345678901234567,"),
        lambda text: "\n".join(
            ",".join(f'"{field}"' for field in line.split(",")) for line in text.split()
        ),
        lambda text: text.replace("040.png", "~a:b c.png"),
        lambda text: text.replace("040.png", "/für.png").replace("/", ""),
        lambda text: text.replace("\n04", "\n  04").replace(".png,", " ,"),
        lambda text: text.replace(",7.25,", ", 7.25 ,"),
    ],
    ids=[
        "plain",
        "CRLF",
        "mark, no end",
        "semicolons",
        "missing",
        "unnamed",
        "blanks",
        "digits",
        "quotes",
        "colon",
        "letters",
        "blanks about names",
        "blanks about a number",
    ],
)
def test_plain_tables_are_read_alike_and_not_field_by_field(
    tmp_path, change, read_exactly, no_exact_reader, monkeypatch
):
    path = tmp_path / "t.csv"
    path.write_text(change("\n".join([HEADER, *ROWS, ""])), newline="")
    names, values = read_numbers(path)
    monkeypatch.undo()
    exact_names, exact = read_exactly(path)
    assert names.tolist() == exact_names.tolist() and len(names) == 60
    assert np.array_equal(values, exact, equal_nan=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("040.png", '"040.png"'),
        ("040.png", '"0,40.png"'),
        ("040.png", '"0""40.png"'),
        ("040.png", '0"40.png'),
        ("040.png", '"040\n.png"'),
        ("040.png", "sub\\040.png"),
        ("040.png", "NaN"),
    ],
)
def test_the_exact_reader_takes_over_where_a_table_is_not_plain(tmp_path, old, new, read_exactly):
    path = tmp_path / "t.csv"
    path.write_text("\n".join([HEADER, *ROWS, ""]).replace(old, new))
    names, values = read_numbers(path)
    exact_names, exact = read_exactly(path)
    assert names.tolist() == exact_names.tolist() and len(names) == 60
    assert np.array_equal(values, exact, equal_nan=True)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("040.png,40.25", "040.png,1_0", ("line 42, column 2 ('x_0')", "'1_0'")),
        ("040.png,40.25", "040.png,inf", ("line 42, column 2",)),
        ("040.png,40.25", "040.png,1e39", ("line 42, column 2",)),
        ("040.png,40.25", "040.png,True", ("line 42, column 2",)),
        ("040.png,40.25", "040.png,1.2.3", ("line 42, column 2",)),
        ("040.png,40.25", "040.png,-", ("line 42, column 2",)),
        ("040.png,40.25", "040.png,.", ("line 42, column 2",)),
        ("040.png,40.25", "040.png", ("line 42", 4, 5)),
        ("040.png,40.25", "040.png,40,25", ("line 42", 6, 5)),
        ("040.png", "../040.png", ("line 42, column 1", "'../040.png'")),
        ("040.png", "/040.png", ("line 42, column 1", "'/040.png'")),
        ("040.png", "", ("line 42, column 1", "''")),
    ],
)
def test_faults_are_named_by_line_and_column(tmp_path, old, new, named):
    path = tmp_path / "t.csv"
    path.write_text("\n".join([HEADER, *ROWS, ""]).replace(old, new))
    with refused("t.csv", *named):
        read_numbers(path)
