"""`landmarks average`: the mean of weights, validated, and kept as a model like any other."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_runs import TINY

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint, save_checkpoint
from landmarks.runs.find_runs import KFOLD


@pytest.fixture(scope="module")
def runs(write_contest, tmp_path_factory, commands_in):
    """A run, and two whose weights lie near its own, as if they had gone on from there."""
    folder = tmp_path_factory.mktemp("soup")
    data = f"data.root={write_contest(folder / 'contest', train=12).root}"
    with commands_in(folder):
        assert cli.main(["train", data, *TINY, f"run_dir={folder}/a"]) == 0
    content = load_checkpoint(folder / "a/best.pt")
    for seed, name in enumerate("bc"):
        torch.manual_seed(seed)
        weights = {
            key: value * (1 + 0.02 * torch.randn(value.shape))
            if value.is_floating_point()
            else value
            for key, value in content.weights.items()
        }
        (folder / name).mkdir()
        save_checkpoint(folder / name / "best.pt", replace(content, weights=weights))
        shutil.copy(folder / "a/split.npz", folder / name)
    return folder


def average(tmp_path, *words, code=0):
    words = [*map(str, words), "device=cpu", "amp=off", "workers=0", f"run_dir={tmp_path}/out"]
    assert cli.main(["average", *words]) == code
    return tmp_path / "out/best.pt"


def test_the_mean_is_validated_and_kept(runs, tmp_path, capsys):
    path = average(tmp_path, runs / "b", runs / "c")
    said = capsys.readouterr().out
    members = [load_checkpoint(runs / name / "best.pt") for name in "bc"]
    kept = load_checkpoint(path)
    (name, weight) = next((n, w) for n, w in kept.weights.items() if n.endswith("conv1.weight"))
    torch.testing.assert_close(weight, (members[0].weights[name] + members[1].weights[name]) / 2)
    norm = next(n for n in kept.weights if n.endswith("running_mean"))
    plain = (members[0].weights[norm] + members[1].weights[norm]) / 2
    assert not torch.allclose(kept.weights[norm], plain)  # estimated anew
    assert f"{kept.metrics['val_mse']:.3f} px²" in said and kept.training is None
    place = [f"checkpoint={path.parent}", f"run_dir={tmp_path}/e", "report=false"]
    assert cli.main(["evaluate", *place, "device=cpu", "amp=off", "workers=0"]) == 0
    figures = json.loads((tmp_path / "e/metrics.json").read_text())
    assert figures["mse"] == pytest.approx(kept.metrics["val_mse"], rel=1e-4)


def test_greedy_is_never_worse_than_the_best_member(runs, tmp_path):
    path = average(tmp_path, f"runs=[{runs}/a,{runs}/b,{runs}/c]", "ingredients=greedy")
    best = load_checkpoint(runs / "a/best.pt").metrics["val_mse"]
    assert load_checkpoint(path).metrics["val_mse"] <= best + 1e-3


def test_what_cannot_be_averaged_is_one_sentence(runs, run_of, tmp_path, capsys):
    moved = tmp_path / "moved"
    moved.mkdir()
    content = load_checkpoint(runs / "b/best.pt")
    save_checkpoint(moved / "best.pt", content)  # without a split
    content.config["input_size"] = 48
    save_checkpoint(tmp_path / "larger.pt", content)
    for words, code in (
        ([], 2),
        ([runs / "b/best.pt"], 2),
        ([runs / "b", runs / "b"], 2),
        ([runs / "b", tmp_path / "nowhere"], 1),
        ([runs / "b", run_of()], 1),  # another layout
        ([runs / "b", tmp_path / "larger.pt"], 1),
        ([runs / "b", moved], 1),
    ):
        average(tmp_path, *words, code=code)
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out/best.pt").exists()


def test_a_k_fold_is_not_averaged(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("k").mkdir()
    Path("k", KFOLD).write_text('{"folds": 2}')
    assert cli.main(["average", "k"]) == 1
    assert "predict checkpoint=k" in capsys.readouterr().err
