"""Data that a command names by their folder alone, beside a model that was trained on others."""

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_runs import TINY
from refusals import refused

from landmarks.cli import main as cli
from landmarks.commands import check
from landmarks.commands.preparing.data_for_model import in_order, read_data, say_differing
from landmarks.data.formats import table
from landmarks.health.disbelieved_labels import measure_disbelief

SETTINGS = [*TINY, "flip_test=false"]
NAMES = ["right_eye", "left_eye", "nose", "mouth"]  # not in the order of letters, as CVAT's are
UNSET = dict.fromkeys(("root", "cache_dir", "limit", "on_error", "exif"))


@pytest.fixture
def faces(tmp_path):
    """Ten named faces, as a table in table/ and the same in CVAT's XML in cvat/."""
    rng = np.random.default_rng(0)
    rows, images = [",".join(["file_name", *(f"{n}_{c}" for n in NAMES for c in "xy")])], []
    for folder in ("table", "cvat"):
        (tmp_path / folder).mkdir()
    for i in range(10):
        pixels = rng.integers(0, 255, (48, 48, 3), np.uint8)
        for folder in ("table", "cvat"):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), pixels)
        points = rng.integers(16, 160, (4, 2)) / 4
        rows.append(",".join([f"{i}.png", *map(str, points.ravel())]))
        drawn = [
            f'<points label="{name}" occluded="0" points="{x},{y}"/>'
            for name, (x, y) in zip(NAMES, points, strict=True)
        ]
        images.append(f'<image id="{i}" name="{i}.png">{"".join(drawn)}</image>')
    (tmp_path / "table/faces.csv").write_text("\n".join(rows))
    (tmp_path / "cvat/annotations.xml").write_text(
        f"<annotations><version>1.1</version>{''.join(images)}</annotations>"
    )
    return tmp_path


def trained_on(module, **settings):
    return {"data": {"_target_": f"landmarks.data.formats.{module}.read_faces", **settings}}


def test_another_format_is_found_and_its_points_put_in_order(faces, monkeypatch, capsys):
    monkeypatch.chdir(faces)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    assert cli.main(["train", "data.root=table", "run_dir=runs/a", *SETTINGS]) == 0
    found = {}
    for folder in ("table", "cvat"):
        words = [f"data.root={folder}", "split=all", f"run_dir=judged-{folder}"]
        assert cli.main(["evaluate", *words, "device=cpu", "amp=off", "workers=0"]) == 0
        found[folder] = json.loads(Path(f"judged-{folder}/metrics.json").read_text())
    assert found["cvat"]["faces"] == 10
    assert found["cvat"]["mse"] == pytest.approx(found["table"]["mse"])
    assert "data=cvat" in capsys.readouterr().out
    assert cli.main(["predict", "data.root=cvat", "run_dir=out", "device=cpu"]) == 1
    assert "data.test" in capsys.readouterr().err  # CVAT's file of test faces


JUDGED = ["device=cpu", "amp=off", "workers=0", "report=false"]


@pytest.fixture
def run(faces, monkeypatch):
    """Work beside the faces, and let a command's figures or its exit code be returned."""
    monkeypatch.chdir(faces)
    monkeypatch.setattr(sys, "argv", ["landmarks"])

    def run(command, *words, code=0):
        assert cli.main([command, *words]) == code
        where = [word.partition("=")[2] for word in words if word.startswith("run_dir=")][-1]
        metrics = Path(where) / "metrics.json"
        return json.loads(metrics.read_text()) if metrics.is_file() else None

    return run


def test_predictions_of_a_file_are_matched_by_the_names_of_points(run, capsys):
    run("train", "data.root=table", "run_dir=runs/a", *SETTINGS)
    model = run("evaluate", "data.root=cvat", "split=all", "run_dir=model", *JUDGED)["mse"]
    run("predict", "input=table", "run_dir=p", "npz=true", "round=false", "device=cpu", "amp=off")
    rows = Path("p/predictions.csv").read_text().splitlines()
    header = ",".join(["file_name", *(f"{name}_{axis}" for name in NAMES for axis in "xy")])
    Path("named.csv").write_text("\n".join([header, *rows[1:]]))
    data = ["data=auto", "data.root=cvat", "report=false"]
    capsys.readouterr()
    exact = run("evaluate", "predictions=p/predictions.npz", *data, "run_dir=exact")["mse"]
    text = run("evaluate", "predictions=named.csv", *data, "run_dir=text")["mse"]
    assert exact == pytest.approx(model, rel=1e-5) and text == pytest.approx(model, abs=0.1)
    run("show", "predictions=named.csv", *data[:2], "png=true", "run_dir=sheets")
    assert "npz=true" not in capsys.readouterr().out
    plain = run("evaluate", "predictions=p/predictions.csv", *data, "run_dir=plain")["mse"]
    assert plain > model + 1
    said = [line for line in capsys.readouterr().out.splitlines() if "npz=true" in line]
    assert len(said) == 1 and "p/predictions.csv" in said[0] and "cvat" in said[0]
    Path("other.csv").write_text("\n".join([header.replace("mouth", "chin"), *rows[1:]]))
    run("evaluate", "predictions=other.csv", *data, "run_dir=other", code=1)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and all(it in said[0] for it in ("other.csv", "'chin'", "'mouth'"))


