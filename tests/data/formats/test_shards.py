"""Faces of a pack: what comes out of shards is what went in; a damaged index is named."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from made_packs import batches_of, check_equal
from refusals import refused

from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.worker_processes import end_readers
from landmarks.data.formats import several
from landmarks.data.formats.shards import read_faces
from landmarks.data.images.decoding import read_image
from landmarks.data.reading.find_format import find_format


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_folder_holds_what_was_packed(packed, unpacked, part):
    faces = read_faces(str(packed), part=part)
    assert len(faces.packed.shards) > 1
    check_equal(faces, unpacked[part])
    assert find_format(packed).name == "shards"


def test_batches_are_those_of_plain_files_in_another_order(packed, unpacked):
    faces, plain = read_faces(str(packed)), CroppedFaces(unpacked["train"], "letterbox", 32)
    for batch in batches_of(faces):
        wanted = plain.__getitems__(batch.rows.tolist())
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(batch, wanted, strict=True))


def test_worker_processes_read_shards_as_this_one_does(in_memory):
    faces = read_faces(in_memory[0])
    in_worker = batches_of(faces, workers=1)
    one, other = list(batches_of(faces)), list(in_worker)
    end_readers(in_worker.readers)
    assert [batch.rows.tolist() for batch in one] == [batch.rows.tolist() for batch in other]
    assert all(np.array_equal(a.images, b.images) for a, b in zip(one, other, strict=True))
    assert pickle.loads(pickle.dumps(faces)).packed.read(3) == faces.packed.read(3)


@pytest.mark.parametrize("first", [1, 3])
def test_an_epoch_goes_on_from_any_batch(in_memory, first):
    whole = batches_of(read_faces(in_memory[0]))
    rest = batches_of(read_faces(in_memory[0]))
    whole.start_at(2)
    rest.start_at(2, first)
    for before, after in zip(list(whole)[first:], rest, strict=True):
        assert before.rows.tolist() == after.rows.tolist()
        assert np.array_equal(before.images, after.images)


def spoil(path, find, put):
    content = path.read_text()
    assert find in content
    path.write_text(content.replace(find, put))


@pytest.mark.parametrize(
    "how",
    [
        lambda pack: (pack / "pack.json").write_text("{"),
        lambda pack: (pack / "pack.json").write_text("[1]"),
        lambda pack: spoil(pack / "pack.json", '"version": 1', '"version": 9'),
        lambda pack: spoil(pack / "pack.json", '"train"', '"other"'),
        lambda pack: spoil(pack / "pack.json", '"sizes"', '"other"'),
        lambda pack: spoil(pack / "pack.json", '"length"', '"other"'),
        lambda pack: (pack / "train/points.npy").unlink(),
        lambda pack: (pack / "train/names.npy").write_bytes(b"\x93NUMPY"),
        lambda pack: (pack / "train/names.npy").write_bytes(b""),
        lambda pack: (pack / "train/names.npy").write_bytes(
            (pack / "train/names.npy").read_bytes().replace(b"}", b"(")
        ),
        lambda pack: (pack / "train/points.npy").write_bytes(
            (pack / "train/points.npy").read_bytes()[:-8]
        ),
        lambda pack: np.save(pack / "train/points.npy", np.zeros((24, 5, 2))),
        lambda pack: np.save(pack / "train/shard.npy", np.array([None]), allow_pickle=True),
    ],
)
def test_a_damaged_index_is_refused_in_a_sentence(packed, how):
    how(packed)
    with refused(packed):
        read_faces(str(packed))


@pytest.mark.parametrize("how", [Path.unlink, lambda shard: os.truncate(shard, 99)])
def test_a_shard_that_is_missing_or_cut_off_is_named_at_the_start(packed, how, caplog):
    shards = sorted(packed.glob("train-*.tar"))
    how(shards[-1])
    with refused(shards[-1].name, "data.on_error=skip"):
        read_faces(str(packed))
    left = read_faces(str(packed), on_error="skip")
    lost = [row for row in range(24) if left.packed.shard_of(row) == shards[-1].name]
    assert shards[-1].name in caplog.text and lost
    assert left.usable.tolist() == [row for row in range(24) if row not in lost]
    read_faces(str(packed), limit=1)  # lies in the first one
    for shard in shards[:-1]:
        how(shard)
    with refused(packed, 24):
        read_faces(str(packed), on_error="skip")


def test_names_that_lead_elsewhere_are_refused(packed):
    names = np.load(packed / "train/names.npy")
    names[2] = b"../elsewhere.jpg"
    np.save(packed / "train/names.npy", names)
    with refused("'../elsewhere.jpg'"):
        read_faces(str(packed))


def test_excluded_faces_are_left_out(packed, tmp_path):
    faces = read_faces(str(packed))
    (tmp_path / "bad.txt").write_text(faces.name(4))
    assert read_faces(str(packed), exclude=str(tmp_path / "bad.txt")).usable.tolist() == [
        row for row in range(24) if row != 4
    ]


def test_packed_faces_are_no_part_of_several(packed):
    with refused("data.sets[0]", "pack"):
        several.read_faces([{"data": "shards", "root": str(packed)}])


def test_an_image_is_shown_by_the_same_functions(packed, unpacked):
    faces = read_faces(str(packed))
    wanted = read_image(unpacked["train"].path(2), exif=faces.exif)
    assert np.array_equal(read_image(faces.path(2), exif=faces.exif), wanted)
    assert str(faces.path(2)).startswith(str(packed)) and faces.name(2) in faces.path(2)
