"""What messages are made of."""

from landmarks.errors import say_some


def test_a_list_ends_with_a_whole_name():
    names = [f"Point_{i}_X" for i in range(1942)]
    assert say_some(names, 8) == ", ".join([*names[:8], "..."])
    assert say_some(names[:3], 3) == "Point_0_X, Point_1_X, Point_2_X" and say_some([], 3) == ""
    assert say_some(["x" * 10**6, 7], 2) == f"{'x' * 200}..., 7"