def test_a_k_fold_s_predictions_are_matched_by_the_names_of_points(run, monkeypatch, capsys):
    looked = []

    def look(predicted, labels, flip):
        looked.append((np.array(predicted), np.array(labels)))
        return measure_disbelief(predicted, labels, flip)

    monkeypatch.setattr(check, "measure_disbelief", look)
    run("train", "data.root=table", "run_dir=runs/k", "kfold=2", *SETTINGS)
    for root in ("table", "cvat"):
        run("evaluate", "checkpoint=runs/k", f"data.root={root}", f"run_dir={root}-out")
        for place in ("runs/k", "runs/k/fold-0"):
            words = [f"checkpoint={place}", "device=cpu", "workers=0"]
            out = f"run_dir={root}-{Path(place).name}"
            assert cli.main(["check", f"data.root={root}", out, *words]) in (0, 3)
    found = [json.loads(Path(f"{root}-out/metrics.json").read_text()) for root in ("table", "cvat")]
    assert found[0]["mse"] == pytest.approx(found[1]["mse"])
    assert found[1]["data"]["split"] == "out of fold"
    assert "npz=true" not in capsys.readouterr().out
    there = [sorted(NAMES).index(name) for name in NAMES]
    for table_s, cvat_s in zip(looked[:2], looked[2:], strict=True):  # each in its data's order
        for values, others in zip(table_s, cvat_s, strict=True):
            np.testing.assert_allclose(others[:, there], values, atol=1e-3)


def test_the_training_s_own_format_keeps_its_settings(faces, write_contest):
    named = trained_on("table", train="old.csv", test="", images="old", name_column="file_name")
    read = read_data({**UNSET, "root": str(faces / "table"), "limit": 3}, named, "train")
    assert len(read) == 3 and read.names[0] == b"0.png"
    made = write_contest(faces / "contest", train=4)
    contest = trained_on("thousand", root="gone")
    assert len(read_data({**UNSET, "root": str(made.root)}, contest, "train")) == 4
    assert len(read_data({**UNSET, "root": str(faces / "cvat")}, contest, "train")) == 10
    pts = faces / "pts"
    pts.mkdir()
    cv2.imwrite(str(pts / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (pts / "a.pts").write_text("version: 1\nn_points: 1\n{\n3 4\n}\n")
    own = read_data({**UNSET, "root": str(pts)}, trained_on("points", root="gone"), "train")
    assert own.points.tolist() == [[[3, 4]]]  # data=ibug would count from 1


def test_what_cannot_be_told_is_refused(faces):
    named = trained_on("table", train="old.csv", test="")
    (faces / "empty").mkdir()
    with refused(faces / "empty", "data=NAME"):
        read_data({**UNSET, "root": str(faces / "empty")}, named, "train")
    with refused(faces, "data=cvat", "data=table", "data=NAME"):
        read_data({**UNSET, "root": str(faces)}, named, "train")


def test_the_training_s_own_folder_is_named_where_it_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused("data.root=nowhere/data", tmp_path, "data.root=FOLDER"):
        read_data(UNSET, trained_on("thousand", root="nowhere/data"), "test")


def test_points_are_matched_by_their_names(faces):
    read = table.read_faces(str(faces / "table/faces.csv"), "")
    assert in_order(read, NAMES) is read and in_order(read, []) is read
    turned = in_order(read, NAMES[::-1])
    assert np.array_equal(turned.points, read.points[:, ::-1])
    assert list(turned.point_names) == NAMES[::-1]
    with refused(read.source, "'mouth'", "'chin'"):
        in_order(read, [*NAMES[:3], "chin"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (NAMES[:3], "has 'mouth', which the model has not"),
        ([*NAMES, "chin"], "lacks 'chin', which the model has"),
        (["chin", *NAMES[:3]], "has 'mouth', which the model has not, and lacks 'chin', which it"),
        ([*NAMES, *"abcdef"], "lacks 'a', 'b', 'c', 'd', 'e', ..., which the model has"),
    ],
)
def test_points_that_one_of_two_has_alone_are_named(faces, names, said):
    with refused(faces / "cvat/annotations.xml", said):
        in_order(
            read_data({**UNSET, "root": str(faces / "cvat")}, trained_on("cvat"), "train"), names
        )
    assert say_differing(NAMES, NAMES[::-1], "b") == say_differing([], names, "b") == ""


def test_points_that_a_test_part_never_shows_or_has_besides_are_named(faces, run, capsys):
    run("train", "data.root=table", "run_dir=runs/a", *SETTINGS)
    test = Path("cvat/annotations.xml").rename("cvat/test.xml")
    whole = test.read_text()
    drawn = '<points label="mole" occluded="0" points="1,2"/></image>'
    less = re.sub(r'<points label="nose"[^>]*>', "", whole)
    for text, said in ((less, "'nose'"), (whole.replace("</image>", drawn), "'mole'")):
        test.write_text(text)
        for command in ("predict", "evaluate"):
            capsys.readouterr()
            words = [
                "checkpoint=runs/a",
                "data.root=cvat",
                "device=cpu",
                f"run_dir={command}-{said[1:-1]}",
            ]
            run(command, *words, *(["split=test"] if command == "evaluate" else []), code=1)
            (line,) = capsys.readouterr().err.splitlines()
            assert said in line and str(test) in line and "the model has" in line
