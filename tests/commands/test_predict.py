"""`landmarks predict`: from a checkpoint alone to predictions and a checked submission."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from made_runs import TINY

from landmarks.cli import main as cli
from landmarks.data.crops.crop import read_face
from landmarks.geometry import transform
from landmarks.runs.checkpoint import load_checkpoint, save_checkpoint

SETTINGS = [*TINY, "run_dir=runs/a"]


@pytest.fixture(scope="module")
def trained(write_contest, tmp_path_factory, commands_in):
    """A run on 12 small faces, its data beside it."""
    folder = tmp_path_factory.mktemp("trained")
    made = write_contest(folder / "contest", train=12, test=5)
    with commands_in(folder):
        assert cli.main(["train", "data.root=contest", *SETTINGS]) == 0
    return made


@pytest.fixture
def made(trained, tmp_path, copied):
    """A copy of the run and of its faces, in the working directory."""
    for name in ("contest", "runs"):
        copied(trained.root.parent / name, name)
    return SimpleNamespace(**{**vars(trained), "root": tmp_path / "contest"})


def predict(*overrides, code=0, out="out"):
    assert cli.main(["predict", "device=cpu", "amp=off", f"run_dir={out}", *overrides]) == code
    return Path(out)


def rows_of(path):
    with path.open() as file:
        return list(csv.reader(file))


def test_no_argument_takes_the_newest_run_and_its_data(made, capsys):
    out = predict("npz=true")
    assert "Model: runs/a/best.pt" in capsys.readouterr().out
    assert {p.name for p in out.iterdir() if p.suffix not in (".log", "")} == set(
        "submission.csv predictions.csv predictions.npz faces.png".split()
    )
    submission = rows_of(out / "submission.csv")
    columns = ["file_name", "Point_M0_X", "Point_M0_Y", "Point_M1_X", "Point_M1_Y"]
    assert submission[0] == columns
    assert [row[0] for row in submission[1:]] == made.test_names
    with np.load(out / "predictions.npz") as stored:
        points = stored["points"]
        assert points.dtype == np.float32 and stored["names"].tolist() == made.test_names
    for row, wanted, face in zip(submission[1:], made.wanted, points, strict=True):
        assert [int(v) for v in row[1:]] == np.rint(face[wanted]).astype(int).ravel().tolist()
    everything = rows_of(out / "predictions.csv")
    assert everything[1][1:] == [str(int(v)) for v in np.rint(points[0]).ravel()]


def test_a_model_at_the_mean_shape_is_right_in_original_pixels(made):
    """Zero offsets: every prediction is the mean shape, moved to each photo's own pixels."""
    content = load_checkpoint(Path("runs/a/best.pt"))
    start = torch.tensor([[0.0, 0.0], [31.0, 31.0], [15.5, 15.5], [-0.5, 15.5], [10, 20]])
    content.weights["head.start"] = start
    layers = ("offsets.weight", "offsets.bias", "corrections.weight", "corrections.bias")
    for name in (f"head.{layer}" for layer in layers):
        content.weights[name] = torch.zeros_like(content.weights[name])
    save_checkpoint(Path("mean.pt"), content)
    with np.load(predict("npz=true", "checkpoint=mean.pt") / "predictions.npz") as stored:
        points = stored["points"]
    for name, face in zip(made.test_names, points, strict=True):
        path = str(made.root / "test/images" / name)
        matrix = read_face(path, "letterbox", np.zeros((32, 32, 3), np.uint8))
        np.testing.assert_allclose(transform(matrix, face), start, atol=1e-3)
    square = points[2]  # 50 x 50 pixels: by hand
    np.testing.assert_allclose(square[:3], [[0.28125, 0.28125], [48.71875] * 2, [24.5] * 2])


@pytest.mark.parametrize("kind", ["thousand", "synthetic", "coco", "table"])
def test_other_data_are_of_the_training_datas_format_or_of_another(made, kind):
    """A folder with the training's files is read as they are, the contest's as the contest's."""
    content = load_checkpoint(Path("runs/a/best.pt"))
    node = {
        "_target_": f"landmarks.data.formats.{kind}.read_faces",
        "train": "t.csv",
        "test": "t.csv",
    }
    if kind == "synthetic":
        node |= {"train": 20, "test": 5, "seed": 0}
    if kind == "coco":
        places = {"annotations": "test.json", "images": "test/images"}
        node = {"_target_": node["_target_"], "root": "elsewhere"}
        node |= {f"{p}_{key}": value for p in ("train", "test") for key, value in places.items()}
        images = [{"id": i, "file_name": name} for i, name in enumerate(made.test_names)]
        (made.root / "test.json").write_text(json.dumps({"images": images}))
    if kind != "thousand":
        content.config["data"] = node
    save_checkpoint(Path("other.pt"), content)
    out = predict("checkpoint=other.pt", f"data.root={made.root}", out=kind)
    assert len(rows_of(out / "predictions.csv")) == 6
    assert (out / "submission.csv").exists() == (kind != "coco")


