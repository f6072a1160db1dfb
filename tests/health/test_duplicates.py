"""Copies, look-alikes and equal labels."""

from pathlib import Path

import numpy as np

from landmarks.data.faces import Faces
from landmarks.health.duplicates import MAX_BITS, near_pictures, same_files, same_labels
from landmarks.health.image_facts import GOOD, MISSING, Looks
from landmarks.health.image_limits import duplicate_findings


def looks(count, seed=0):
    rng = np.random.default_rng(seed)
    found = Looks.empty(count)
    found.state[:] = GOOD
    found.content[:] = rng.integers(1, 2**60, (count, 2))
    found.picture[:] = rng.integers(0, 256, found.picture.shape)
    found.spread[:] = 40
    return found


def test_the_first_copy_stays():
    found = looks(6)
    found.content[[4, 5]] = found.content[1]
    found.content[[0, 3]] = 0  # two that cannot be read are no copies
    assert same_files(found).tolist() == [0, 1, 2, 3, 1, 1]


def test_pictures_that_differ_in_few_bits_are_found_among_many():
    found, rng = looks(3000), np.random.default_rng(1)
    for late, early in zip(range(2000, 2040), range(40), strict=True):
        bits = np.unpackbits(found.picture[early])
        bits[rng.permutation(256)[: MAX_BITS // 2]] ^= 1
        found.picture[late] = np.packbits(bits)
    late, early, bits = near_pictures(found, np.arange(3000))
    assert late.tolist() == list(range(2000, 2040)) and early.tolist() == list(range(40))
    assert (bits == MAX_BITS // 2).all()


def test_flat_missing_and_copied_pictures_are_no_look_alikes():
    found = looks(8)
    found.picture[:] = found.picture[0]
    found.spread[[1, 2]] = 1
    found.state[[3, 4]] = MISSING
    same = np.arange(8)
    same[5] = 0
    late, early, _ = near_pictures(found, same)
    assert late.tolist() == [6, 7] and set(early.tolist()) <= {0, 6}


def test_equal_labels():
    points = np.random.default_rng(0).normal(100, 20, (9, 7, 2)).astype(np.float32)
    points[6] = points[2]
    points[3, 1] = points[7, 1] = np.nan
    points[7] = points[3]
    points[8] = points[3]
    points[8, 2] += 1
    points[[4, 5]] = np.nan  # nothing labelled: nothing in common
    assert same_labels(points, np.arange(9))[0].tolist() == [0, 1, 2, 3, 4, 5, 2, 3, 8]
    assert same_labels(points, np.array([6, 1, 2]))[0].tolist() == [0, 1, 0]


def test_few_whole_pixels_are_equal_by_chance():
    rng = np.random.default_rng(0)
    faces = np.rint(rng.normal(100, 2, (2000, 5, 1)) + np.zeros(2)) + np.rint(rng.normal(0, 9, 2))
    faces[:, 1:] = faces[:, :1] + rng.integers(0, 2, (2000, 4, 2))  # as an eye of 20 pixels
    same, least = same_labels(faces, np.arange(2000))
    assert least > 5 and (same == np.arange(2000)).all()
    assert len(np.unique(faces.reshape(2000, -1), axis=0)) < 2000
    wide = np.rint(rng.normal(0, 40, (2000, 5, 2)))
    wide[1500] = wide[3]
    same, least = same_labels(wide, np.arange(2000))
    assert least < 5 and np.flatnonzero(same != np.arange(2000)).tolist() == [1500]


def test_faces_of_one_image_are_no_copies_however_its_name_is_spelled():
    names = np.array([b"a.jpg", b"./a.jpg", b"b.jpg"])
    faces, found = Faces(Path("images"), names), looks(3)
    found.content[1:] = found.content[0]
    rows = np.arange(3)
    copies = duplicate_findings(faces, rows, found, rows, None, None)
    assert [copy.name for copy in copies] == ["b.jpg"]
    copies = duplicate_findings(faces, rows[:0], found, rows[:0], faces, found)
    assert [(copy.name, copy.part) for copy in copies] == [("b.jpg", "test")]
