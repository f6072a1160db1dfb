"""The commands on a GPU."""

import gc
import sys

import numpy as np
import pytest
import torch

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint

TINY = (
    "input_size=32 batch_size=4 epochs=2 workers=0 report=false split.share=0.25 device=cuda "
    "run_dir=run".split()
)


@pytest.mark.parametrize("amp", ["bf16", "fp16", "off"])
@pytest.mark.parametrize("model", ["resnet18", "unet_resnet18"])
def test_a_run_from_photos_to_points(amp, model, contest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    made = contest(train=12, test=5)
    settings = [f"data.root={made.root}", f"model={model}", "model.weights=none", f"amp={amp}"]
    assert cli.main(["train", *settings, *TINY]) == 0
    history = load_checkpoint(tmp_path / "run/last.pt").training["history"]
    assert len(history) == 2 and np.isfinite(history[-1]["val_mse"])
    images = f"input={made.root / 'test/images'}"
    at = ["predict", "checkpoint=run", images, "npz=true", "amp=off"]
    points = {}
    for device in ("cuda", "cpu"):
        assert cli.main([*at, f"device={device}", f"run_dir={device}"]) == 0
        with np.load(tmp_path / device / "predictions.npz") as stored:
            points[device] = stored["points"]
    assert np.median(np.abs(points["cuda"] - points["cpu"])) < 0.1


@pytest.mark.parametrize("graph", ["true", "false"])
def test_memory_that_runs_out_ends_in_advice(graph, contest, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    made = contest(train=12)
    gc.collect()  # what earlier tests hold in cycles would be counted
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + 300e6
    share = room / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        settings = [*TINY, "model=unet", "input_size=256", "batch_size=8", f"graph={graph}"]
        assert cli.main(["train", f"data.root={made.root}", *settings]) != 0
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    said = capsys.readouterr()
    assert "batch_size=4 accumulate=2" in said.out + said.err


@pytest.mark.parametrize("cache", ["device", "auto"])
def test_a_run_from_the_gpu_is_the_run_from_memory(cache, contest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    made = contest(train=16)
    first = []
    for name in ("ram", cache):
        settings = [f"data.root={made.root}", "model=resnet18", "model.weights=none", "amp=off"]
        settings += [*TINY, f"data.cache={name}", f"run_dir={name}"]
        assert cli.main(["train", *settings]) == 0
        history = load_checkpoint(tmp_path / name / "last.pt").training["history"]
        first.append(history[0]["train_loss"])
    assert first[1] == pytest.approx(first[0], rel=1e-3)
