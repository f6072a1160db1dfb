import torch

from landmarks.outputs.not_finite import find_faults, say_faults

NAN, INF = torch.nan, torch.inf


def test_the_first_point_of_each_face_that_is_no_number():
    points = torch.zeros(4, 3, 2)
    points[1, 2, 0], points[2, 0, 1], points[2, 1] = NAN, -INF, INF
    faults = find_faults(points)
    assert faults.tolist() == [-1, 2, 0, -1]
    assert say_faults("abcd", faults) == "'b' (point 2), 'c' (point 0)"
    assert say_faults("abcd", faults[:1]) == ""


def test_many_faces_are_counted():
    faults = torch.zeros(12, dtype=torch.long)
    assert say_faults("abcdefghijkl", faults, "Point_").endswith("'c' (Point_0) and 9 more")
