"""Labels that no image can hold are refused; many beside their own images are warned of."""

import cv2
import numpy as np
import pytest

from landmarks.data.faces import Faces
from landmarks.data.labels_outside import BLOCK, refuse_impossible, warn_of_outside
from landmarks.errors import UserError


@pytest.mark.parametrize("place", [(1e30, 20), (20, -1e7), (np.nan, 2e6)])
def test_a_label_that_no_image_can_hold_is_refused(tmp_path, place):
    points = np.full((BLOCK + 5, 4, 2), 30, np.float32)
    points[3] = np.nan
    points[-2, 1] = place
    names = np.array([f"{i}.png".encode() for i in range(len(points))])
    faces, every = Faces(tmp_path, names, points, source="here"), np.arange(len(points))
    refuse_impossible(faces, every[:-2])
    with pytest.raises(UserError, match=rf"here: point 1 of '{BLOCK + 3}\.png' is at"):
        refuse_impossible(faces, every)


@pytest.fixture
def wide(tmp_path):
    """Six faces at the right of wide images."""
    names = np.array([f"{i}.png".encode() for i in range(6)])
    for name in names:
        cv2.imwrite(str(tmp_path / name.decode()), np.zeros((40, 120, 3), np.uint8))
    points = np.random.default_rng(0).uniform((60, 0), (119, 39), (6, 50, 2)).astype(np.float32)
    return Faces(tmp_path, names, points, source="here")


def test_exchanged_coordinates_are_warned_of(wide, caplog):
    rows = np.arange(6)
    warn_of_outside(wide, rows)
    assert not caplog.text
    wide.points[0, :10] = -5  # a face that sticks out
    warn_of_outside(wide, rows)
    assert not caplog.text
    wide.points[:] = wide.points[:, :, ::-1]
    warn_of_outside(wide, rows)
    assert "exchanged" in caplog.text and "6 faces" in caplog.text


def test_labels_beside_their_images_are_warned_of(wide, caplog):
    wide.points[:3] += 500
    warn_of_outside(wide, np.arange(6))
    assert "50 %" in caplog.text and "exchanged" not in caplog.text
