import numpy as np
import pandas as pd
import pytest
from refusals import refused

from landmarks.errors import UserError
from landmarks.outputs import submission
from landmarks.outputs.submission import (
    LookupSubmission,
    check_submission,
    pick_points,
    write_submission,
)

NAMES = np.array([b"b.jpg", b"a.jpg", b"001"])
POINTS = np.array(
    [[[2.5, -0.6], [3.5, 0.4]], [[-1.5, 99.49], [1300.6, 7]], [[0, -22], [0.5, 5]]], np.float32
)
ROUNDED = (
    "file_name,Point_M0_X,Point_M0_Y,Point_M1_X,Point_M1_Y\n"
    "b.jpg,2,-1,4,0\na.jpg,-2,99,1301,7\n001,0,-22,0,5\n"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "submission.csv"


def test_header_order_and_rounding(path):
    """Rounded, not cut off: -0.6 is -1; halves go to the even neighbour."""
    write_submission(path, NAMES, POINTS, rounded=True)
    assert path.read_text() == ROUNDED
    assert list(path.parent.iterdir()) == [path]


def test_two_decimals_where_asked(path):
    write_submission(path, NAMES, POINTS + 0.123456, rounded=False)
    table = pd.read_csv(path)
    values = table.iloc[:, 1:].to_numpy()
    assert np.abs(values - (POINTS + 0.123456).reshape(3, 4)).max() <= 0.0051
    assert "b.jpg,2.62,-0.48,3.62,0.52\n" in path.read_text()


def test_names_are_written_so_that_they_read_back(path):
    names = np.array(['ü, "x".jpg'.encode(), b"NA", b"1e5"])
    write_submission(path, names, POINTS, rounded=True)
    read = pd.read_csv(path, dtype={"file_name": str}, keep_default_na=False)
    assert read["file_name"].tolist() == ['ü, "x".jpg', "NA", "1e5"]


def test_each_row_has_its_own_points_in_its_own_order():
    points = np.arange(2 * 5 * 2, dtype=np.float32).reshape(2, 5, 2)
    picked = pick_points(points, np.array([[4, 0, 2], [1, 1, 3]], np.int32))
    assert picked.tolist() == [
        [points[0, k].tolist() for k in (4, 0, 2)],
        [points[1, k].tolist() for k in (1, 1, 3)],
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rounded", [True, False])
def test_not_finite_is_refused_and_nothing_written(path, value, rounded):
    points = POINTS.copy()
    points[1, 1, 0] = value
    with refused("'a.jpg'") as told:
        write_submission(path, NAMES, points, rounded)
    assert "(Point_M" in str(told.value) and not list(path.parent.iterdir())


def test_the_old_file_survives_a_failure(path, monkeypatch):
    write_submission(path, NAMES, POINTS, rounded=True)
    with pytest.raises(UserError):
        write_submission(path, NAMES, POINTS * np.nan, rounded=True)
    to_csv = pd.DataFrame.to_csv

    def spoiled(table, place, **settings):
        to_csv(table.iloc[::-1], place, **settings)

    monkeypatch.setattr(pd.DataFrame, "to_csv", spoiled)
    with refused("submission.csv", "rows"):
        write_submission(path, NAMES, POINTS + 10, rounded=True)
    assert path.read_text() == ROUNDED and list(path.parent.iterdir()) == [path]


def test_what_is_written_is_checked(path, monkeypatch):
    checked = []
    monkeypatch.setattr(submission, "check_submission", lambda *given: checked.append(given))
    write_submission(path, NAMES, POINTS, rounded=True)
    ((_, names, values),) = checked
    assert names is NAMES and np.array_equal(values, np.rint(POINTS).reshape(3, 4))


LINES = ROUNDED.splitlines()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([LINES[0], LINES[2], LINES[1], LINES[3]], "rows"),
        (LINES[:3], "rows"),
        ([*LINES, "d.jpg,1,2,3,4"], "rows"),
        ([line.replace("001", "1") for line in LINES], "rows"),
        ([line.replace("1301", "1300") for line in LINES], "values"),
        ([line.replace("1301", "") for line in LINES], "values"),
        ([line.replace("1301", "nan") for line in LINES], "values"),
        ([line.replace("1301", "inf") for line in LINES], "values"),
        ([line.replace("1301", "many") for line in LINES], "values"),
        ([line.rpartition(",")[0] for line in LINES], "columns"),
        ([line.replace("M1_Y", "1_Y") for line in LINES], "columns"),
        (
            [line.replace("M0", "MX").replace("M1", "M0").replace("MX", "M1") for line in LINES],
            "columns",
        ),
        ([line.replace(",", "\t") for line in LINES], "columns"),
    ],
)
def test_check_submission_refuses(path, lines, said):
    values = np.rint(POINTS).reshape(3, 4)
    path.write_text(ROUNDED)
    check_submission(path, NAMES, values)
    path.write_text("\n".join(lines) + "\n")
    with refused("submission.csv", said):
        check_submission(path, NAMES, values)


ROWS, FACES, PLACES = np.array([5, 7, 9, 2]), np.array([1, 0, 1, 0]), np.array([0, 3, 2, 1])


@pytest.fixture
def lookup_submission():
    return LookupSubmission("table.csv", ROWS, FACES, PLACES, 96.0)


def test_coordinates_stand_in_the_table_s_order_and_are_clipped(lookup_submission, tmp_path):
    lookup_submission.add(np.float32([[[1, -2.25], [3, 4.5]]]), [0])
    lookup_submission.add(np.float32([[[5.123456, 6], [97, 8]]]), [1])
    lookup_submission.write(tmp_path / "s.csv", rounded=False)
    text = (tmp_path / "s.csv").read_text()
    assert text == "RowId,Location\n5,5.1235\n7,4.5\n9,96.0\n2,0.0\n"
    lookup_submission.write(tmp_path / "s.csv", rounded=True)
    assert (tmp_path / "s.csv").read_text() == "RowId,Location\n5,5\n7,4\n9,96\n2,0\n"


def test_a_coordinate_that_is_not_known_leaves_no_file(lookup_submission, tmp_path):
    lookup_submission.add(np.float32([[[1, 2], [3, 4]]]), [0])
    with pytest.raises(UserError, match=r"RowId 5 of table\.csv"):
        lookup_submission.write(tmp_path / "s.csv", rounded=False)
    assert not list(tmp_path.iterdir())
