"""`landmarks train kfold=3`: every face is judged by a model that has not seen it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from landmarks.cli import main as cli
from landmarks.commands.training_run import kfold
from landmarks.runs.checkpoint import load_checkpoint

WORDS = [
    "kfold=3",
    "model=resnet18",
    "model.weights=none",
    "input_size=32",
    "batch_size=4",
    "epochs=1",
    "amp=off",
    "device=cpu",
    "workers=0",
    "report=false",
    "run_dir=runs/k",
    "flip_test=false",
]


def train(made, *words, code=0):
    assert cli.main(["train", f"data.root={made.root}", *WORDS, *words]) == code


@pytest.fixture(scope="module")
def folded(write_contest, tmp_path_factory, commands_in):
    """A k-fold of 18 faces that was stopped after its first fold and then taken up again."""
    folder = tmp_path_factory.mktemp("folded")
    made = write_contest(folder / "contest", train=18)
    with commands_in(folder):
        train(made, "fold=0")
        assert not Path("runs/k/kfold.json").exists()
        first = (folder / "runs/k/fold-0/last.pt").stat().st_mtime_ns
        train(made)
    return made, folder / "runs", first


@pytest.fixture
def kept(folded, copied):
    copied(folded[1], "runs")
    return folded[0]


def test_finished_folds_are_left_as_they_are(folded):
    _, runs, first = folded
    assert (runs / "k/fold-0/last.pt").stat().st_mtime_ns == first
    assert {path.name for path in (runs / "k").iterdir() if path.is_dir()} == {
        ".hydra",
        "fold-0",
        "fold-1",
        "fold-2",
    }
    config = load_checkpoint(runs / "k/fold-2/best.pt").config
    assert (config["split"]["folds"], config["split"]["fold"]) == (3, 2)


def test_each_face_is_predicted_once_by_a_model_that_has_not_seen_it(folded):
    made, runs, _ = folded
    with np.load(runs / "k/predictions.npz") as stored:
        names, points = stored["names"].tolist(), stored["points"]
    assert names == made.names
    judged = []
    for fold in range(3):
        place = runs / f"k/fold-{fold}"
        with np.load(place / "split.npz") as split, np.load(place / "predictions.npz") as own:
            assert not np.intersect1d(split["train"], split["validation"]).size
            np.testing.assert_array_equal(points[split["validation"]], own["points"])
            judged += split["validation"].tolist()
    assert sorted(judged) == list(range(18))


def test_evaluate_reads_them_as_one_set(kept):
    assert cli.main(["evaluate", "checkpoint=runs/k", "run_dir=out"]) == 0
    found = json.loads(Path("out/metrics.json").read_text())
    with np.load("runs/k/predictions.npz") as stored:
        squared = ((stored["points"].astype(float) - kept.points) ** 2).mean((1, 2))
    assert found["faces"] == 18 and found["mse"] == pytest.approx(squared.mean())
    assert found["data"]["split"] == "out of fold" and found["data"]["faces_trained_on"] == 0
    scores = json.loads(Path("runs/k/kfold.json").read_text())["val_mse"]
    assert np.mean(scores) == pytest.approx(found["mse"], rel=1e-3)


def test_on_other_faces_the_mean_of_all_folds_is_judged(kept, write_contest, tmp_path, capsys):
    other = write_contest(tmp_path / "other", train=6, seed=7)
    words = [f"data.root={other.root}", "device=cpu", "amp=off", "run_dir=out"]
    assert cli.main(["evaluate", "checkpoint=runs/k", *words]) == 0
    found = json.loads(Path("out/metrics.json").read_text())
    with np.load("out/predictions.npz") as stored:
        mean = stored["points"]
    members = []
    for fold in range(3):
        assert cli.main(["evaluate", f"checkpoint=runs/k/fold-{fold}", *words]) == 0
        with np.load("out/predictions.npz") as stored:
            members.append(stored["points"])
    np.testing.assert_allclose(mean, np.mean(members, 0), atol=1e-3)
    assert found["mse"] == pytest.approx(((mean - other.points) ** 2).mean(), rel=1e-4)
    assert [member["path"] for member in found["checkpoint"]["members"]] == [
        f"runs/k/fold-{fold}/best.pt" for fold in range(3)
    ]
    listed = "checkpoint=[runs/k/fold-0,runs/k/fold-2]"
    assert cli.main(["evaluate", listed, "ensemble=median", *words]) == 0
    with np.load("out/predictions.npz") as stored:  # of two it is the mean
        np.testing.assert_allclose(stored["points"], (members[0] + members[2]) / 2, atol=1e-3)
    capsys.readouterr()
    assert (
        cli.main(["evaluate", listed, "device=cpu", "run_dir=out"]) == 1
    )  # no face unseen by both
    assert "split=all" in capsys.readouterr().err


def test_the_same_faces_elsewhere_are_judged_out_of_fold(kept, tmp_path):
    moved = shutil.copytree(kept.root, tmp_path / "moved")
    words = ["evaluate", "checkpoint=runs/k", f"data.root={moved}", "run_dir=out"]
    assert cli.main(words) == 0
    found = json.loads(Path("out/metrics.json").read_text())
    assert found["data"]["split"] == "out of fold"
    assert found["checkpoint"]["path"] == "runs/k" and len(found["checkpoint"]["members"]) == 3
    assert cli.main([*words, "flip_test=true"]) == 1  # what is kept has been predicted
    assert cli.main([*words, "ensemble=median"]) == 1


def test_predict_averages_the_models(kept):
    device = ["device=cpu", "amp=off", "workers=0", "npz=true"]
    points = {}
    for name in ("k", "k/fold-0", "k/fold-1", "k/fold-2"):
        out = name.replace("/", "-")
        assert cli.main(["predict", f"checkpoint=runs/{name}", f"run_dir={out}", *device]) == 0
        with np.load(f"{out}/predictions.npz") as stored:
            points[name] = stored["points"]
    members = np.stack([points[f"k/fold-{fold}"] for fold in range(3)])
    np.testing.assert_allclose(points["k"], members.mean(0), atol=1e-3)
    assert np.abs(members - members.mean(0)).max() > 0.01


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["fold=3"], 1, "fold=3"),
        (["kfold=1"], 2, "kfold=1"),
        (["loss=mse"], 1, "loss._target_="),  # begun with another loss
        (["optimizer.lr=0.5"], 1, "optimizer.lr="),
        (["kfold=4"], 1, "kfold=3, not 4:"),
        (["epochs=2"], 1, "fold-0 epochs=2"),  # the finished ones are not
        (["resume=runs/k/fold-0"], 1, "resume="),
        (["kfold=null", "fold=1"], 2, "fold"),
    ],
)
def test_what_cannot_be_folded_is_refused(kept, words, code, named, capsys):
    shutil.rmtree("runs/k/fold-2")
    Path("runs/k/fold-1/finished.json").unlink()
    train(kept, *words, code=code)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("landmarks:")]
    assert len(said) == 1 and named in said[0]


def test_folds_that_were_trained_on_are_predicted_anew(kept):
    def points_of(fold):
        with np.load("runs/k/predictions.npz") as stored:
            rows = np.load(f"runs/k/fold-{fold}/split.npz")["validation"]
            return stored["points"][rows]

    before = [points_of(fold) for fold in range(3)]
    for fold in range(3):
        words = [f"resume=runs/k/fold-{fold}", "epochs=2"]
        assert cli.main(["train", *words]) == 0
    epochs = [load_checkpoint(Path(f"runs/k/fold-{n}/best.pt")).metrics["epoch"] for n in range(3)]
    train(kept, "epochs=2")
    for fold, epoch in enumerate(epochs):
        assert np.array_equal(points_of(fold), before[fold]) == (epoch == 1)
    assert 2 in epochs


def test_a_fold_that_was_stopped_goes_on(kept, stop_at_step, monkeypatch):
    monkeypatch.setattr("landmarks.commands.training_run.auto_batch_size.REFERENCE", 4)
    shutil.rmtree("runs/k")
    words = ["epochs=2", "batch_size=auto"]
    with stop_at_step(5):
        train(kept, *words, code=143)
    assert not Path("runs/k/fold-0/finished.json").exists()
    train(kept, *words, "fold=0")
    steps = load_checkpoint(Path("runs/k/fold-0/last.pt")).training["step"]
    assert steps == 2 * (12 // 4)


def test_the_first_process_says_which_folds_are_finished(tmp_path, monkeypatch):
    """Another one comes out of the last fold before the first has marked it as finished."""
    judged = []
    monkeypatch.setattr(kfold.processes, "is_main", lambda: False)
    monkeypatch.setattr(kfold.collectives, "agree", lambda own: [])  # what the first one says
    monkeypatch.setattr(kfold, "_settings_of_fold", lambda settings, fold, folder: fold)
    monkeypatch.setattr(kfold, "_judge_folds", lambda folders, settings: judged.append(folders))
    settings = SimpleNamespace(run_dir=str(tmp_path), kfold=2, fold=None, resume=None)
    assert kfold.train_folds(settings, lambda fold: 0) == 0
    assert judged == [[tmp_path / "fold-0", tmp_path / "fold-1"]]
