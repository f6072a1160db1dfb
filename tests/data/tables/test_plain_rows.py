"""Rows parsed by pandas: the same as the exact reader's, which takes over where it must."""

import numpy as np
import pytest
from refusals import refused

from landmarks.data.tables import plain_rows, table_rows

HEADER = "file_name,x_0,y_0,x_1,y_1"
ROWS = [f"{i:03d}.png,{i}.25,-{i},{i / 7:.6f},1e{i % 3}" for i in range(60)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(plain_rows, "BLOCK", 256)


def read(path):
    header = table_rows.read_header(path)
    blocks = [*table_rows.read_rows(path, 0, [1, 2, 3, 4][: len(header) - 1])]
    return np.concatenate([names for names, _ in blocks]), np.concatenate([v for _, v in blocks])


@pytest.fixture
def read_exactly(monkeypatch):
    def exactly(path):
        def refuse(*_):
            raise plain_rows.NotPlainError

        with monkeypatch.context() as patch:
            patch.setattr(table_rows, "read_plain", refuse)
            return read(path)

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
    names, values = read(path)
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
    names, values = read(path)
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
        read(path)
