import os
import pickle
import signal
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from refusals import refused

from landmarks.data.batches.batch_order import BatchOrder
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.loader import Batches, choose_workers, mean_points
from landmarks.data.batches.worker_processes import end_readers
from landmarks.data.faces import Faces
from landmarks.data.formats.thousand import read_faces
from landmarks.data.tables.landmarks_csv import map_labels
from landmarks.geometry import Crop, crop_matrix, transform

SIZE = 32


@pytest.fixture
def made(contest):
    return contest(train=11)


@pytest.fixture
def faces(made):
    return read_faces(str(made.root))


def batches(faces, rows=None, **settings):
    rows = np.arange(len(faces)) if rows is None else rows
    source = CroppedFaces(faces, settings.pop("crop", "letterbox"), settings.pop("size", SIZE))
    return Batches(source, rows, **{"batch_size": 4, **settings})


def same(one, other):
    return all(
        torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(one, other, strict=True)
    )


def test_a_batch(faces):
    batch = next(iter(batches(faces)))
    assert batch.images.shape == (4, 3, SIZE, SIZE) and batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.points.shape == (4, 5, 2) and batch.points.dtype == torch.float32
    assert batch.to_image.shape == (4, 2, 3) and batch.to_image.dtype == torch.float32
    assert batch.rows.tolist() == [0, 1, 2, 3] and batch.rows.dtype == torch.int64
    assert batch.readable.tolist() == [True] * 4
    assert batch.images.float().mean() > 5


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_leaves_torch_s_generator_to_the_model(faces, workers):
    """Else a model that draws would draw other numbers where a run was taken up again."""
    made = batches(faces, seed=3, workers=workers)
    before = torch.get_rng_state()
    assert len(list(made)) == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_test_faces_have_no_points(made):
    batch = next(iter(batches(read_faces(str(made.root), part="test"))))
    assert batch.images.shape == (3, 3, SIZE, SIZE) and batch.points.shape == (3, 0, 2)


@pytest.mark.parametrize("crop", get_args(Crop))
def test_points_map_back_to_the_labels(faces, made, crop):
    for batch in batches(faces, crop=crop):
        back = transform(batch.to_image, batch.points)
        assert np.abs(back.numpy() - made.points[batch.rows]).max() < 1e-3


@pytest.mark.parametrize("crop", get_args(Crop))
def test_points_stand_on_their_dots(faces, crop):
    """The pictures have bright dots at their points on a darker ground."""
    batch = next(iter(batches(faces, crop=crop, size=96, batch_size=11)))
    inside = 0
    for image, points in zip(batch.images, batch.points.round().long(), strict=True):
        for x, y in points.tolist():
            if 0 <= x < 96 and 0 <= y < 96:
                inside += 1
                assert image[:, y, x].min() > 150
    assert inside >= 30


def test_in_order_with_a_smaller_last_batch(faces):
    loader = batches(faces, np.array([3, 1, 4, 0, 5, 9]))
    assert [batch.rows.tolist() for batch in loader] == [[3, 1, 4, 0], [5, 9]]
    assert len(loader) == 2


def epoch(loader, number, first=0):
    loader.start_at(number, first)
    return list(loader)


def test_shuffled_by_seed_and_epoch(faces):
    one, again, other = (batches(faces, seed=seed) for seed in (1, 1, 2))
    rows = [[b.rows.tolist() for b in epoch(loader, 0)] for loader in (one, again, other)]
    assert rows[0] == rows[1] != rows[2]
    assert [len(batch) for batch in rows[0]] == [4, 4] and len(one) == 2  # only whole batches
    used = [row for batch in rows[0] for row in batch]
    assert len(set(used)) == 8 and set(used) <= set(range(11)) and used != sorted(used)
    assert [b.rows.tolist() for b in epoch(one, 1)] != rows[0]
    assert [b.rows.tolist() for b in epoch(one, 0)] == rows[0]


def test_a_batch_larger_than_the_data_is_the_data(faces):
    assert [len(b.rows) for b in batches(faces, batch_size=100, seed=0)] == [11]


def test_every_face_gets_its_turn(faces):
    loader = batches(faces, seed=0, batch_size=7)
    seen = {
        row
        for number in range(12)
        for batch in loader.order.batch_rows(number)
        for row in batch.tolist()
    }
    assert seen == set(range(11))


def test_workers_change_nothing_and_resume_gives_the_same_tail(faces):
    here, there = (
        batches(faces, seed=5, batch_size=2),
        batches(faces, seed=5, batch_size=2, workers=2),
    )
    whole = [epoch(here, number) for number in range(2)]
    for number in range(2):
        assert all(map(same, whole[number], epoch(there, number)))
        assert [len(epoch(loader, number)) for loader in (here, there)] == [5, 5]
    for loader in (here, there):
        tail = epoch(loader, 1, 3)
        assert len(tail) == 2 and all(map(same, tail, whole[1][3:]))


