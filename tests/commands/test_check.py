"""`landmarks check`: planted faults are found, and nothing else is called an error."""

import csv
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from landmarks.cli import main as cli
from landmarks.commands.preparing.choose_layout import choose_layout
from landmarks.data.formats.thousand import read_faces

FLIP = choose_layout({"name": "auto"}, 971).flip_permutation()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    return tmp_path


def check(*overrides, code=0):
    shutil.rmtree("out", ignore_errors=True)
    done = cli.main(["check", "run_dir=out", "workers=1", *overrides])
    assert done == code or code is None
    with Path("out/suspects.csv").open() as file:
        return list(csv.DictReader(file))


def errors(suspects):
    found = {}
    for row in suspects:
        if row["level"] == "error":
            found.setdefault(row["name"], []).append(row["reason"])
    return found


def read_labels(root):
    rows = [line.split("\t") for line in (root / "train/landmarks.csv").read_text().splitlines()]
    return rows[0], [row[0] for row in rows[1:]], np.array([row[1:] for row in rows[1:]], float)


def write_labels(root, header, names, values):
    rows = [[name, *face.astype(int)] for name, face in zip(names, values, strict=True)]
    text = "".join("\t".join(map(str, row)) + "\n" for row in [header, *rows])
    (root / "train/landmarks.csv").write_text(text)


def test_clean_faces_have_no_errors(drawn, here, capsys):
    suspects = check(f"data.root={drawn}")
    assert errors(suspects) == {}
    out = capsys.readouterr().out
    assert "0 of 200" in out and "layout thousand, 18" in out
    assert cv2.imread("out/augmented.png").shape == (4 * 320, 4 * 320, 3)
    (way,) = re.findall("^crop=letterbox at 128 pixels.*", out, re.M)
    assert re.search(r"\d\.\de-0\d pixels .*0\.\d\d %", way)  # of error, and of points lost
    assert re.search(r"\broll -?\d+, -?\d+, -?\d+ degrees", out)


def test_planted_faults_are_found_and_left_out(drawn, here, capsys):
    root = shutil.copytree(drawn, here / "faulty")
    header, names, values = read_labels(root)
    points = values.reshape(len(names), -1, 2)
    images = root / "train/images"
    rng = np.random.default_rng(0)
    planted = {}
    size = np.sqrt(np.ptp(points, axis=1).prod(1))
    for row, share in ((3, 0.2), (44, 0.3), (90, 0.25), (151, 0.35)):
        points[row] += np.rint(size[row] * share * np.array([0.6, 0.8]) * (-1) ** row)
        planted[names[row]] = "shifted"
    for row in (7, 60):
        points[row] = np.rint(points[row] + rng.normal(0, 4, points[row].shape))
        planted[names[row]] = "jittered"
    for row in (9, 130):
        points[row] = points[row][FLIP]
        planted[names[row]] = "swapped"
    points[12] = points[12, 0]
    points[14] += 1000
    planted |= {names[12]: "degenerate", names[14]: "off-image"}
    points[17] = points[16]
    planted[names[17]] = "same-labels"
    (images / names[20]).write_bytes((images / names[20]).read_bytes()[:900])
    (images / names[21]).unlink()
    planted |= {names[20]: "corrupt", names[21]: "missing"}
    shutil.copy(images / names[30], images / names[31])
    shutil.copy(
        root / "test/images" / sorted(p.name for p in (root / "test/images").iterdir())[0],
        images / names[40],
    )
    planted |= {names[31]: "duplicate", names[40]: "duplicate"}
    smaller = cv2.resize(cv2.imread(str(images / names[50])), None, fx=0.8, fy=0.8)
    cv2.imwrite(str(images / names[51]), smaller)
    write_labels(root, header, names, points.reshape(len(names), -1))

    suspects = check(f"data.root={root}", code=3)
    # The images that others were written over no longer show their own labels' faces.
    found = errors(suspects)
    assert {n: r for n, r in planted.items() if r not in found.get(n, [])} == {}
    assert set(found) - set(planted) <= {names[51]}
    reasons = {(row["name"], row["reason"]) for row in suspects}
    assert (names[51], "near-duplicate") in reasons
    levels = [row["level"] for row in suspects]
    assert levels == sorted(levels)  # errors first
    assert f"data.exclude={here}/out/suspects.csv" in capsys.readouterr().out
    assert cv2.imread("out/suspects.png").shape[1] == 4 * 320

    kept = read_faces(str(root), exclude="out/suspects.csv")  # and does not stop at corrupt files
    assert len(kept.rows) == 200 - len(found)
    shutil.copy("out/suspects.csv", "suspects.csv")
    left = check(f"data.root={root}", "data.exclude=suspects.csv", code=None)
    # With the faults gone the rest is judged more strictly: at most 1 % of clean faces fall.
    assert len(set(errors(left)) - {names[51]}) <= 2


def test_few_faces_without_layout_or_test_part(contest, here, capsys):
    made = contest(train=10, num_points=7)
    shutil.rmtree(made.root / "test")
    suspects = check(f"data.root={made.root}", "layout=none", "crop=box", "box_from=points")
    assert errors(suspects) == {}
    out = capsys.readouterr().out
    assert re.search(r"\b10 labelled faces.*\b30\b", out) and f"{made.root}/test/images" in out
    assert "crop=box at 128 pixels" in out


