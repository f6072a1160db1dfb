"""`landmarks pack`, and what the other commands do with what it has written."""

from pathlib import Path

import numpy as np
import pytest

from landmarks.cli import main as cli
from landmarks.data.formats.shards import read_faces
from landmarks.data.shards import shard_store

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def packed(train, capsys):
    """A folder with a pack of the faces that `train` trains on, a few images a shard."""
    words = [f"data.root={train.made.root}", "out=packs/faces", "shard_mb=0.006"]
    assert cli.main(["pack", *words]) == 0
    assert "data.root=packs/faces" in capsys.readouterr().out
    assert len(list(Path("packs/faces").glob("train-*.tar"))) > 2
    return Path("packs/faces")


@pytest.fixture
def address(packed, tmp_path):
    """The address of the pack in a store."""
    system, place = fsspec.filesystem("memory"), f"/{tmp_path.name}"
    system.put(str(packed), place, recursive=True)
    yield f"memory:/{place}"
    system.rm(place, recursive=True)


def test_a_run_on_a_store_goes_on_within_an_epoch_and_equals_a_cached_one_on_a_folder(
    train, packed, address, cache, stop_at_step
):
    words = ["data=shards", "data.cache=off", "data.window=1", "epochs=1"]
    train("run_dir=whole", *words, f"data.root={address}")
    with stop_at_step(1):
        train("run_dir=parts", *words, f"data.root={address}", code=143)
    assert cli.main(["train", "resume=parts"]) == 0
    train("run_dir=folder", "data.window=1", "epochs=1", f"data.root={packed}", "data.cache=disk")
    assert any((cache / "canvas").iterdir())
    for other in ("parts", "folder"):
        assert train.are_equal("whole", other) and train.metrics("whole") == train.metrics(other)


def test_predictions_and_judgements_are_those_of_the_files(train, packed, address):
    train("run_dir=run", f"data.root={packed}", "epochs=1")
    root = train.made.root
    for name, place in (("files", root), ("store", address)):
        words = ["checkpoint=run", f"data.root={place}"]
        assert cli.main(["predict", *words, f"run_dir=predict-{name}"]) == 0
        assert cli.main(["evaluate", *words, f"run_dir=evaluate-{name}"]) == 0
    for file in ("predict-{}/submission.csv", "evaluate-{}/predictions.csv"):
        assert Path(file.format("store")).read_text() == Path(file.format("files")).read_text()


def spoil(shard):
    data = shard.read_bytes()
    shard.write_bytes(data[:700] + bytes(len(data) - 700))


@pytest.mark.parametrize(
    "damage", [spoil, lambda shard: shard.write_bytes(shard.read_bytes()[:700])]
)
def test_damage_is_named_in_a_sentence_and_passed_over(damage, train, packed, capsys):
    shard = packed / "train-00001.tar"
    damage(shard)
    words = ["data=shards", f"data.root={packed}", "data.cache=off", "epochs=1"]
    train("run_dir=run", *words, code=1)
    assert shard.name in capsys.readouterr().err
    train("run_dir=other", *words, "data.on_error=skip")
    assert shard.name in capsys.readouterr().out
    assert cli.main(["check", f"data.root={packed}", "run_dir=check"]) == 3
    assert "corrupt" in Path("check/suspects.csv").read_text()


def blot(pack, part, rows):
    """Spoil the images of these rows in their shards, whose sizes stay."""
    place = read_faces(str(pack), part=part).packed
    for row in rows:
        with Path(place.shard_path(row)).open("r+b") as shard:
            shard.seek(place.start[row])
            shard.write(bytes(int(place.length[row])))


@pytest.mark.parametrize("part", ["training", "validation", "whole run's validation", "test"])
def test_a_part_without_an_image_left_ends_in_a_sentence(part, train, packed, capsys):
    words, skip = ["data=shards", f"data.root={packed}", "epochs=1"], "data.on_error=skip"
    train("run_dir=run", *words, "data.cache=disk")
    split = dict(np.load("run/split.npz"))
    blot(packed, "train", split["validation" if "validation" in part else "train"])
    blot(packed, "test", range(len(read_faces(str(packed), part="test"))))
    capsys.readouterr()
    if part == "whole run's validation":
        code = cli.main(["evaluate", "checkpoint=run", skip])
    elif part == "test":
        code = cli.main(["predict", "checkpoint=run", f"data.root={packed}", skip])
    else:  # from a canvas made before the damage, too
        train("run_dir=other", *words, skip, "data.cache=disk", code=1)
        train("run_dir=third", *words, skip, "data.cache=off", code=1)
        code = 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    count = {"training": len(split["train"]), "test": len(read_faces(str(packed), part="test"))}
    named = f"{count.get(part, len(split['validation']))} images"
    assert code == 1 and named in said and str(packed) in said and ".tar" in said


def test_a_run_whose_validation_faces_are_gone_is_not_judged(train, packed, capsys):
    train("run_dir=run", "data=shards", f"data.root={packed}", "epochs=1")
    place = read_faces(str(packed)).packed
    for shard in {place.shard_path(row) for row in np.load("run/split.npz")["validation"]}:
        Path(shard).unlink()
    assert cli.main(["evaluate", "checkpoint=run", "data.on_error=skip"]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert str(packed) in said and "split=val" in said


@pytest.mark.parametrize("command", ["train", "check", "pack"])
def test_a_store_that_cannot_be_reached_ends_in_a_sentence(command, train, capsys, monkeypatch):
    monkeypatch.setattr(shard_store, "PAUSES", ())
    root = "data.root=http://127.0.0.1:9/faces"
    assert cli.main([command, root, *(["out=new"] if command == "pack" else [])]) == 1
    said = capsys.readouterr().err.strip()
    assert "http://127.0.0.1:9/faces/pack.json" in said and "\n" not in said
    assert not Path("new").exists()


def test_what_is_there_is_left_as_it_is(train, packed, capsys):
    before = {path: path.read_bytes() for path in packed.rglob("*") if path.is_file()}
    assert cli.main(["pack", f"data.root={train.made.root}", f"out={packed}"]) == 1
    assert str(packed) in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in packed.rglob("*") if path.is_file()}


def test_images_that_cannot_be_read_are_listed_or_left_out(train, capsys):
    lost = train.made.root / "train/images" / train.made.names[3]
    lost.write_bytes(b"no image")
    words = [f"data.root={train.made.root}", "out=new"]
    assert cli.main(["pack", *words]) == 1
    assert lost.name in capsys.readouterr().err and not Path("new").exists()
    assert cli.main(["pack", *words, "data.on_error=skip"]) == 0
    assert "15 train faces" in capsys.readouterr().out
