"""Sweeps whose jobs run in other processes: all are told of, with what they came to."""

import sys
from pathlib import Path

import pytest

from landmarks.cli import main as cli

# A share that leaves no face to train on fails as a job, not as a setting.
JOBS = "-m epochs=1 split.share=0.25,0.99 run_dir=all".split()


@pytest.mark.parametrize(
    ("launcher", "plugin"),
    [("on_submitit_local", "hydra_submitit_launcher"), ("on_joblib", "hydra_joblib_launcher")],
)
def test_jobs_of_other_processes_are_told_of(launcher, plugin, train, capsys):
    pytest.importorskip(f"hydra_plugins.{plugin}")
    small = "model.backbone=shufflenet_v2_x0_5"  # another process knows no narrow ResNet
    train(*JOBS, small, f"hydra/launcher={launcher}", code=1)
    good, bad = train.jobs_of("all", "finished", "failed")
    assert (good["split.share"], bad["split.share"]) == ("0.25", "0.99")
    said = capsys.readouterr()
    assert said.err.count("landmarks: job ") == 1
    assert bad["failure"] and bad["failure"] in said.err and "sweep.csv" in said.out
    assert Path("all/0/best.pt").is_file() and not Path("all/1/best.pt").exists()


@pytest.mark.parametrize(
    ("launcher", "plugin", "extra"),
    [
        ("on_ray", "hydra_ray_launcher", "ray"),
        ("on_slurm", "hydra_submitit_launcher", "submitit"),
    ],
)
def test_a_launcher_that_is_not_installed_is_named(launcher, plugin, extra, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["train", "-m", "epochs=1,2", f"hydra/launcher={launcher}"]) == 1
    assert f"'landmarks[{extra}]'" in capsys.readouterr().err
