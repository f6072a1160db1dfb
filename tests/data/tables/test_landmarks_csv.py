import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from landmarks.data.caches.cache_use import release
from landmarks.data.tables import landmarks_csv as labels
from landmarks.data.tables.landmarks_csv import map_labels
from landmarks.errors import UserError

HEADER = "file_name\tPoint_0_X\tPoint_0_Y\tPoint_1_X\tPoint_1_Y\n"
ROWS = ["a.jpg\t1\t2\t3\t4\n", "b.jpg\t-22\t1308\t0\t7\n", "c.jpg\t9\t8\t7\t6\n"]
PLAIN = HEADER + "".join(ROWS)


@pytest.fixture
def written(write_file):
    return lambda text: write_file("landmarks.csv", text)


def by_pandas(path):
    table = pd.read_csv(path, sep="\t", encoding="utf-8-sig", quoting=3)
    return table.iloc[:, 0].tolist(), table.iloc[:, 1:].to_numpy(np.float32)


GOOD = {
    "integers": PLAIN,
    "no newline at the end": PLAIN[:-1],
    "floats": HEADER + "a\t1.25\t-2.5\t1e2\t0.1\nb\t.5\t3.\t-0\t123.456789\n",
    "empty and nan": HEADER + "a\t\t2\tnan\t\nb\tNaN\t-nan\t3\t4\nc\t\t\t\t\n",
    "windows": PLAIN.replace("\n", "\r\n"),
    "windows, empty at the end": HEADER.replace("\n", "\r\n") + "a\t\t1\t2\t\r\nb\t1\t2\t3\t\r\n",
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "the other names": PLAIN.replace("Point_", "Point_M"),
    "empty lines at the end": PLAIN + "\n\r\n\n",
    "large and negative": HEADER + "a\t-40000\t40000\t32768\t-32769\nb\t65536\t1\t16777215\t0\n",
    "spaces about numbers": HEADER + "a\t 1\t2 \t3\t4\n",
    "names of all kinds": HEADER
    + 'ü ñ.jpg\t1\t2\t3\t4\nx/y.jpg\t5\t6\t7\t8\n"q".png\t1\t1\t1\t1\n',
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_reads_what_pandas_reads(written, text):
    path = written(text)
    names, points = map_labels(path)
    expected_names, expected = by_pandas(path)
    assert [name.decode() for name in names] == expected_names
    assert points.dtype == np.float32 and points.shape == (len(names), 2, 2)
    assert np.array_equal(points.reshape(len(names), -1), expected, equal_nan=True)


@pytest.mark.parametrize("block", [1, 40, 100, 1000])
@pytest.mark.parametrize("end", ["", "\n"])
def test_many_blocks_keep_the_order(written, monkeypatch, block, end):
    monkeypatch.setattr(labels, "BLOCK", block)
    values = np.random.default_rng(0).integers(-100, 2000, (200, 4))
    lines = [f"{i:x}.jpg\t" + "\t".join(map(str, row)) for i, row in enumerate(values)]
    names, points = map_labels(written(HEADER + "\n".join(lines) + "\n" + end))
    assert names.tolist() == [f"{i:x}.jpg".encode() for i in range(200)]
    assert np.array_equal(points.reshape(200, 4), values)


@pytest.mark.parametrize("block", [1, 60, 1 << 20])
def test_line_numbers_in_many_blocks(written, monkeypatch, block):
    monkeypatch.setattr(labels, "BLOCK", block)
    lines = [f"{i}.jpg\t1\t2\t3\t4\n" for i in range(100)]
    lines[70] = "70.jpg\t1\tx\t3\t4\n"
    with pytest.raises(UserError, match="line 72, column 3: 'x'"):
        map_labels(written(HEADER + "".join(lines)))
    lines[70] = "33.jpg\t1\t2\t3\t4\n"
    with refused("line 72", "'33.jpg'", "line 35"):
        map_labels(written(HEADER + "".join(lines)))


def with_row(row):
    return HEADER + ROWS[0] + row + "\n" + ROWS[2]


BAD = {
    "short row": (with_row("b.jpg\t1\t2\t3"), ["line 3", "column 5", "4 columns", "has 5"]),
    "long row": (with_row("b.jpg\t1\t2\t3\t4\t5"), ["line 3", "column 6", "6 columns", "has 5"]),
    "name alone": (with_row("b.jpg"), ["line 3", "column 2", "1 columns"]),
    "text in a number": (with_row("b.jpg\t1\t2\tabc\t4"), ["line 3, column 4", "'abc'"]),
    "decimal comma": (with_row("b.jpg\t1,5\t2\t3\t4"), ["line 3, column 2", "'1,5'"]),
    "inf": (with_row("b.jpg\t1\t2\t3\tinf"), ["line 3, column 5", "'inf'"]),
    "-Infinity": (with_row("b.jpg\t-Infinity\t2\t3\t4"), ["line 3, column 2", "'-Infinity'"]),
    "beyond float64": (with_row("b.jpg\t1\t1e400\t3\t4"), ["line 3, column 3", "'1e400'"]),
    "beyond float32": (with_row("b.jpg\t1\t1e39\t3\t4"), ["line 3, column 3", "'1e39'"]),
    "only a space": (with_row("b.jpg\t1\t \t3\t4"), ["line 3, column 3"]),
    "underscore": (with_row("b.jpg\t1\t1_000\t3\t4"), ["line 3, column 3", "'1_000'"]),
    "foreign digits": (with_row("b.jpg\t1\t２\t3\t4"), ["line 3, column 3", "'２'"]),
    "quoted": (with_row('b.jpg\t1\t"2"\t3\t4'), ["line 3, column 3", "'\"2\"'"]),
    "twins": (with_row("a.jpg\t1\t2\t3\t4"), ["line 3, column 1", "'a.jpg'", "line 2"]),
    "empty line": (with_row(""), ["line 3", "empty"]),
    "not UTF-8": (
        with_row("b.jpg\t1\t2\t3\t4").encode().replace(b"b.", b"\xe9."),
        ["line 3, column 1", "UTF-8"],
    ),
    "parent": (with_row("../b.jpg\t1\t2\t3\t4"), ["line 3, column 1", "'../b.jpg'", "leaves"]),
    "parent inside": (with_row("x/../../b\t1\t2\t3\t4"), ["line 3, column 1", "leaves"]),
    "absolute": (with_row("/etc/b.jpg\t1\t2\t3\t4"), ["line 3, column 1", "'/etc/b.jpg'"]),
    "backslash": (with_row("..\\b.jpg\t1\t2\t3\t4"), ["line 3, column 1", "'..\\b.jpg'"]),
    "drive": (with_row("C:\\b.jpg\t1\t2\t3\t4"), ["line 3, column 1", "leaves"]),
    "no name": (with_row("\t1\t2\t3\t4"), ["line 3, column 1"]),
    "no last column": (HEADER[:-1] + "\tPoint_2_X\n", ["line 1", "column Point_2_Y is missing"]),
    "no column": (PLAIN.replace("\tPoint_0_Y", ""), ["line 1, column 3: 'Point_0_Y' belongs"]),
    "wrong column name": (PLAIN.replace("Point_1_X", "Nose"), ["line 1, column 4", "'Point_1_X'"]),
    "wrong order": (PLAIN.replace("0_X\tPoint_0_Y", "0_Y\tPoint_0_X"), ["line 1, column 2"]),
    "commas": (PLAIN.replace("\t", ","), ["line 1", "','", "TAB"]),
    "old mac": (PLAIN.replace("\n", "\r"), ["CR alone", "save it with lines that end in LF"]),
    "semicolons": (PLAIN.replace("\t", ";"), ["line 1", "';'", "TAB"]),
    "empty file": ("", ["line 1"]),
    "header only": (HEADER, ["a header and no faces"]),
    "no header": ("".join(ROWS), ["line 1, column 2", "'1'"]),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_malformed_files_are_refused_in_one_sentence(written, refuse, cache, text, said):
    message = refuse(map_labels, written(text))
    assert all(words in message for words in said)
    assert not list((cache / "labels").iterdir())  # nothing is left behind


@pytest.fixture
def parsing(monkeypatch):
    """Count the calls of the parser."""
    calls, parse = [], labels._parse

    def counted(*arguments):
        calls.append(arguments)
        return parse(*arguments)

    monkeypatch.setattr(labels, "_parse", counted)
    return calls


def test_the_second_call_maps_and_does_not_parse(written, parsing):
    path = written(PLAIN)
    first = map_labels(path)
    assert len(parsing) == 1
    names, points = map_labels(path)
    assert len(parsing) == 1
    assert isinstance(points, np.memmap) and not points.flags.writeable
    assert np.array_equal(names, first[0]) and np.array_equal(points, first[1])


def test_read_again_when_the_file_changes(written, cache, parsing):
    path = written(PLAIN)
    map_labels(path)
    before = path.stat().st_mtime_ns
    release()  # a cache that a process uses stays until it ends
    written(PLAIN.replace("1308", "1309"))  # same size
    os.utime(path, ns=(before, before))  # and same time, as of a copy that keeps times
    assert map_labels(path)[1][1, 0, 1] == 1309
    assert len(parsing) == 2 and len(list((cache / "labels").iterdir())) == 1


@pytest.mark.parametrize("file", ["points.f32", "names.npy", "made_from.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_a_damaged_cache_is_made_again(written, cache, file, damage):
    path = written(PLAIN)
    map_labels(path)
    (folder,) = (cache / "labels").iterdir()
    kept = (folder / file).read_bytes()
    (folder / file).unlink()
    if damage != "gone":
        (folder / file).write_bytes(kept[:-5] if damage == "cut" else b"")
    names, points = map_labels(path)
    assert names.tolist() == [b"a.jpg", b"b.jpg", b"c.jpg"]
    assert np.array_equal(points.reshape(3, 4), by_pandas(path)[1])


def test_two_builders_at_once(written, cache, monkeypatch):
    both, build = threading.Barrier(2, timeout=30), labels._build

    def together(*arguments):
        note = build(*arguments)
        both.wait()
        return note

    monkeypatch.setattr(labels, "_build", together)
    path = written(PLAIN)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(map_labels, [path, path])
    assert np.array_equal(first[1], second[1]) and np.array_equal(first[0], second[0])
    assert len(list((cache / "labels").iterdir())) == 1


def test_real_labels_as_pandas_reads_them(faces68):
    path = faces68 / "train/landmarks.csv"
    names, points = map_labels(path)
    expected_names, expected = by_pandas(path)
    assert [name.decode() for name in names] == expected_names
    assert np.array_equal(points.reshape(len(names), -1), expected)
    assert points.shape == (1207, 68, 2)
