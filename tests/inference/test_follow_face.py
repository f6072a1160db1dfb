"""A face followed through frames: where it moves, leaps, fades, hides and comes back."""

import math

import numpy as np
import pytest

from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.errors import UserError
from landmarks.geometry import transform
from landmarks.inference.face_framing import frame_for
from landmarks.inference.follow_face import MOST, Follower, OneEuro
from landmarks.layout import Layout

PLACES = {"center": [0.5, 0.5], "center_spread": [0.0, 0.0], "side": 0.4, "side_spread": 0.0}
SIZE, K = 48, 4
SHAPE = np.float32([[-6, -6], [6, -6], [6, 6], [-6, 6]])  # of the face about its middle


class Squares:
    """Finds the corners of a bright square in its input; without one it draws the mean shape."""

    layout, num_points, unlabelled = Layout("none", K), K, []
    smallest = 4  # pixels in its input
    description, exif, config = "squares", "rotate", {"crop": "letterbox", "data": {}}

    def __init__(self, certainty="none", places=PLACES):
        self.certainty, self.places, self.looks = certainty, places, 0

    def batches(self, faces, framing):
        assert framing.batch_size <= MOST
        crop = "letterbox"
        if framing.detected:
            faces, crop = frame_for(self, faces, framing)
        return CroppedFaces(faces, crop, SIZE)

    def predict(self, source):
        batch = source.__getitems__(list(range(len(source))))
        points = np.empty((len(source), K, 2), np.float32)
        sure = np.empty((len(source), K), np.float32)
        for i, image in enumerate(batch.images.numpy().mean(1)):
            self.looks += 1
            y, x = np.nonzero(image > 128)
            there = len(x) > self.smallest
            edges = (x.min(), y.min(), x.max(), y.max()) if there else (19, 19, 29, 29)
            x0, y0, x1, y1 = edges
            points[i] = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
            sure[i] = image.max() / 255 if there else 0.1
        yield batch, transform(batch.to_image.numpy(), points).astype(np.float32), sure


def frame(middle=None, brightness=255, half=6):
    image = np.full((160, 200, 3), 20, np.uint8)
    if middle is not None:
        x, y = middle
        image[y - half : y + half + 1, x - half : x + half + 1] = brightness
    return image


def test_a_moving_face_is_followed_about_its_own_points():
    finder, searched = Squares(), 0
    follower = Follower(finder)
    for step in range(12):
        middle = (40 + 4 * step, 50 + 2 * step)
        state, sight = follower.look(frame(middle))
        assert state == ("followed" if step else "found")
        np.testing.assert_allclose(sight.points, SHAPE + middle, atol=0.8)
        searched = searched if step else finder.looks
    assert finder.looks == searched + 2 * 11  # two looks a frame


def test_a_face_that_hides_is_lost_and_found_again():
    follower = Follower(Squares())
    shown = [(50, 60)] * 3 + [None] * 4 + [(120, 90)] * 3
    states = [follower.look(frame(middle))[0] for middle in shown]
    assert states == ["found", *["followed"] * 2, *["lost"] * 4, "found", *["followed"] * 2]


def test_a_leap_and_a_change_of_size_are_no_following():
    follower = Follower(Squares())
    assert follower.look(frame((60, 60)))[0] == "found"
    assert follower.look(frame((72, 60)))[0] == "found"  # further than half of its side
    assert follower.look(frame((72, 60), half=10))[0] == "found"
    assert follower.look(frame((72, 60), half=11))[0] == "followed"


def test_a_face_that_fades_is_lost_where_the_model_knows_its_confidence():
    follower = Follower(Squares("confidence"))
    bright = [follower.look(frame((60, 60)))[0] for _ in range(3)]
    assert bright == ["found", "followed", "followed"]
    follower.usual = 2.5  # as if it had been that sure
    assert follower.look(frame((60, 60)))[0] == "lost"