def test_a_box_without_size_is_named_and_the_rest_tried(contest, here, capsys):
    made = contest(train=8)
    rows = ["file_name,x_0,y_0,x_1,y_1,box_x0,box_y0,box_x1,box_y1"]
    for i, (name, points) in enumerate(zip(made.names, made.points, strict=True)):
        box = [20, 20, 20, 20] if i == 3 else [2, 2, 40, 40]
        rows.append(",".join(map(str, [name, *points[:2].ravel(), *box])))
    (made.root / "faces.csv").write_text("\n".join(rows))
    data = ["data=table", f"data.train={made.root}/faces.csv"]
    data += [f"data.images={made.root}/train/images"]
    assert errors(check(*data, "crop=box", code=3)) == {made.names[3]: ["no-box"]}
    assert "crop=box at 128 pixels" in capsys.readouterr().out


def test_points_without_a_common_shape_are_not_judged_by_it(contest, here, capsys):
    made = contest(train=40, num_points=7)
    assert errors(check(f"data.root={made.root}", "crop=box")) == {}
    out = capsys.readouterr().out
    assert re.search(r"\b0\.\d\d face sizes", out)
    assert "box_from=points" in out and "crop=box at" not in out


def test_missing_labels_are_no_error(contest, here):
    made = contest(train=6)
    path = made.root / "train/landmarks.csv"
    lines = path.read_text().splitlines()
    lines[2] = made.names[1] + "\t" * 10
    path.write_text("\n".join(lines) + "\n")
    suspects = check(f"data.root={made.root}")
    assert [(row["name"], row["reason"]) for row in suspects if row["level"] == "warning"].count(
        (made.names[1], "unlabelled")
    ) == 1
    assert errors(suspects) == {}


def test_suspects_are_written_before_anything_is_drawn(drawn, here, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no picture")

    root = shutil.copytree(drawn, here / "faulty")
    header, names, values = read_labels(root)
    values[5] += 1000
    write_labels(root, header, names, values)
    monkeypatch.setattr("landmarks.commands.check.draw_augmented", fail)
    with pytest.raises(RuntimeError, match="no picture"):
        cli.main(["check", "run_dir=out", "workers=1", f"data.root={root}", "data.limit=40"])
    assert names[5] in Path("out/suspects.csv").read_text()


def test_a_picture_that_failed_is_not_named(drawn, here, monkeypatch, capsys):
    def fail(*arguments):
        raise OSError("no space left")

    for name in ("commands.training_run.training_inputs", "health.check_pictures"):
        monkeypatch.setattr(f"landmarks.{name}.save_picture", fail)
    check(f"data.root={drawn}", "data.limit=40", code=None)
    assert "no space left" in (said := "".join(capsys.readouterr()))
    assert "augmented.png" not in said and "suspects.png" not in said


def test_labels_that_a_model_does_not_believe_come_first(drawn, here, capsys):
    """A k-fold's out-of-fold predictions, here the true labels with some pixels of error."""
    root = here / "faulty"
    shutil.copytree(drawn, root)
    header, names, values = read_labels(root)
    rng = np.random.default_rng(0)
    true = values.reshape(200, 971, 2).copy()
    smooth = np.cumsum(rng.normal(0, 0.1, (200, 971, 2)), axis=1)
    Path("folds/fold-0").mkdir(parents=True)
    Path("folds/fold-0/best.pt").touch()
    Path("folds/kfold.json").write_text('{"folds": 1}')
    np.savez("folds/predictions.npz", names=names, points=(true + smooth).astype(np.float32))
    faces = values.reshape(200, 971, 2)
    sizes = np.ptp(true, axis=1).max(1)
    planted = {3: "model-shifted", 50: "model-jittered", 90: "model-swapped"}
    faces[3] += 0.2 * sizes[3]
    faces[50] += rng.normal(0, 0.04 * sizes[50], (971, 2))
    faces[90] = faces[90][FLIP]
    write_labels(root, header, names, faces.reshape(200, -1))
    suspects = check(f"data.root={root}", "checkpoint=folds", code=3)
    found = {row["name"]: row["reason"] for row in suspects if row["reason"].startswith("model-")}
    assert {names[row]: found.get(names[row]) for row in planted} == {
        names[row]: reason for row, reason in planted.items()
    }
    with Path("out/disbelieved.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert len(listed) == 200
    assert {row["name"] for row in listed[:4]} >= {names[row] for row in planted}  # 2 %
    assert all(row["level"] == "warning" for row in suspects if row["reason"] in planted.values())


def test_a_model_of_other_points_is_refused(drawn, here, capsys):
    Path("folds/fold-0").mkdir(parents=True)
    Path("folds/fold-0/best.pt").touch()
    Path("folds/kfold.json").write_text('{"folds": 1}')
    np.savez("folds/predictions.npz", names=["a.jpg"], points=np.zeros((1, 5, 2), np.float32))
    assert cli.main(["check", f"data.root={drawn}", "run_dir=out", "checkpoint=folds"]) == 1
    assert "5 points" in capsys.readouterr().err
    assert cli.main(["check", f"data.root={drawn}", "run_dir=out", "device=cpu"]) == 2
