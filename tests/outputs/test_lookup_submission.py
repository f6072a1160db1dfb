"""RowId,Location: every asked coordinate in the table's order, clipped, or nothing at all."""

import numpy as np
import pytest

from landmarks.errors import UserError
from landmarks.outputs.lookup_submission import LookupSubmission

ROWS, FACES, PLACES = np.array([5, 7, 9, 2]), np.array([1, 0, 1, 0]), np.array([0, 3, 2, 1])


@pytest.fixture
def submission():
    return LookupSubmission("table.csv", ROWS, FACES, PLACES, 96.0)


def test_coordinates_stand_in_the_table_s_order_and_are_clipped(submission, tmp_path):
    submission.add(np.float32([[[1, -2.25], [3, 4.5]]]), [0])
    submission.add(np.float32([[[5.123456, 6], [97, 8]]]), [1])
    submission.write(tmp_path / "s.csv", rounded=False)
    text = (tmp_path / "s.csv").read_text()
    assert text == "RowId,Location\n5,5.1235\n7,4.5\n9,96.0\n2,0.0\n"
    submission.write(tmp_path / "s.csv", rounded=True)
    assert (tmp_path / "s.csv").read_text() == "RowId,Location\n5,5\n7,4\n9,96\n2,0\n"


def test_a_coordinate_that_is_not_known_leaves_no_file(submission, tmp_path):
    submission.add(np.float32([[[1, 2], [3, 4]]]), [0])
    with pytest.raises(UserError, match=r"RowId 5 of table\.csv"):
        submission.write(tmp_path / "s.csv", rounded=False)
    assert not list(tmp_path.iterdir())
