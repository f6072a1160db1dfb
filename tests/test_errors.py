"""What messages are made of."""

import pickle

from landmarks.errors import UnreadableImages, UserError, say_some


def test_a_list_ends_with_a_whole_name():
    names = [f"Point_{i}_X" for i in range(1942)]
    assert say_some(names, 8) == ", ".join([*names[:8], "..."])
    assert say_some(names[:3], 3) == "Point_0_X, Point_1_X, Point_2_X" and say_some([], 3) == ""
    assert say_some(["x" * 10**6, 7], 2) == f"{'x' * 200}..., 7"


def test_what_a_damaged_file_holds_is_said_in_one_line():
    error = UserError("a.csv, line 2: '1\x019\n\t' is not a number.")
    assert str(error) == r"a.csv, line 2: '1\x019\n\t' is not a number."
    named = UnreadableImages("Unreadable: caf\xe9\u202f.jpg", ["b"])
    assert str(named) == "Unreadable: caf\xe9\u202f.jpg"  # letters stay what they are
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
