import numpy as np
import pytest

from landmarks.data.formats import synthetic
from landmarks.data.formats.synthetic import read_faces


@pytest.fixture
def drawn(monkeypatch):
    """The counts of each drawing."""
    calls, write = [], synthetic.write_faces

    def counted(root, *counts):
        calls.append(counts)
        write(root, *counts)

    monkeypatch.setattr(synthetic, "write_faces", counted)
    return calls


def test_drawn_once_then_read(cache, drawn):
    faces = read_faces(train=3, test=2, seed=7)
    test = read_faces(part="test", train=3, test=2, seed=7)
    again = read_faces(train=3, test=2, seed=7)
    assert drawn == [(3, 2, 7)]
    assert faces.points.shape == (3, 971, 2) and test.wanted.shape == (2, 30)
    assert np.array_equal(faces.points, again.points)
    assert cache in faces.folder.parents


def test_other_counts_or_seeds_are_other_faces_side_by_side(drawn):
    one = read_faces(train=2, test=1, seed=0)
    more = read_faces(train=3, test=1, seed=0)
    other = read_faces(train=2, test=1, seed=1)
    read_faces(train=2, test=1, seed=0)
    assert drawn == [(2, 1, 0), (3, 1, 0), (2, 1, 1)]
    assert np.array_equal(more.points[:2], one.points)
    assert not np.array_equal(other.points, one.points)


def test_a_damaged_folder_is_drawn_again(drawn):
    faces = read_faces(train=2, test=1)
    (faces.folder / faces.name(1)).unlink()
    assert read_faces(train=2, test=1).rows.tolist() == [0, 1]
    assert len(drawn) == 2


def test_limit(drawn):
    assert len(read_faces(train=3, test=1, limit=2)) == 2
