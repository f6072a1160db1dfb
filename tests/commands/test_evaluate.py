"""`landmarks evaluate`: figures against an independent computation, and what is refused."""

import csv
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_runs import TINY

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint

SETTINGS = [*TINY, "flip_test=false"]
EVERY = {
    "metrics.json",
    "per_face.csv",
    "per_point.csv",
    "per_region.csv",
    "errors.npz",
    "worst.png",
    "predictions.csv",
    "predictions.npz",
}


@pytest.fixture(scope="module")
def trained(write_contest, tmp_path_factory, commands_in):
    """A run on 16 small faces, four of which it was validated on."""
    folder = tmp_path_factory.mktemp("trained")
    made = write_contest(folder / "contest", train=16)
    with commands_in(folder):
        words = [f"data.root={made.root}", f"run_dir={folder / 'run'}", *SETTINGS]
        assert cli.main(["train", *words]) == 0
    return made, folder / "run"


@pytest.fixture
def run(trained, copied):
    """A copy of the run in runs/a, and of its faces."""
    made, folder = trained
    copied(folder, "runs/a")
    return made


def evaluate(*words, code=0, out="out"):
    device = [] if any("predictions=" in word for word in words) else ["device=cpu", "amp=off"]
    assert cli.main(["evaluate", *device, f"run_dir={out}", *words]) == code
    return Path(out)


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def figures(folder):
    return json.loads((folder / "metrics.json").read_text())


def independent(points, truth):
    """MSE, NME by the labels' box, failure rates and areas, in plain NumPy."""
    points, truth = points.astype(np.float64), truth.astype(np.float64)
    squared = ((points - truth) ** 2).mean(axis=(1, 2))
    side = truth.max(axis=1) - truth.min(axis=1)
    far = np.sqrt(((points - truth) ** 2).sum(axis=2))
    nme = far.mean(axis=1) / np.sqrt(side[:, 0] * side[:, 1])
    rates = {t: (nme > t).mean() for t in (0.08, 0.1)}
    areas = {}
    for t in rates:  # the curve is a staircase
        inside = np.sort(nme[nme <= t])
        areas[t] = (t - inside).sum() / len(nme) / t
    return squared.mean(), nme.mean(), rates, areas, np.quantile(far, [0.5, 0.9, 0.95, 0.99])


def test_no_argument_judges_the_newest_run_on_its_own_validation_faces(run):
    out = evaluate()
    assert {path.name for path in out.iterdir()} >= EVERY
    found = figures(out)
    with np.load("runs/a/split.npz") as split:
        rows = split["validation"]
    with np.load(out / "predictions.npz") as stored:
        points, names = stored["points"], stored["names"].tolist()
    assert names == [run.names[row] for row in rows]
    mse, nme, rates, areas, quantiles = independent(points, run.points[rows])
    assert found["mse"] == pytest.approx(mse, abs=1e-6)
    assert found["nme"] == pytest.approx(nme, abs=1e-6)
    for t in (0.08, 0.1):
        assert found["failure_rate"][f"{t:.2f}"] == pytest.approx(rates[t], abs=1e-6)
        assert found["auc"][f"{t:.2f}"] == pytest.approx(areas[t], abs=1e-6)
    error = found["point_error"]
    known = [error[key] for key in ("median", "p90", "p95", "p99")]
    assert known == pytest.approx(quantiles.tolist(), rel=1e-6)
    trained = rows_of(Path("runs/a/metrics.csv"))[-1]
    assert found["mse"] == pytest.approx(float(trained["val_mse"]), rel=1e-4)
    assert found["data"]["faces_trained_on"] == 0 and found["data"]["split"] == "val"
    assert found["baselines"]["mean_shape"] > 0 and found["schema"] == 1


def test_tables_agree_with_the_figures(run):
    out = evaluate("split=all", "worst=3")
    found = figures(out)
    faces, points = rows_of(out / "per_face.csv"), rows_of(out / "per_point.csv")
    assert len(faces) == found["faces"] == 16 and found["data"]["faces_trained_on"] == 12
    worst_first = [float(row["mse"]) for row in faces]
    assert worst_first == sorted(worst_first, reverse=True)
    assert np.mean(worst_first) == pytest.approx(found["mse"], rel=1e-4)
    assert [int(row["point"]) for row in points] == list(range(5))
    total = np.mean([float(row["mean"]) for row in points])
    assert total == pytest.approx(found["point_error"]["mean"], rel=1e-4)
    with np.load(out / "predictions.npz") as stored:
        bias = (stored["points"] - run.points).mean(axis=0)
    assert [float(row["bias_x"]) for row in points] == pytest.approx(bias[:, 0].tolist(), rel=1e-3)
    assert cv2.imread(str(out / "worst.png")).shape == (320, 3 * 320, 3)


