"""Several data sets as one: names, points, maps and what does not fit."""

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.several import read_faces
from landmarks.data.split import split_faces


@pytest.fixture
def sets(tmp_path):
    """Three tables: 6 faces of 4 points, 4 of the same, and 5 of 3 named points."""
    rng, made = np.random.default_rng(0), []
    named = {0: "0 1 2 3", 1: "0 1 2 3", 2: "chin nose eye"}
    for number, (count, points) in enumerate([(6, 4), (4, 4), (5, 3)]):
        folder = tmp_path / f"set{number}"
        folder.mkdir()
        values = rng.uniform(1, 30, (count, points, 2)).round(2)
        header = [f"{name}_{axis}" for name in named[number].split() for axis in "xy"]
        rows = [["file_name", *header]]
        for i in range(count):
            cv2.imwrite(str(folder / f"{i}.png"), np.full((32, 32, 3), 90, np.uint8))
            rows.append([f"{i}.png", *values[i].ravel()])
        (folder / "t.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
        made.append(({"data": "table", "train": str(folder / "t.csv")}, values))
    return made


def test_sets_of_one_layout_are_one_after_the_other(sets, tmp_path):
    (first, a), (second, b), _ = sets
    faces = read_faces([first, {**second, "weight": 2.5}])
    assert np.allclose(faces.points, np.concatenate([a, b]), atol=1e-4)
    assert faces.sets.tolist() == [0] * 6 + [1] * 4 and faces.weights == (1.0, 2.5)
    assert faces.name(0) == "set0/0.png" and faces.name(9) == "set1/3.png"
    assert cv2.imread(faces.path(9)) is not None and faces.rows.tolist() == [*range(10)]
    assert len(read_faces([first, second], limit=3)) == 6
    (tmp_path / "bad.txt").write_text("set1/3.png\n")
    assert read_faces([first, second], exclude=str(tmp_path / "bad.txt")).rows.tolist()[-1] == 8
    training, validation = split_faces(faces, share=0.25)
    assert validation.tolist() == [4, 5, 9] and len(training) == 7


def test_points_without_a_partner_are_unlabelled(sets, tmp_path):
    (first, a), _, (third, c) = sets
    (tmp_path / "map.csv").write_text("from,to\nnose,2\n0,1\n")
    for order in ([first, {**third, "map": str(tmp_path / "map.csv")}], None):
        chosen = order or [{**third, "map": str(tmp_path / "map.csv")}, first]
        faces = read_faces(chosen)
        mapped = np.full((5, 4, 2), np.nan)
        mapped[:, 2], mapped[:, 1] = c[:, 1], c[:, 0]
        expected = np.concatenate([a, mapped] if order else [mapped, a])
        assert np.allclose(faces.points, expected, atol=1e-4, equal_nan=True)


def test_wflw_s_points_of_300w_are_known():
    from landmarks.data.point_map import read_map

    chosen = read_map("wflw98_to_ibug68", 98, (), 68, ())
    named = {8: 16, 17: 33, 26: 46, 30: 54, 36: 60, 39: 64, 42: 68, 45: 72, 48: 76, 60: 88, 67: 95}
    assert {there: int(chosen[there]) for there in named} == named and len({*chosen}) == 68


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda a, b, c: [], ("data=several", "data.sets")),
        (
            lambda a, b, c: [a, c],
            ("data.sets[1]", 3, 4, "map"),
        ),
        (
            lambda a, b, c: [a, {**b, "exif": "ignore"}],
            ("data.sets[0]", "data.sets[1]", "exif"),
        ),
        (lambda a, b, c: [a, {**b, "data": "tabel"}], ("data.sets[1].data=tabel", "'table'")),
        (lambda a, b, c: [a, {**b, "trian": "x"}], ("'data.sets[1].trian'", "train")),
        (lambda a, b, c: [a, {**b, "limit": 3}], ("data.sets[1].limit", "data.limit")),
        (lambda a, b, c: [a, {**b, "weight": 0}], ("data.sets[1].weight=0",)),
        (lambda a, b, c: [a, {"data": "table"}], ("data.sets[1]", "train")),
        (
            lambda a, b, c: [a, {**c, "map": "no"}],
            ("map no", "wflw98_to_ibug68"),
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_sentence(sets, change, named):
    with refused(*named):
        read_faces(change(*(one for one, _ in sets)))


def test_named_points_are_not_joined_with_nameless_ones(sets, tmp_path):
    (first, _), (second, _), _ = sets
    table = tmp_path / "set1/t.csv"
    _, rows = table.read_text().split("\n", 1)
    names = [f"{name}_{axis}" for name in ("chin", "nose", "eye", "ear") for axis in "xy"]
    table.write_text(f"file_name,{','.join(names)}\n{rows}")
    with refused("data.sets[1]", "data.sets[0]", "map"):
        read_faces([first, second])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nose,7\n", ("line 1", "0 to 3", 7)),
        ("3,1\n", ("line 1", "0 to 2", 3)),
        ("0,1\n1,1\n", ("line 2", "point 1")),
        ("0,1\nnoes,2\n", ("line 2", "'noes'", "'nose'")),
        ("0,1,2\n", ("line 1",)),
        ("from,to\n", ("no point",)),
    ],
)
def test_malformed_maps_are_told_by_line(sets, tmp_path, text, named):
    (tmp_path / "map.csv").write_text(text)
    (first, _), _, (third, _) = sets
    with refused("map.csv", *named):
        read_faces([first, {**third, "map": str(tmp_path / "map.csv")}])


def test_the_same_names_in_another_order_are_matched(sets, tmp_path):
    _, _, (third, c) = sets
    turned = tmp_path / "turned"
    (tmp_path / "set2").rename(turned)
    (tmp_path / "set2").symlink_to(turned)
    lines = [line.split(",") for line in (turned / "t.csv").read_text().splitlines()]
    other = [[row[0], *row[5:7], *row[1:5]] for row in lines]  # eye chin nose
    (turned / "u.csv").write_text("".join(",".join(row) + "\n" for row in other))
    faces = read_faces([third, {**third, "train": str(turned / "u.csv")}])
    assert list(faces.point_names) == ["chin", "nose", "eye"]
    assert np.allclose(faces.points, np.concatenate([c, c]), atol=1e-4)


@pytest.mark.parametrize("chosen", [5, ["a"]])
def test_a_map_is_a_name(sets, chosen):
    with refused(f"data.sets[1].map={chosen}"):
        read_faces([sets[0][0], {**sets[1][0], "map": chosen}])
