from importlib.resources import files

import numpy as np
import pytest
from omegaconf import OmegaConf
from refusals import refused

from landmarks.layout import Layout


def load(name):
    text = (files("landmarks.configs.layout") / f"{name}.yaml").read_text()
    return Layout(**OmegaConf.to_container(OmegaConf.create(text)))


@pytest.fixture(params=["thousand", "ibug68", "wflw98"])
def layout(request):
    return load(request.param)


def test_the_contest_s_permutation():
    flip = load("thousand").flip_permutation()
    assert flip.shape == (971,)
    for a, b, c in [
        (0, 63, 64),
        (273, 336, 337),
        (401, 463, 464),
        (587, 713, 714),
        (969, 969, 970),
    ]:
        assert flip[a : b + 1].tolist() == list(range(c, c + b + 1 - a))
    for a, b in [(128, 272), (841, 872), (873, 904), (905, 936), (937, 968)]:
        assert flip[a : b + 1].tolist() == list(range(b, a - 1, -1))
    fixed = np.flatnonzero(flip == np.arange(971))
    assert fixed.tolist() == [200, *range(527, 587)] and len(fixed) == 61


def test_the_permutation_of_68_points():
    pairs = [(i, 16 - i) for i in range(8)] + [(17 + i, 26 - i) for i in range(5)]
    pairs += [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    pairs += [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)]
    expected = list(range(68))
    for a, b in pairs:
        expected[a], expected[b] = b, a
    assert load("ibug68").flip_permutation().tolist() == expected


def test_the_permutation_of_98_points():
    pairs = [(i, 32 - i) for i in range(16)] + [(33 + i, 46 - i) for i in range(5)]
    pairs += [(38 + i, 50 - i) for i in range(4)] + [(55, 59), (56, 58)]
    pairs += [(60 + i, 72 - i) for i in range(5)] + [(65 + i, 75 - i) for i in range(3)]
    pairs += [(76, 82), (77, 81), (78, 80), (83, 87), (84, 86)]
    pairs += [(88, 92), (89, 91), (93, 95), (96, 97)]
    expected = list(range(98))
    for a, b in pairs:
        expected[a], expected[b] = b, a
    assert load("wflw98").flip_permutation().tolist() == expected


def test_flipping_twice_is_nothing(layout):
    flip = layout.flip_permutation()
    assert sorted(flip) == list(range(layout.num_points))
    assert np.array_equal(flip[flip], np.arange(layout.num_points))


def test_regions_hold_every_point_once(layout):
    held = [i for a, b in layout.regions.values() for i in range(a, b + 1)]
    assert sorted(held) == list(range(layout.num_points))


def test_eyes_are_outer_corners_and_each_other_s_mirror(layout):
    a, b = layout.eyes
    corners = {"thousand": (650, 777), "ibug68": (36, 45), "wflw98": (60, 72)}
    assert corners[layout.name] == (a, b)
    assert layout.flip_permutation()[a] == b


def test_a_mirrored_region_is_a_region(layout):
    flip = layout.flip_permutation()
    regions = {frozenset(range(a, b + 1)) for a, b in layout.regions.values()}
    mirrored = {frozenset(flip[sorted(region)].tolist()) for region in regions}
    assert mirrored == regions


def test_places_are_of_a_symmetric_face(layout):
    spots, flip = layout.spots(), layout.flip_permutation()
    at = {tuple(points): place for points, place in spots.values()}
    assert len(spots) == len(layout.regions) + 2
    for (a, b), (x, y) in at.items():
        mirrored = flip[a : b + 1]
        assert at[(mirrored.min(), mirrored.max())] == [-x or 0, y]


