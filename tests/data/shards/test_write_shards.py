"""Packs are written whole, of all that faces may have, or not at all."""

import errno
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_packs import SMALL, check_equal
from refusals import refused

from landmarks.data.faces import Asked
from landmarks.data.formats.shards import read_faces
from landmarks.data.images.decoding import read_bytes
from landmarks.data.shards import write_shards
from landmarks.errors import UserError


def test_all_that_faces_may_have_is_kept_and_unusable_ones_are_left_out(unpacked, tmp_path):
    train, test = unpacked["train"], unpacked["test"]
    count, points = train.points.shape[:2]
    rng = np.random.default_rng(0)
    names = train.names.copy()
    names[5] = names[2]  # two faces in an image
    train = replace(
        train,
        names=names,
        boxes=rng.random((count, 4), np.float32),
        visible=rng.integers(0, 3, (count, points)).astype(np.uint8),
        sets=rng.integers(0, 2, count).astype(np.uint8),
        weights=(1.0, 2.5),
        flip=np.arange(points)[::-1].copy(),
        point_names=[f"p{i}" for i in range(points)],
        scored_to=96.0,
        exif="rotate",
        rows=np.delete(np.arange(count), [0, 7]),
    )
    asked = Asked("here", *(rng.integers(0, 3, 4) for _ in range(3)))
    test = replace(test, wanted=None, asked=asked)
    out = tmp_path / "pack"
    note = write_shards.write_pack({"train": train, "test": test}, out, SMALL)
    assert note["parts"]["train"]["images"] == len(train.rows) - 1
    faces = read_faces(str(out))
    check_equal(faces, train)
    assert len(set(zip(faces.packed.shard, faces.packed.start, strict=True))) == len(faces) - 1
    found = read_faces(str(out), part="test").asked
    for key in ("rows", "faces", "places"):
        assert np.array_equal(getattr(found, key), getattr(asked, key))
    few = read_faces(str(out), limit=3)
    check_equal(few, train, train.rows[:3])


def test_webdataset_reads_the_shards(packed, unpacked):
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, packed.glob("train-*.tar")))
    found = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode())
    train = unpacked["train"]
    assert [str(face["npz"]["name"]) for face in found] == [train.name(i) for i in range(24)]
    for row, face in enumerate(found):
        assert np.array_equal(face["npz"]["points"], train.points[row : row + 1], equal_nan=True)
    again = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
    assert [face["jpg"] for face in again] == [read_bytes(train.path(row)) for row in range(24)]


def test_what_is_there_is_not_written_over(packed, unpacked):
    before = (packed / "pack.json").read_bytes()
    with refused(packed):
        write_shards.write_pack(unpacked, packed, SMALL)
    assert (packed / "pack.json").read_bytes() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
def test_a_stopped_pack_leaves_nothing(unpacked, tmp_path, monkeypatch, error):
    original, count = tarfile.TarFile.addfile, []

    def stop(*arguments):
        count.append(1)
        if len(count) == 30:
            raise error
        return original(*arguments)

    monkeypatch.setattr(tarfile.TarFile, "addfile", stop)
    out = tmp_path / "new"
    with pytest.raises(UserError if isinstance(error, OSError) else KeyboardInterrupt):
        write_shards.write_pack(unpacked, out / "pack", SMALL)
    assert len(count) == 30 and not list(out.iterdir())


def test_an_image_that_goes_while_it_is_packed_is_named(unpacked, tmp_path):
    Path(unpacked["train"].path(3)).unlink()
    with refused(unpacked["train"].name(3)):
        write_shards.write_pack(unpacked, tmp_path / "out", SMALL)