def test_predictions_of_a_file_give_the_figures_of_the_model(run):
    model = figures(evaluate("split=all", out="model"))
    data = ["data=thousand", f"data.root={run.root}"]
    exact = figures(evaluate("predictions=model/predictions.npz", *data, out="npz"))
    text = figures(evaluate("predictions=model/predictions.csv", *data, out="csv"))
    for key in ("mse", "nme", "point_error", "failure_rate", "regions", "leaderboard"):
        assert exact[key] == model[key], key
    assert exact["data"]["fingerprint"] == model["data"]["fingerprint"]
    assert text["mse"] == pytest.approx(model["mse"], abs=0.05)
    written = np.array(
        [
            [float(v) for v in list(row.values())[1:]]
            for row in rows_of(Path("model/predictions.csv"))
        ]
    )
    mse, nme, *_ = independent(written.reshape(-1, 5, 2), run.points)
    assert text["mse"] == pytest.approx(mse, abs=1e-4) and text["nme"] == pytest.approx(
        nme, abs=1e-6
    )


def test_predictions_of_some_faces_judge_those(run):
    evaluate(out="model")
    words = ["predictions=model/predictions.npz", "data=thousand", f"data.root={run.root}"]
    assert figures(evaluate(*words))["faces"] == 4


def test_a_file_is_not_judged_beside_predictions_that_are_others(run, capsys):
    out = evaluate(out="model")
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    shutil.copy(out / "predictions.npz", "other.npz")
    words = ["predictions=other.npz", "data=thousand", f"data.root={run.root}"]
    evaluate(*words, out="model", code=1)
    assert f"run_dir={out.resolve()}" in capsys.readouterr().err
    changed = [path.name for path, old in before.items() if path.read_bytes() != old]
    assert changed in ([], ["evaluate.log"])


def test_slices_and_groups_come_from_a_table(run):
    lines = [f"{name},{'old' if i % 2 else 'young'},{i // 3}" for i, name in enumerate(run.names)]
    Path("meta.csv").write_text("\n".join(["file_name,age,person", *lines]) + "\n")
    found = figures(evaluate("split=all", "table=meta.csv", "groups=person", "slices=[age]"))
    age = next(each for each in found["slices"] if each["name"] == "age")
    assert {part["label"]: part["faces"] for part in age["parts"]} == {"old": 8, "young": 8}
    assert found["leaderboard"]["groups"] == 6 and "person" in found["leaderboard"]["grouping"]
    names = {each["name"] for each in found["slices"]}
    assert {"face size", "brightness", "sharpness", "points outside the image"} <= names


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["table=meta.csv", "groups=persn"], ["meta.csv", "'persn'", "(groups)", "'person'"]),
        (["table=gone.csv", "groups=person"], ["groups=person", "table=FILE", "gone.csv"]),
    ],
)
def test_groups_that_are_not_there_are_said_by_the_settings_of_evaluate(run, words, named, capsys):
    Path("meta.csv").write_text(f"file_name,person\n{run.names[0]},1\n")
    evaluate(*words, code=1)
    error = capsys.readouterr().err
    assert all(what in error for what in named) and "split." not in error