def test_equals_the_independent_description(layout971):
    layout = load("thousand")
    assert layout.flip_permutation().tolist() == layout971["flip"]
    described = [[g["start"], g["start"] + g["count"] - 1] for g in layout971["groups"]]
    assert sorted(layout.regions.values()) == sorted(described)


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ({"regions": {"jaw": [0, 5]}}, 5),
        ({"eyes": [-1, 2]}, -1),
        ({"swap": [[0, 1, 2, 3], [0, 1, 6, 7]]}, 6),
        ({"reverse": [[3, 9]]}, 9),
    ],
)
def test_a_point_out_of_range_is_refused(setting, wrong):
    with refused("layout five", f"point {wrong}", 5):
        Layout("five", 5, **setting)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"swap": [[0, 1, 2, 4]]}, "swap"),
        ({"swap": [[0, 1, 2]]}, "swap"),
        ({"swap": [0, 1, 2, 3]}, "swap"),
        ({"reverse": [[3, 1]]}, "[3, 1]"),
        ({"regions": {"jaw": [2]}}, "regions"),
        ({"regions": {"jaw": 2}}, "regions"),
        ({"regions": {"jaw": [0.5, 2]}}, "regions"),
        ({"eyes": [1]}, "eyes"),
        ({"eyes": ["left", "right"]}, "eyes"),
    ],
)
def test_a_range_that_is_none_is_refused(setting, says):
    with refused("layout five", says):
        Layout("five", 5, **setting)


def test_places_need_their_region_and_eyes():
    with refused("nose"):
        Layout("five", 5, [0, 1], {"jaw": [2, 4]}, places={"nose": [0, 0]})
    with refused("eyes"):
        Layout("five", 5, None, {"jaw": [2, 4]}, places={"jaw": [0, 0]})
    assert Layout("five", 5, [0, 1], {"jaw": [2, 4]}).spots() == {}


def test_without_pairs_there_is_no_permutation():
    assert Layout("none", 5).flip_permutation() is None
    assert Layout("none", 5).nme_name == "box" and Layout("two", 2, eyes=[0, 1]).nme_name == "eyes"


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        ("left_eye_center right_eye_center nose_tip mouth_center_top_lip", [1, 0, 2, 3]),
        ("lefteye righteye nose leftmouth rightmouth", [1, 0, 2, 4, 3]),
        ("l_eye EyeL eyeR r_eye chin", [3, 2, 1, 0, 4]),
        ("LeftEye1 RightEye1 LeftEye2 RightEye2", [1, 0, 3, 2]),
        ("mouth_left_corner,mouth_right_corner,Lip", [1, 0, 2]),
        ("nose chin lip", None),
        ("left_eye nose", None),
        ("left_eye LEFT_EYE right_eye", None),
        ("", None),
    ],
)
def test_names_pair_left_and_right(names, flip):
    listed = names.replace(",", " ").split()
    found = Layout("named", len(listed), names=listed).flip_permutation()
    assert found is None if flip is None else found.tolist() == flip


def test_names_are_the_points_and_yield_to_given_pairs():
    layout = Layout("a", 2, names=["left_eye", "right_eye"], regions={"eyes": [0, 1]})
    assert layout.point_names() == ["left_eye", "right_eye"] and layout.pairs_from == "names"
    assert Layout(**layout.to_dict()).flip_permutation().tolist() == [1, 0]
    with refused("names", 2, 3):
        Layout("a", 3, names=["nose", "chin"])


def test_way_back_from_plain_data(layout):
    again = Layout(**layout.to_dict())
    assert vars(again) == vars(layout)
    assert np.array_equal(again.flip_permutation(), layout.flip_permutation())


def test_pictured_ranges():
    contest = load("thousand")
    assert contest.pick_ranges("auto") == {"all": range(971), "jaw_left": range(64)}
    assert contest.pick_ranges("pupil_right") == {"all": range(971), "pupil_right": range(970, 971)}
    assert Layout("none", 5).pick_ranges("auto") == {"all": range(5)}
    with refused("layout thousand", "auto", "'brow_left'"):
        contest.pick_ranges("brow_lft")
    with refused("layout none", "auto"):
        Layout("none", 5).pick_ranges("jaw")