def test_a_limit_on_training_does_not_shorten_the_submission(made, capsys):
    content = load_checkpoint(Path("runs/a/best.pt"))
    content.config["data"]["limit"] = 2
    save_checkpoint(Path("limited.pt"), content)
    assert len(rows_of(predict("checkpoint=limited.pt") / "submission.csv")) == 6
    assert "data.limit" not in capsys.readouterr().out
    out = predict("checkpoint=limited.pt", "data.limit=3", out="short")
    assert len(rows_of(out / "submission.csv")) == 4
    assert "data.limit=3" in capsys.readouterr().out
    images = f"input={made.root / 'test/images'}"
    assert len(rows_of(predict(images, "data.limit=2", out="few") / "predictions.csv")) == 3


def test_floats_when_not_rounded(made):
    out = predict("round=false")
    values = [v for row in rows_of(out / "submission.csv")[1:] for v in row[1:]]
    assert any(float(v) != int(float(v)) for v in values)


def test_any_folder_of_images(made):
    out = predict(f"input={made.root / 'train/images'}", "checkpoint=runs/a")
    assert len(rows_of(out / "predictions.csv")) == 13
    assert not (out / "submission.csv").exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["checkpoint=nowhere.pt"], "There is no checkpoint nowhere.pt"),
        (["input=nowhere"], "no such folder"),
        ([f"input={300 * 'a'}"], "see whether it is a path"),
        ([f"checkpoint={300 * 'a'}"], "see whether it is a path"),
        (["data.root=nowhere"], "There is no folder 'nowhere'"),
        (["checkpoint=bad.pt"], "damaged or not a checkpoint"),
        (["checkpoint=bare.pt"], "holds no model of this program"),
        (["checkpoint=evil.pt"], "no model of landmarks"),
        (["checkpoint=sly.pt"], "no model of landmarks"),
    ],
)
def test_wrong_input_is_one_sentence(made, overrides, sentence, capsys):
    Path("bad.pt").write_bytes(b"nothing")
    torch.save({"a": torch.zeros(1)}, "bare.pt")
    content = load_checkpoint(Path("runs/a/best.pt"))
    for name, target in (
        ("evil", "os.system"),
        ("sly", "landmarks.models.backbone_weights.torch.load"),
    ):
        content.config["model"] = {"_target_": target, "backbone": "x"}
        save_checkpoint(Path(f"{name}.pt"), content)
    out = predict(*overrides, code=1)
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error
    assert not out.exists()


def test_heatmaps_of_a_model_that_has_none_are_refused(made, capsys):
    out = predict("heatmaps=true", code=1)
    assert "resnet18" in capsys.readouterr().err
    assert not out.exists()


def test_heatmaps_of_the_pictured_faces(made):
    unet = ("model=unet_resnet18", "model.weights=none", "+model.fuse=false", "run_dir=runs/unet")
    assert cli.main(["train", f"data.root={made.root}", *SETTINGS, *unet]) == 0
    out = predict("heatmaps=true", "checkpoint=runs/unet")
    picture = cv2.imread(str(out / "heatmaps.png"))
    assert picture.shape == (2 * 320, 4 * 320, 3)  # five faces: nothing but the prediction
    plain = predict("checkpoint=runs/unet", out="plain")
    assert not (plain / "heatmaps.png").exists()
    other = predict("checkpoint=runs/unet", "decoder=argmax", out="other")
    found = [(folder / "predictions.csv").read_text() for folder in (plain, out, other)]
    assert found[0] == found[1] != found[2]


def test_a_decoder_for_a_model_without_heatmaps_is_refused(made, capsys):
    predict("decoder=dark", code=1)
    assert "decoder=dark" in capsys.readouterr().err


def test_asked_for_points_the_model_does_not_have(made, capsys):
    path = made.root / "test/test_points.csv"
    text = path.read_text().splitlines()
    text[2] = f"{made.test_names[1]}\t{json.dumps([0, 5])}"
    path.write_text("\n".join(text) + "\n")
    predict(code=1)
    assert "point 5" in capsys.readouterr().err


