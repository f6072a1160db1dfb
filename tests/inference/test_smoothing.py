"""The 1 € filter: its steps by hand, its jitter at rest, its lag in motion."""

import math

import numpy as np
import pytest

from landmarks.inference.smoothing import OneEuro


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
