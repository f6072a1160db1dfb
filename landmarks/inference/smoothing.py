"""A filter that steadies the points of a clip: strong where a face rests, weak where it moves."""

import math

import numpy as np

SPEED_CUTOFF = 1.0  # hertz, of the low-pass filter of the speeds


class OneEuro:
    """The 1 € filter of points: a low-pass filter whose cutoff grows with each coordinate's speed.

    It looks back only, so that it lags: by 1 / (2 pi cutoff) seconds, 0.16 s at 1 Hz.

    Args:
        cutoff: hertz, of a coordinate that rests. Lower: less jitter.
        beta: hertz more for each face's side a second. Higher: less lag.

    Source: Casiez, Roussel and Vogel, 1 € Filter: A Simple Speed-based Low-pass Filter for Noisy
    Input in Interactive Systems, CHI 2012. Speeds are in sides of the face, so that beta means
    the same for faces of any size.
    """

    def __init__(self, cutoff: float, beta: float):
        self.cutoff, self.beta = cutoff, beta
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next points are taken as they are."""
        self.points: np.ndarray | None = None

    def smooth(self, points: np.ndarray, at: float, side: float) -> np.ndarray:
        """Return points (K, 2) float32, smoothed with those before.

        Args:
            points: (K, 2) in pixels.
            at: their time in seconds, later than that of those before.
            side: of the face in pixels.
        """
        if self.points is None:
            self.points, self.speeds = points.astype(np.float64), np.zeros(points.shape)
        else:
            seconds = at - self.at
            speeds = (points - self.points) / seconds / side
            self.speeds += _share(SPEED_CUTOFF, seconds) * (speeds - self.speeds)
            cutoff = self.cutoff + self.beta * np.abs(self.speeds)
            self.points = self.points + _share(cutoff, seconds) * (points - self.points)
        self.at = at
        return self.points.astype(np.float32)


def _share(cutoff: float | np.ndarray, seconds: float) -> float | np.ndarray:
    """Return the weight of the newest value in a low-pass filter of a cutoff in hertz."""
    step = 2 * math.pi * cutoff * seconds
    return step / (step + 1)
