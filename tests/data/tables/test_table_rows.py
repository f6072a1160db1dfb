"""Rows of tables: names and numbers as people and their tools write them."""

import random
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from landmarks.data.reading.find_format import require_format
from landmarks.data.reading.format_signatures import refuse_other
from landmarks.data.tables.table_rows import read_header, read_rows, read_texts
from landmarks.errors import UserError

NAMES = ["2024-01-01T10:00.png", "~new.png", "a b.png", "sub/ü.png", "c, d.png"]


def read(path, name=0, numbers=(1, 2)):
    ((names, values),) = read_rows(path, name, list(numbers))
    return [name.decode() for name in names.tolist()], values


@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "dictionary"])
def test_parquet_names_of_any_type(tmp_path, kind):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = pa.array(NAMES)
    column = column.dictionary_encode() if kind == "dictionary" else column.cast(kind)
    path = tmp_path / "t.parquet"
    numbers = pa.array(np.arange(5.0))
    parquet.write_table(pa.table({"name": column, "x_0": numbers, "y_0": numbers}), path)
    assert read(path)[0] == NAMES
    assert [row for (row,) in read_texts(path, [0])] == NAMES


def test_parquet_of_images_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    image = pa.array([{"bytes": b"1", "path": "a.png"}])
    parquet.write_table(pa.table({"image": image, "x": [1.0]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"columns, image \(struct.*data=table"):
        read(tmp_path / "t.parquet", 0, [1])


def test_parquet_cut_off_damaged_or_not_fetched_is_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path, rng = tmp_path / "t.parquet", random.Random(0)
    table = {"name": NAMES, "x": np.arange(5.0), "group": ["a"] * 5}
    parquet.write_table(pa.table(table), path, compression="zstd")
    whole = path.read_bytes()
    contents = [whole[:length] for length in range(0, len(whole), 50)]
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.randrange(len(whole))] = rng.randrange(256)
        contents.append(bytes(damaged))
    for content in contents:
        path.write_bytes(content)
        for reads in (lambda: [*read_rows(path, 0, [1])], lambda: [*read_texts(path, [2])]):
            try:
                reads()
            except UserError as error:
                assert "t.parquet" in str(error) and str(error).isprintable()
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with refused("t.parquet", "Git LFS", "git lfs pull"):
        read(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(tmp_path, end):
    path = tmp_path / "t.csv"
    rows = ["file_name,x_0,y_0", "a.png,1,2", "b.png,3,4"]
    path.write_bytes(end.join([*rows, ""]).encode())
    faces = [(names.tolist(), values.tolist()) for names, values in read_rows(path, 0, [1, 2])]
    assert faces == [([b"a.png", b"b.png"], [[1, 2], [3, 4]])]


def test_nested_columns_are_named_where_a_folder_is_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    nested = pa.table({"file_name": ["a.png"], "keypoints": [[1.0, 2.0]]})
    parquet.write_table(nested, tmp_path / "train.parquet")
    for read in (require_format, lambda root: refuse_other(root, "thousand")):
        with pytest.raises(UserError, match=r"nested columns.*file_name, x_0"):
            read(tmp_path)


def test_blanks_and_odd_names_are_read(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f'{i}, "{name} ", {i} , {i}.5 ' for i, name in enumerate(NAMES)]
    path.write_text("\n".join(["id, name , x_0, y_0", *rows]))
    assert read_header(path) == ["id", "name", "x_0", "y_0"]
    names, values = read(path, 1, [2, 3])
    assert names == NAMES and values.tolist() == [[i, i + 0.5] for i in range(5)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/a.png", "'a.png'"),
        ("C:\\b\\a.png", "'a.png'"),
        ("http://x.org/a.png", "'a.png'"),
        ("../a.png", "'..'"),
        ("", "no file name"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name, said):
    (tmp_path / "t.csv").write_text(f"x_0,y_0,name\n1,2,{name}\n")
    with pytest.raises(UserError, match="line 2, column 3") as refused:
        read(Path(tmp_path / "t.csv"), 2, [0, 1])
    assert said in str(refused.value)


def test_decimal_commas_are_named(tmp_path):
    (tmp_path / "t.csv").write_text("name;x_0;y_0\na.png;1,5;2\n")
    with refused("line 2, column 2", "'1,5'", "decimals"):
        read(tmp_path / "t.csv")


def test_another_number_of_columns_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("name,x_0,y_0\na.png,1,2\n\na, b.png,1,2\n")
    with refused("line 4", 4, 3, "quotes"):
        read(tmp_path / "t.csv")
