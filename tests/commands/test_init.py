"""`landmarks train init=`: a run that starts from the weights of another."""

import sys
from pathlib import Path

import pytest
import torch

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint, save_checkpoint

TINY = (
    "model=resnet18 input_size=32 batch_size=4 epochs=1 augment=none workers=0 report=false "
    "split.share=0.25 amp=off device=cpu".split()
)


@pytest.fixture
def train(contest, tmp_path, monkeypatch):
    """Run `landmarks train` in a folder of its own; asking for the network fails the test."""
    made = contest(train=8)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    refuse = "landmarks.models.backbone_weights._published"
    monkeypatch.setattr(refuse, lambda name: pytest.fail("looked for ImageNet's weights"))

    def run(*overrides, code=0, root=made.root):
        assert cli.main(["train", f"data.root={root}", *TINY, *overrides]) == code

    return run


def weights_of(path):
    return load_checkpoint(Path(path)).weights


@pytest.mark.parametrize(("form", "ema"), [("old", 0.99), ("old/last.pt", 0)])
def test_a_run_starts_from_the_kept_weights_of_another(form, ema, train, capsys):
    train("run_dir=old", "model.weights=none")
    # So slow that what is kept after the epoch is what training, and its average, started from.
    train("run_dir=new", f"init={form}", "optimizer.lr=1e-12", f"ema={ema}", "seed=3")
    old, new = weights_of("old/best.pt"), weights_of("new/best.pt")
    parameters = [name for name in old if name.endswith((".weight", ".bias"))]
    assert len(parameters) == 52
    for name in [*parameters, "head.start"]:
        torch.testing.assert_close(new[name], old[name], rtol=0, atol=1e-6)
    out = capsys.readouterr().out
    assert "old/" in out and f"resnet18 from {form}" in out
    (said,) = [line for line in out.splitlines() if "model.weights=imagenet" in line]
    assert f"init={form} " in said  # the run, before anything is read of it


def doubts_in(out):
    """Return the lines that speak of the score and of where the weights come from."""
    return [line for line in out.splitlines() if "val_mse" in line and "init=" in line]


def test_validation_faces_that_the_first_weights_have_learnt_are_warned_of(train, capsys):
    train("run_dir=old", "model.weights=none")
    train("run_dir=new", "init=old")
    assert not doubts_in(capsys.readouterr().out)
    train("run_dir=other", "init=old/best.pt", "split.by=random", "seed=1")
    (said,) = doubts_in(capsys.readouterr().out)
    assert "of 2 validation faces" in said and "init=old/best.pt" in said
    Path("old/split.npz").write_bytes(b"PK\3\4")
    train("run_dir=third", "init=old")
    assert "old/split.npz" in capsys.readouterr().out  # nothing else of it is needed


def test_a_run_with_other_points_starts_from_it(train, contest, capsys):
    train("run_dir=old", "model.weights=none")
    other = contest(train=8, num_points=7, folder="other")
    train("run_dir=new", "init=old", root=other.root)
    assert "head.offsets.weight (10, 192), here (14, 192)" in capsys.readouterr().out
    assert load_checkpoint(Path("new/best.pt")).num_points == 7


def test_a_run_that_started_from_another_resumes_without_it(train):
    train("run_dir=old", "model.weights=none")
    train("run_dir=runs/new", "init=old")
    for file in ("best.pt", "last.pt"):
        Path("old", file).unlink()
    assert cli.main(["train", "resume=runs/new", "epochs=2"]) == 0
    content = load_checkpoint(Path("runs/new/last.pt"))
    assert content.training["epoch"] == 2 and content.config["init"] == "old"


def test_one_command_starts_a_run_from_another_and_goes_on_with_it(train):
    train("run_dir=old", "model.weights=none")
    train("init=old", "resume=auto")
    (new,) = Path("runs").iterdir()
    (new / "finished.json").unlink()
    train("init=old", "resume=auto", "epochs=2")
    assert list(Path("runs").iterdir()) == [new]
    assert load_checkpoint(new / "last.pt").training["epoch"] == 2


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["init=nowhere"], "nowhere"),
        (["init=stray.pt"], "stray.pt"),
        (["init=bare.pt"], "bare.pt"),
        (["init=foreign.pt"], "foreign.pt"),
        (["init=foreign.pt", "resume=runs/old"], "resume=runs/old"),
    ],
)
def test_what_cannot_start_a_run_is_one_sentence(
    overrides, named, train, checkpoint_of, tmp_path, capsys
):
    (tmp_path / "stray.pt").write_bytes(b"x")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "bare.pt")
    foreign = checkpoint_of(weights={"x.y": torch.zeros(2)})
    save_checkpoint(tmp_path / "foreign.pt", foreign)
    train(*overrides, code=1)
    error = capsys.readouterr().err
    assert named in error and len(error.strip().splitlines()) == 1
    assert not list(tmp_path.glob("runs/*"))
