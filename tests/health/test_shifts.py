import numpy as np

from landmarks.health import shifts


def test_a_cut_of_a_wide_image_is_that_of_its_part(monkeypatch):
    image = np.random.default_rng(0).integers(0, 255, (60, 900)).astype(np.uint8)
    for angle in (0.0, 0.7, 2.5):
        step = 0.6 * np.exp(1j * angle)
        start = 500 + 30j - step * complex(31.5, 31.5)
        matrix = np.array([[step.real, -step.imag, start.real], [step.imag, step.real, start.imag]])
        whole = shifts._cut(image, matrix)
        with monkeypatch.context() as patch:
            patch.setattr(shifts, "MAX_SIDE", 200)
            assert np.abs(shifts._cut(image, matrix).astype(int) - whole).max() <= 1
