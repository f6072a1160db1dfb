"""Sweeps whose jobs are each done by two processes: one job fails, and the other finishes."""

import csv
from pathlib import Path

# A share that leaves no face to train on fails in the processes, not as a setting.
JOBS = "-m gpus=2 epochs=1 split.share=0.25,0.99 run_dir=all report=false".split()
SMALL = "model.backbone=shufflenet_v2_x0_5"  # other processes know no narrow ResNet


def test_each_job_starts_processes_and_their_sentence_is_told(train, capfd):
    train(*JOBS, SMALL, code=1)
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
    log = Path("all/0/train.log").read_text()
    assert "2 processes" in log and "epoch 1" in log


def test_a_job_of_more_processes_than_cores_allow_fails(train, capfd):
    train("-m", "gpus=1,99", "epochs=1", "run_dir=all", "report=false", code=1)
    with Path("all/sweep.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["finished", "failed"]
    assert "gpus=99" in capfd.readouterr().err
