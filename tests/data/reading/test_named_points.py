"""Points that have numbers for names: counted one by one, or each a name of its own."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from landmarks.commands.preparing.data_for_model import in_order
from landmarks.data.faces import Faces
from landmarks.data.point_map import read_map
from landmarks.data.reading.named_points import order_names, say_names


@pytest.mark.parametrize("word", ["", "p", "point "])
def test_a_number_is_a_name_where_numbers_have_gaps(word):
    def named(*numbers):
        return [f"{word}{number}" for number in numbers]

    for counted in ((0, 1, 2), (1, 2, 3), ("00", "01", "02")):
        assert say_names(named(*counted)) == []
    for gapped in ((0, 1, 7), (1, 2, 4), (2, 3, 4), (1, 0, 2), ("1", "01", "2")):
        assert say_names(named(*gapped)) == named(*gapped)
    assert order_names(named(10, 9, "9" * 5000, "010", 1)) == named(1, 9, 10, "010", "9" * 5000)


def test_points_with_gaps_are_not_taken_for_counted_ones(tmp_path):
    points = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    counted = Faces(tmp_path, np.array([b"a", b"b"]), points, source="faces.xml")
    gapped = replace(counted, point_names=["0", "1", "7"])
    for faces, names in ((gapped, []), (counted, ["0", "1", "7"])):
        with refused("faces.xml", "0, 1, 7"):
            in_order(faces, names)
    assert in_order(gapped, ["0", "1", "7"]) is gapped
    assert in_order(counted, []) is counted and in_order(counted, ["eye", "nose", "chin"])
    assert in_order(gapped, ["7", "0", "1"]).points[0, :, 0].tolist() == [4, 0, 2]
    photos = replace(counted, points=None)
    assert in_order(photos, ["0", "1", "7"]) is photos
    with refused("faces.xml", "'1'", "'7'", "'2'", "'5'"):
        in_order(gapped, ["0", "2", "5"])


def test_a_map_means_a_name_by_a_number_that_is_one(tmp_path):
    path = tmp_path / "map.txt"
    path.write_text("7 1\n0 0\n")
    assert read_map(str(path), 3, ["0", "1", "7"], 2, ()).tolist() == [0, 2]
    path.write_text("2 1\n")
    with refused("line 1", "'2'"):
        read_map(str(path), 3, ["0", "1", "7"], 2, ())