def test_what_is_no_face_is_told_by_why():
    """Without a square the points go along with the look; without a box there is no look."""
    drawn, unseen = Follower(Squares()), Follower(Squares(), lambda image: np.empty((0, 4)))
    assert drawn.look(frame()) == unseen.look(frame()) == ("lost", None)
    assert set(drawn.doubts) == {"carried"} and set(unseen.doubts) == {"unseen"}


def test_a_detector_s_largest_face_is_taken_first():
    image = frame((40, 40))
    image[90:111, 130:151] = 255
    boxes = np.float32([[34, 34, 46, 46], [130, 90, 150, 110]])
    state, sight = Follower(Squares(), lambda image: boxes).look(image)
    assert state == "found"
    np.testing.assert_allclose(sight.box, [130, 90, 150, 110], atol=1)


def test_models_that_cannot_follow_are_refused():
    with pytest.raises(UserError, match="init=RUN"):
        Follower(Squares(places=None))


def test_a_small_face_is_found_by_looking_at_squares():
    """In the whole frame it is too small to be seen; a model of boxes looks at no whole frame."""
    image = np.full((480, 640, 3), 20, np.uint8)
    image[300:341, 500:541] = 255
    for crop in ("letterbox", "box"):
        finder = Squares()
        finder.config = {**finder.config, "crop": crop}
        if crop == "letterbox":
            finder.smallest = 16
        state, sight = Follower(finder).look(image)
        assert state == "found"
        np.testing.assert_allclose(sight.box, [500, 300, 540, 340], atol=3)
        assert finder.looks > 40
    empty = Follower(Squares())
    assert empty.look(image[:200])[0] == "lost"
    before = empty.finder.looks
    assert empty.look(image[:200])[0] == "lost" and empty.finder.looks - before < 10


def test_steps_are_those_of_the_paper():
    smoother, seconds = OneEuro(cutoff=1.5, beta=2.0), 0.1
    values, times = [10.0, 12.0, 11.0, 11.0], [0.0, 0.1, 0.2, 0.4]
    expected, speed, before = [10.0], 0.0, 0.0
    for value, at in zip(values[1:], times[1:], strict=True):
        seconds, before = at - before, at

        def share(cutoff, seconds=seconds):
            return 1 / (1 + 1 / (2 * math.pi * cutoff) / seconds)

        speed += share(1.0) * ((value - expected[-1]) / seconds / 4 - speed)
        weight = share(1.5 + 2.0 * abs(speed))
        expected.append(weight * value + (1 - weight) * expected[-1])
    found = [
        smoother.smooth(np.full((1, 2), v), t, 4.0) for v, t in zip(values, times, strict=True)
    ]
    assert [float(point[0, 0]) for point in found] == pytest.approx(expected, rel=1e-6)


def run(points, side=100.0, rate=25.0, **chosen):
    smoother = OneEuro(**{"cutoff": 1.0, "beta": 20.0, **chosen})
    return np.stack([smoother.smooth(p, i / rate, side) for i, p in enumerate(points)])


def test_a_face_at_rest_jitters_less():
    noisy = np.random.default_rng(0).normal(0, 0.5, (400, 30, 2))  # 0.5 % of the face's side
    calm = run(noisy)[50:]
    assert calm.std() < 0.5 * noisy.std()
    assert abs(calm.mean() - noisy[50:].mean()) < 0.01


def test_lag_of_a_moving_face_is_small_and_beta_s():
    speed = 50 / 25  # half a side a second, in pixels a frame
    path = np.repeat(speed * np.arange(200.0)[:, None, None], 2, axis=2)
    frames = [(path - run(path, beta=beta))[-1, 0, 0] / speed for beta in (20.0, 0.0)]
    assert frames[0] < 0.5 and 3 < frames[1] < 5
    assert frames[1] == pytest.approx(25 / (2 * math.pi), rel=0.01)  # 1 / (2 pi cutoff)


def test_forgotten_points_are_no_part_of_the_next():
    smoother = OneEuro(1.0, 20.0)
    smoother.smooth(np.zeros((3, 2)), 0.0, 10.0)
    smoother.forget()
    assert (smoother.smooth(np.full((3, 2), 7.0), 0.1, 10.0) == 7).all()
