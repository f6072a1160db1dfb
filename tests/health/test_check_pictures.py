"""labels.png: what of a face is drawn, where and in which colour."""

import cv2
import numpy as np

from landmarks.data.faces import Faces
from landmarks.health.check_pictures import ALONE, SIDES, TILE, colour_points, save_labelled


def test_points_have_the_colour_of_the_side_where_they_mostly_lie():
    points = np.array([[[30, 9], [10, 9], [20, 20]], [[31, 9], [11, 9], [9, 20]]], np.float32)
    assert colour_points(points, np.array([1, 0, 2])) == [SIDES[1], SIDES[-1], SIDES[0]]
    points[0] = np.nan
    assert colour_points(points, np.array([1, 0, 2])) == [SIDES[1], SIDES[-1], SIDES[0]]
    assert colour_points(points, None) == [ALONE] * 3


def test_faces_are_drawn_about_their_points(tmp_path):
    names = [f"{i}.png" for i in range(8)]
    for name in names[:-1]:
        cv2.imwrite(str(tmp_path / name), np.zeros((50, 90, 3), np.uint8))
    points = np.tile(np.float32([[40, 20], [60, 20], [50, 40]]), (8, 1, 1))
    points[1] = np.nan
    visible = np.full((8, 3), 2, np.uint8)
    visible[0, 0] = 1
    faces = Faces(tmp_path, np.array([n.encode() for n in names]), points, visible=visible)
    path = tmp_path / "labels.png"
    # Of six faces, one has no points and one no image.
    assert save_labelled(path, faces, np.arange(8), np.array([1, 0, 2]), ["l", "r", "nose"]) == 4
    picture = cv2.imread(str(path))
    assert picture.shape == (2 * TILE, 3 * TILE, 3)
    low, high = TILE * 0.2 / 1.4, TILE * 1.2 / 1.4
    places = [(low, low), (high, low), (TILE / 2, high)]
    colours = [picture[round(y), round(x)].tolist() for x, y in places]
    assert colours == [[0, 0, 0], [*SIDES[1]], [*SIDES[0]]]  # the first is occluded: hollow
    assert picture[round(low), TILE + round(low)].tolist() == [*SIDES[-1]]
