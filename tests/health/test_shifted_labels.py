import cv2
import numpy as np

from landmarks.health.face_cuts import PLACES, FaceToCut, describe_own
from landmarks.health.shifted_labels import ShiftFinder

COUNT, SIZE = 60, 40  # faces; pixels of one


def face(image, moved=0j):
    return FaceToCut(image, 1, SIZE + 0j, 60 + 60j + SIZE * moved, PLACES)


def test_moved_labels_are_told_from_good_ones_of_faces_not_seen():
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.normal(128, 500, (120, 120)), None, 4)
    images = [
        (picture + rng.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)
        for _ in range(COUNT)
    ]
    finder, rows = ShiftFinder(COUNT), np.arange(COUNT)
    finder.learn(*finder.look(rows, [face(image) for image in images]))
    finder.solve()
    good = finder.judge(rows, describe_own([face(image) for image in images]))
    bad = finder.judge(rows, describe_own([face(image, 0.1 - 0.05j) for image in images]))
    assert np.abs(good.near).max() < 0.03 and np.abs(bad.near - (0.1, -0.05)).max() < 0.05
    assert np.abs(np.median(bad.far, axis=0) - (0.1, -0.05)).max() < 0.05
    assert bad.centred.max() < 0.5 < good.centred.min()
