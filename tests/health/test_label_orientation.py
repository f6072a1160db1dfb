import numpy as np
import pytest

from landmarks.data.faces import Faces
from landmarks.health.image_facts import Looks
from landmarks.health.label_orientation import advise, count_percents, find_frames, say_frames

SIZES = {1: (60, 90), 3: (60, 90), 6: (60, 90), 8: (60, 90)}  # as shown
FACE = np.array([[-12, -8], [12, -8], [0, 4], [-8, 14], [8, 14]], float)
ROLL = {1: 0, 3: 180, 6: -90, 8: 90}


def album(turns, labelled_as, exif="rotate", low=False):
    """Faces in photos with these EXIF orientations, labelled as "shown" or "stored"."""
    looks, points, scale = Looks.empty(len(turns)), [], []
    for i, turn in enumerate(turns):
        shown = np.array(SIZES[turn])
        stored = shown[::-1] if turn >= 5 else shown
        looks.turn[i], looks.size[i] = turn, shown if exif == "rotate" else stored
        angle = np.radians(ROLL[turn]) if labelled_as == "stored" else 0.0
        cos, sin = np.cos(angle), np.sin(angle)
        frame = stored if labelled_as == "stored" else shown
        middle = np.array([frame[0] - 15, frame[1] - 15]) if low else (frame - 1) / 2
        points.append(FACE @ np.array([[cos, sin], [-sin, cos]]) + middle)
        scale.append(20 * np.exp(1j * (angle + 0.2 * np.sin(i))))
    names = np.array([f"{i}.jpg".encode() for i in range(len(turns))])
    faces = Faces(None, names, np.array(points, np.float32), exif=exif)
    return faces, np.arange(len(turns)), looks, np.array(scale)


@pytest.mark.parametrize("exif", ["rotate", "ignore"])
@pytest.mark.parametrize("labelled_as", ["shown", "stored"])
def test_labels_of_the_other_frame_are_told(exif, labelled_as):
    made = album([1, 3, 6, 8] * 6, labelled_as, exif)
    is_other = labelled_as != {"rotate": "shown", "ignore": "stored"}[exif]
    assert find_frames(*made) == (18, 18 if is_other else 0)
    advice = " ".join(advise(*made[:3], find_frames(*made)))
    assert ("data.exif=" in advice) == is_other
    assert not is_other or f"data.exif={'ignore' if exif == 'rotate' else 'rotate'}" in advice


def test_points_outside_of_one_frame_tell_without_a_roll():
    faces, rows, looks, _ = album([6, 8] * 5, "stored", low=True)
    assert find_frames(faces, rows, looks, None) == (10, 10)
    faces, rows, looks, _ = album([6, 8] * 5, "shown", low=True)
    assert find_frames(faces, rows, looks, None) == (10, 0)


def test_where_nothing_tells_nothing_is_said():
    faces, rows, looks, scale = album([6, 8] * 5, "stored")
    assert find_frames(faces, rows, looks, None) == (0, 0)
    assert find_frames(faces, rows, looks, scale) == (0, 0)  # none is upright to compare with
    assert find_frames(*album([1] * 5, "stored")) == (0, 0)
    unlabelled = faces.points * np.nan
    blank = Faces(None, faces.names, unlabelled)
    assert find_frames(blank, rows, looks, scale * np.nan) == (0, 0)


@pytest.mark.parametrize("labelled_as", ["shown", "stored"])
def test_eyes_tell_where_no_photo_is_upright(labelled_as):
    faces, rows, looks, scale = album([6] * 10, labelled_as)
    other = 10 if labelled_as == "stored" else 0
    assert find_frames(faces, rows, looks, scale, eyes=[0, 1]) == (10, other)
    faces.points[:4, 0] = np.nan
    assert find_frames(faces, rows, looks, None, eyes=[0, 1])[0] == 6


def test_a_few_among_many_are_no_advice():
    assert say_frames("rotate", 10, 5) == "" and say_frames("rotate", 2, 2) == ""
    assert "data.exif=ignore" in say_frames("rotate", 10, 6)


def test_unused_bits_are_told():
    faces, rows, looks, scale = album([1] * 4, "shown")
    looks.unused[:2] = 4
    (advice,) = advise(faces, rows, looks, find_frames(faces, rows, looks, scale))
    assert "2 images" in advice and "12-bit" in advice


def test_labels_that_may_be_percents_are_told():
    looks, rows = Looks.empty(20), np.arange(20)
    looks.size[:] = 640, 480
    points = np.random.default_rng(0).uniform(0, 100, (20, 5, 2)).astype(np.float32)
    points[3] = points[4, 1] = np.nan
    names = np.array([f"{i}.jpg".encode() for i in rows])
    percents = Faces(None, names, points)
    assert count_percents(percents, rows, looks) == (19, 19)
    assert any("percents" in line for line in advise(percents, rows, looks))
    pixels = Faces(None, names, points * np.float32([6.4, 4.8]))
    assert count_percents(pixels, rows, looks)[1] == 0 and not advise(pixels, rows, looks)
    looks.size[:] = 150, 120
    assert count_percents(percents, rows, looks) == (0, 0)
    assert not advise(percents, rows, looks)