def test_wflw_s_attributes_are_slices(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    names, rng = [f"{i}.png" for i in range(4)], np.random.default_rng(0)
    Path("WFLW_images").mkdir()
    truth = rng.uniform(4, 36, (4, 98, 2)).round(2)
    lines = []
    for i, name in enumerate(names):
        cv2.imwrite(f"WFLW_images/{name}", np.full((40, 40, 3), 90, np.uint8))
        attributes = [int(i == 3), 0, 0, int(i < 2), 0, 0]  # pose, ..., make-up
        lines.append(" ".join(map(str, [*truth[i].ravel(), 2, 2, 38, 38, *attributes, name])))
    for part in ("train", "test"):
        Path(f"list_98pt_rect_attr_{part}.txt").write_text("\n".join(lines) + "\n")
    far = np.array([1, 1, 1, 3])[:, None, None]  # pixels in x and in y
    np.savez("p.npz", names=np.array(names), points=(truth + far).astype(np.float32))
    words = ["predictions=p.npz", "data=wflw", "data.root=.", "split=test", "report=false"]
    found = figures(evaluate(*words))
    parts = {each["name"]: each["parts"] for each in found["slices"]}
    pose = {part["label"]: (part["faces"], round(part["mse"], 3)) for part in parts["pose"]}
    assert pose == {"no": (3, 1), "yes": (1, 9)}
    assert {part["label"]: part["faces"] for part in parts["make-up"]} == {"no": 2, "yes": 2}


def test_a_condition_sets_the_exit_code(run):
    assert figures(evaluate("fail_if=mse<0", code=0))
    assert figures(evaluate("fail_if=mse>0", code=4))  # everything is written all the same
    evaluate("fail_if=mse", code=2)
    assert not evaluate("fail_if=mze>0", code=1, out="refused").exists()  # before it works


def test_other_labelled_data_are_judged_whole(run, contest):
    other = contest(train=7, seed=5, folder="other")
    found = figures(evaluate(f"data.root={other.root}"))
    assert found["faces"] == 7 and found["data"]["split"] == "all"
    moved = shutil.copytree(run.root, "moved")
    found = figures(evaluate(f"data.root={moved}"))
    assert found["faces"] == 4 and found["data"]["split"] == "val"  # the same faces elsewhere


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["split=test"], "no labels"),
        (["checkpoint=runs/b"], "runs/b"),
        (["predictions=gone.csv"], "data=thousand"),
        (["predictions=gone.csv", "data=thousand", "data.root={root}"], "gone.csv"),
        (["predictions=short.csv", "data=thousand", "data.root={root}"], "line 2"),
        (["predictions=strange.csv", "data=thousand", "data.root={root}"], "x.jpg"),
        (["predictions=few.csv", "data=thousand", "data.root={root}"], "2 points"),
        (["predictions=gaps.csv", "data=thousand", "data.root={root}"], "point 4"),
        (["slices=[age]", "table=gone.csv"], "gone.csv"),
        (["data.root={other}"], "7 points"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(run, contest, capsys, words, says):
    other = contest(train=4, num_points=7, folder="other")
    header = ",".join(["file_name", *(f"Point_{i // 2}_{'XY'[i % 2]}" for i in range(10))])
    numbers = ",".join(map(str, range(10)))
    Path("short.csv").write_text(f"{header}\n{run.names[0]},1,2\n")
    Path("strange.csv").write_text(f"{header}\nx.jpg,{numbers}\n")
    Path("few.csv").write_text("file_name,Point_0_X,Point_0_Y,Point_1_X,Point_1_Y\na.jpg,1,2,3,4\n")
    gap = f"{run.names[1]},{numbers[:-3]},"
    Path("gaps.csv").write_text(f"{header}\n{run.names[0]},{numbers}\n{gap}\n")
    named = [word.format(root=run.root, other=other.root) for word in words]
    evaluate(*named, code=1)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("landmarks:")]
    assert len(said) == 1 and says in said[0]


def test_a_run_without_its_split_is_refused(run, capsys):
    Path("runs/a/split.npz").unlink()
    evaluate(code=1)
    assert "split.npz" in capsys.readouterr().err
    assert figures(evaluate("split=all"))["faces"] == 16


def test_training_ends_with_a_report_that_changes_nothing(run, monkeypatch):
    words = [f"data.root={run.root}", *SETTINGS, "report=true", "run_dir=runs/b"]
    assert cli.main(["train", *words]) == 0
    told = Path("runs/b/report.html").read_text()
    assert f"{figures(Path('runs/b'))['mse']:.2f}" in told and "differ" in told  # from runs/a
    assert figures(Path("runs/b"))["data"]["split"] == "val"
    first, second = (load_checkpoint(Path(name) / "last.pt") for name in ("runs/a", "runs/b"))
    assert all(torch.equal(first.weights[key], second.weights[key]) for key in first.weights)
    assert not Path("runs/a/report.html").exists()


def test_a_report_that_fails_ends_nothing(run, monkeypatch, capsys):
    judge = "landmarks.commands.judging.report_judgement.judge_model"
    monkeypatch.setattr(judge, lambda *given: 1 / 0)
    words = [f"data.root={run.root}", *SETTINGS, "report=true", "run_dir=runs/b"]
    assert cli.main(["train", *words]) == 0
    assert "division" in capsys.readouterr().out and Path("runs/b/finished.json").is_file()


def test_a_report_compares_with_the_named_evaluation_and_not_with_its_own_model(run, capsys):
    evaluate(out="runs/first")
    second = evaluate("flip_test=false", out="runs/second")
    assert "This model and first" not in (second / "report.html").read_text()
    named = evaluate("against=runs/second", out="third")
    assert "and second differ" in (named / "report.html").read_text()
    evaluate("split=all", "against=runs/first", code=1, out="fourth")
    assert "16 and 4, 4 of" in capsys.readouterr().err
    assert not (evaluate("report=false", out="fifth") / "report.html").exists()


@pytest.mark.parametrize(
    "word", ["groups=person", "predictions=p.csv batch_size=4", "layout=wflw98"]
)
def test_settings_that_would_change_nothing_are_refused(run, word, capsys):
    assert cli.main(["evaluate", "run_dir=out", *word.split()]) == 2
    assert word.split()[-1].partition("=")[0] in capsys.readouterr().err