def test_few_points_asked_of_a_model_of_many_are_refused_unless_told(made, capsys):
    path = made.root / "test/test_points.csv"
    header, *_ = path.read_text().splitlines()
    rows = [f"{name}\t{json.dumps([1, 0])}" for name in made.test_names]
    path.write_text("\n".join([header, *rows]) + "\n")
    out = predict(out="few", code=1)
    said = capsys.readouterr().err
    assert "test/test_points.csv" in said and "other_points=true" in said
    assert re.search(r"\b1\b.*\b5\b", said)  # the last point asked for, of so many
    assert not out.exists()
    assert (predict("other_points=true", out="told") / "submission.csv").exists()


def test_labelled_faces_of_another_number_of_points_are_refused_unless_told(made, contest, capsys):
    other = contest(train=12, num_points=7, folder="other")
    rows = rows_of_table(other)
    (other.root / "test.csv").write_text(rows)
    data = ["data=table", f"data.test={other.root / 'test.csv'}", "data.missing=none"]
    data.append(f"data.images={other.root / 'train/images'}")
    predict(*data, code=1)
    assert "7 points" in capsys.readouterr().err
    assert len(rows_of(predict(*data, "other_points=true") / "predictions.csv")) == 13


def rows_of_table(made):
    """Return a table of training faces and their labels as data=table reads it."""
    header = ["file_name", *(f"{axis}_{k}" for k in range(7) for axis in "xy")]
    rows = [[name, *face.ravel()] for name, face in zip(made.names, made.points, strict=True)]
    return "".join(",".join(map(str, row)) + "\n" for row in [header, *rows])


@pytest.mark.parametrize(("size", "advice"), [(4, "batch_size=2"), (1, "stop other programs")])
def test_memory_that_runs_out_leaves_nothing_half_written(made, size, advice, monkeypatch, capsys):
    def fail(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")
        yield

    monkeypatch.setattr("landmarks.inference.predictor.predict_ahead", fail)
    out = predict(f"batch_size={size}", code=1)
    error = capsys.readouterr().err
    assert f" {size} on cpu" in error and advice in error
    assert not out.exists()


def test_corrupt_test_image_stops_or_is_guessed(made, capsys):
    (made.root / "test/images" / made.test_names[2]).write_bytes(b"\xff\xd8 cut off")
    out = predict(code=1)
    assert made.test_names[2] in capsys.readouterr().err
    assert not out.exists()
    out = predict("data.on_error=skip")
    assert made.test_names[2] in capsys.readouterr().out
    assert len(rows_of(out / "submission.csv")) == 6


@pytest.mark.parametrize("kind", ["cvat", "labelme"])
def test_predictions_for_a_tool_come_back_point_by_point(made, kind):
    """Names made of regions would come back in the order of letters: the brow before the mouth."""
    content = load_checkpoint(Path("runs/a/best.pt"))
    regions = {"mouth": [0, 1], "brow": [2, 4]}
    layout = {"name": "own", "num_points": 5, "regions": regions}
    save_checkpoint(Path("own.pt"), replace(content, layout=layout))
    out = predict(
        "checkpoint=own.pt", f"input={made.root}/test/images", f"format={kind}", "round=false"
    )
    at = [f"data.train={out}/cvat.xml"] if kind == "cvat" else [f"data.root={out}/labelme"]
    words = ["checkpoint=own.pt", f"data={kind}", *at, f"data.images={made.root}/test/images"]
    assert cli.main(["evaluate", *words, "run_dir=e", "report=false", "device=cpu", "amp=off"]) == 0
    assert json.loads(Path("e/metrics.json").read_text())["mse"] < 1e-4


def test_names_in_another_order_than_the_model_s_are_put_into_it(made):
    content = load_checkpoint(Path("runs/a/best.pt"))
    names = ["nose", "chin", "brow", "eye", "ear"]
    layout = {"name": "named", "num_points": 5, "names": names}
    save_checkpoint(Path("named.pt"), replace(content, layout=layout))
    found = []
    for order in (names, names[::-1]):
        columns = ",".join(f"{name}_{axis}" for name in order for axis in "xy")
        fields = ",".join(f"{names.index(name)},9" for name in order)
        rows = [f"{name},{fields}" for name in made.test_names]
        Path("t.csv").write_text("\n".join([f"file_name,{columns}", *rows]))
        words = ["checkpoint=named.pt", "data=table", "data.train=t.csv", "report=false"]
        words += [f"data.images={made.root}/test/images", "run_dir=e", "device=cpu"]
        assert cli.main(["evaluate", *words]) == 0
        found.append(json.loads(Path("e/metrics.json").read_text()))
    assert found[0]["mse"] == found[1]["mse"]
    assert found[0]["baselines"]["mean_shape_nme"] is None  # the labels lie in a line
