import numpy as np
import pytest

from landmarks.health import face_cuts as cuts
from landmarks.health.face_cuts import CUT_SIDE, PLACES, SIZE, Bender, FaceToCut


def test_a_cut_of_a_wide_image_is_that_of_its_part(monkeypatch):
    image = np.random.default_rng(0).integers(0, 255, (60, 900)).astype(np.uint8)
    for angle in (0.0, 0.7, 2.5):
        scale = 0.6 * SIZE / CUT_SIDE * np.exp(1j * angle)
        face = FaceToCut(image, 1, scale, 500 + 30j, PLACES.astype(np.complex64))
        whole = face.cut(np.zeros(3))
        with monkeypatch.context() as patch:
            patch.setattr(cuts, "MAX_SIDE", 200)
            assert np.abs(face.cut(np.zeros(3)).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("reduced", [1, 4])
def test_a_cut_shows_the_face_upright_and_in_its_middle(reduced):
    down, across = np.mgrid[:200, :300] * 1.0
    scale, shift = 40j, 150 + 90j  # a quarter turn
    along = ((across + 1j * down - shift) / scale).real  # x in the reference shape's frame
    image = (128 + 100 * along / 3).clip(0, 255)
    image = image.reshape(200 // reduced, reduced, 300 // reduced, reduced).mean((1, 3))
    face = FaceToCut(image.astype(np.uint8), reduced, scale, shift, PLACES)
    for offset in (np.zeros(3), np.array([0.3, 0.2, 0.1])):
        expected = 128 + 100 * (PLACES.real * np.exp(offset[2]) + offset[0]) / 3
        inside = np.abs(expected - 128) < 60
        assert np.abs(face.cut(offset)[inside] - expected[inside]).max() < 2.5


def test_a_bent_cut_has_the_points_at_the_mean_shapes_places():
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    mean = 0.5 * np.exp(1j * angles)
    away = 0.05 * np.sin(angles) + 0.04j * np.cos(2 * angles)  # wider above, lower at the sides
    bent = Bender(mean).bend(away[None].astype(np.complex64))[0]
    nearest = np.abs(PLACES.reshape(-1, 1) - mean).argmin(0)
    moved = (bent - PLACES).reshape(-1)[nearest]
    assert np.abs(moved - away).max() < 0.012 < np.abs(away).max() / 4
    assert np.abs(Bender(mean).bend(np.zeros((1, 30), np.complex64))[0] - PLACES).max() < 1e-6
