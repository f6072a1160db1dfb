"""batch_size=auto: what fits, what is worth it, and the rates that go with it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from refusals import refused

from landmarks.cli import main as cli
from landmarks.commands.training_run import auto_batch_size as batch_size
from landmarks.commands.training_run.auto_batch_size import (
    keep_chosen,
    largest_batch,
    settle_batch_size,
)
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.training import out_of_memory
from landmarks.training.memory_estimate import Estimate

GIB = 2**30
# Of 32 faces: 1 GiB of weights, which are there, 2 of state, 1 of gradients and 2 of the faces.
NEEDED = Estimate(32, GIB, 2 * GIB, GIB, 3 * GIB, 1, 1.0)


@pytest.mark.parametrize(
    ("free", "faces", "size"),
    [
        (80, 400_000, 32 * 16),  # 4 + 32 GiB of 64.8; twice as many would take 68
        (80, 10_000, 64),  # more would leave less than 100 steps an epoch
        (8, 400_000, 32),  # 8 GiB of 7.2
        (1, 400_000, 32),  # whether even that fits is asked by another
        (80, 300, 32),
    ],
)
def test_the_largest_batch_that_fits_and_leaves_steps(free, faces, size):
    assert largest_batch(NEEDED, free * GIB, faces) == size


@pytest.mark.parametrize(("optimizer", "factor"), [(torch.optim.AdamW, 2), (torch.optim.SGD, 4)])
def test_rates_grow_with_the_batch(optimizer, factor, monkeypatch):
    monkeypatch.setattr(batch_size, "count_memory", lambda *_: NEEDED)
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 20 * GIB)
    groups = [{"params": [torch.zeros(1)], "lr": rate, "initial_lr": rate} for rate in (0.5, 0.25)]
    training = SimpleNamespace(
        precision=SimpleNamespace(device=torch.device("cuda")), optimizer=optimizer(groups, lr=1.0)
    )
    resized = SimpleNamespace(rows=range(400_000), resized=lambda size: size)
    inputs = SimpleNamespace(training=resized, validation=resized, shapes=(), _replace=dict)
    fields = dict.fromkeys(TrainSettings.__dataclass_fields__)
    settings = TrainSettings(**{**fields, "batch_size": 32, "optimizer": {"lr": 0.5}})
    settings, batches = settle_batch_size(settings, training, inputs)
    assert settings.batch_size == batches["training"] == 128 and batches["validation"] == 256
    assert settings.optimizer["lr"] == 0.5 * factor
    rates = [group["initial_lr"] for group in training.optimizer.param_groups]
    assert rates == [0.5 * factor, 0.25 * factor]


def test_a_model_whose_memory_cannot_be_counted_needs_a_number(monkeypatch):
    def fail(*_):
        raise KeyError("aten")

    monkeypatch.setattr(out_of_memory, "estimate_step", fail)
    with refused("batch_size=auto", "KeyError: 'aten'"):
        out_of_memory.count_memory(None, (), (), batch_size.refuse_uncounted)


def test_a_cpu_takes_the_usual_batch_and_a_resumed_run_its_own(train, capsys):
    train("run_dir=a", "batch_size=auto", "epochs=1")
    assert load_checkpoint(Path("a/last.pt")).config["batch_size"] == 32
    assert cli.main(["train", "resume=a", "epochs=2", "batch_size=auto", "optimizer.lr=1e-3"]) == 0
    again = load_checkpoint(Path("a/last.pt"))
    assert (again.config["batch_size"], again.metrics["epoch"]) == (32, 2)
    begun = Path("a/.hydra/overrides.yaml")
    begun.write_text(begun.read_text().replace("batch_size=auto", "batch_size=32"))
    assert cli.main(["train", "resume=a", "epochs=3", "batch_size=auto"]) == 1
    assert "batch_size=auto" in capsys.readouterr().err


@pytest.mark.parametrize(("optimizer", "factor"), [("adamw", 2), ("sgd", 4)])
def test_what_auto_stood_for_is_kept(optimizer, factor):
    fields = dict.fromkeys(TrainSettings.__dataclass_fields__)
    node = {"_target_": f"landmarks.training.optimizers.{optimizer}", "lr": 0.5}
    settings = TrainSettings(**{**fields, "batch_size": "auto", "optimizer": node})
    kept = keep_chosen(settings, {"batch_size": 128})
    assert kept.batch_size == 128 and kept.optimizer["lr"] == 0.5 * factor
    assert keep_chosen(kept, {"batch_size": 7}) is kept
