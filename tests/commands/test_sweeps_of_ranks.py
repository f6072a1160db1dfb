"""Sweeps whose jobs are each done by two processes: one job fails, and the other finishes."""

import csv
from pathlib import Path

import pytest

# A share that leaves no face to train on fails in the processes, not as a setting.
JOBS = "-m gpus=2 epochs=1 split.share=0.25,0.99 run_dir=all report=false".split()
SMALL = "model.backbone=shufflenet_v2_x0_5"  # other processes know no narrow ResNet


@pytest.mark.parametrize("launcher", ["basic", "on_submitit_local"])
def test_each_job_starts_processes_and_their_sentence_is_told(launcher, train, capfd):
    if launcher != "basic":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    train(*JOBS, SMALL, f"hydra/launcher={launcher}", code=1)
    with Path("all/sweep.csv").open() as file:
        good, bad = csv.DictReader(file)
    assert [(row["state"], row["split.share"]) for row in (good, bad)] == [
        ("finished", "0.25"),
        ("failed", "0.99"),
    ]
    said = capfd.readouterr()
    (sentence,) = [line for line in said.err.splitlines() if line.startswith("landmarks: ")]
    assert sentence.startswith("landmarks: job 1 (split.share=0.99): ")
    assert bad["failure"] and bad["failure"] in sentence
    assert Path("all/0/best.pt").is_file() and not Path("all/1/best.pt").exists()
    assert "epoch 1" in Path("all/0/train.log").read_text()