def test_workers_read_faces_without_labels(faces):
    """As all are that a model predicts."""
    bare = replace(faces, points=None)
    here, there = (epoch(batches(bare, workers=workers), 0) for workers in (0, 1))
    assert all(map(same, here, there)) and here[0].points.shape == (4, 0, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_leaves_the_workers_reading(faces, number):
    loader = batches(faces, batch_size=1, workers=2)
    source = iter(loader)
    seen = [next(source)]
    for worker in loader.loader._iterator._workers:
        os.kill(worker.pid, number)
    assert len(seen + list(source)) == 11
    end_readers(loader.readers)
    assert not any(worker.is_alive() for worker in loader.loader._iterator._workers)


def test_names_of_a_batch(faces, made):
    loader = batches(faces, seed=3)
    batch = epoch(loader, 2)[1]
    assert loader.names_of(2, 1) == [made.names[row] for row in batch.rows]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_stops(faces, made, workers):
    (made.root / "train/images" / made.names[5]).unlink()
    with refused(made.names[5], "data.on_error=skip"):
        list(batches(faces, workers=workers))


def test_an_unreadable_image_is_skipped_black_and_unlabelled(faces, made, caplog):
    (made.root / "train/images" / made.names[5]).write_bytes(b"\xff\xd8 cut off")
    loader = batches(faces, on_error="skip")
    _, batch, _ = list(loader)
    assert batch.readable.tolist() == [True, False, True, True]
    assert batch.points[1].isnan().all() and not batch.points[[0, 2, 3]].isnan().any()
    assert batch.images[1].max() == 0 and batch.to_image.isfinite().all()
    assert loader.unreadable == {5} and made.names[5] in caplog.text
    caplog.clear()
    list(loader)
    assert not caplog.text  # said once


def test_labels_are_not_written_to(faces, made):
    (made.root / "train/images" / made.names[0]).unlink()
    in_memory = replace(faces, points=np.array(faces.points))
    list(batches(in_memory, on_error="skip"))
    assert np.array_equal(in_memory.points, made.points)


def test_pickled_faces_name_the_map_and_do_not_carry_it(contest):
    made = contest(train=40, num_points=400)
    faces = read_faces(str(made.root), limit=30)
    parcel = pickle.dumps(faces)
    assert faces.points.nbytes == 30 * 400 * 8 and len(parcel) < 2000
    again = pickle.loads(parcel)
    assert isinstance(again.points, np.memmap) and not again.points.flags.writeable
    assert np.array_equal(again.points, made.points[:30])
    assert again.names.tolist() == [name.encode() for name in made.names[:30]]
    assert again.path(3) == faces.path(3) and again.rows.tolist() == list(range(30))


@pytest.mark.parametrize("part", [np.s_[7:15], np.s_[::2], np.s_[3:4], np.s_[:]])
def test_pickled_parts_of_a_map_are_the_same_parts(contest, part):
    made = contest(train=20)
    names, points = map_labels(made.root / "train/landmarks.csv")
    faces = Faces(made.root, names[part], points[part])
    again = pickle.loads(pickle.dumps(faces))
    assert np.array_equal(again.names, faces.names) and np.array_equal(again.points, faces.points)


def test_mean_points(faces, made):
    expected = np.mean(
        [
            transform(crop_matrix("letterbox", *size, SIZE), points)
            for size, points in zip(((60, 80), (97, 64), (50, 50)), made.points, strict=False)
        ],
        axis=0,
    )
    mean = mean_points(CroppedFaces(faces, "letterbox", SIZE), np.arange(3))
    assert mean.dtype == np.float32 and mean == pytest.approx(expected, abs=0.1)


def test_mean_points_leaves_missing_ones_out(faces):
    points = np.array(faces.points)
    points[0, 1] = np.nan
    points[:, 2] = np.nan
    whole = mean_points(CroppedFaces(faces, "stretch", SIZE), np.arange(1, 3))
    mean = mean_points(CroppedFaces(replace(faces, points=points), "stretch", SIZE), np.arange(3))
    assert mean[1] == pytest.approx(whole[1], abs=1e-5)  # of the faces that have it
    assert mean[2] == pytest.approx(mean[[0, 1, 3, 4]].mean(0), abs=1e-5)  # of the other points


@pytest.mark.parametrize("value", [99999, -99999, 200])
def test_mean_points_leaves_out_what_is_far_beside_the_input(faces, value):
    points = np.array(faces.points)
    points[0, 1, 0] = points[1, 3, 1] = value
    points[0, 1, 1] += 40  # of a wrong label nothing counts
    missing = np.array(faces.points)
    missing[0, 1] = missing[1, 3] = np.nan
    means = [
        mean_points(CroppedFaces(replace(faces, points=labels), "stretch", SIZE), np.arange(3))
        for labels in (points, missing)
    ]
    assert np.array_equal(*means)


def test_choose_workers():
    assert choose_workers(3, "cpu") == 3 and choose_workers(0, "cuda") == 0
    assert choose_workers("auto", "cpu") == 0
    assert 1 <= choose_workers("auto", "cuda") <= 8


def test_an_epoch_shows_each_face_as_often_as_its_weight():
    rows, weights = np.arange(100, 120), np.repeat([1.0, 2.5, 0.25], [8, 8, 4])
    order = BatchOrder(rows, 1, seed=3, weights=weights)
    assert len(order) == 29
    shown = np.zeros((200, 20), int)
    for epoch in range(200):
        drawn = np.concatenate(order.batch_rows(epoch))
        assert len(drawn) == 29
        shown[epoch] = np.bincount(drawn - 100, minlength=20)
    assert (np.abs(shown - weights) < 1).all()
    assert np.allclose(shown.mean(0), weights, atol=0.15)
    assert np.array_equal(np.concatenate(order.batch_rows(5)), np.concatenate(order.batch_rows(5)))
    once = np.concatenate(BatchOrder(rows, 1, seed=3, weights=np.ones(20)).batch_rows(0))
    assert sorted(once.tolist()) == rows.tolist() and once.tolist() != rows.tolist()
