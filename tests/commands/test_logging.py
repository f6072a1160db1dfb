"""Trainings that several loggers are told of."""

import csv
import json
from pathlib import Path

import pytest

ALL = "logger=[csv,tensorboard,mlflow,wandb]"


def test_all_loggers_hear_of_a_run_and_of_its_going_on(train, stop_at_step):
    mlflow, _ = pytest.importorskip("mlflow"), pytest.importorskip("wandb")
    with stop_at_step(4):
        train("run_dir=a", ALL, "epochs=2", code=143)
    kept = json.loads(Path("a/mlflow.json").read_text())
    client = mlflow.MlflowClient(tracking_uri=Path("runs/mlflow").resolve().as_uri())
    assert client.get_run(kept["run"]).info.status == "KILLED"
    train("resume=a")
    with Path("a/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    run = client.get_run(kept["run"])
    assert run.info.status == "FINISHED" and run.info.run_name == "a"
    assert run.data.params["epochs"] == "2" and "model.backbone" in run.data.params
    for key in ("val_mse", "lr"):
        history = {m.step: m.value for m in client.get_metric_history(kept["run"], key)}
        assert history == {int(row["step"]): pytest.approx(float(row[key])) for row in rows}
    pictures = list(Path("runs/mlflow").rglob("faces*.png"))
    assert len(pictures) == 2
    offline = list(Path("a/wandb").glob("offline-run-*"))
    (number,) = {path.name.rpartition("-")[2] for path in offline}  # of both sessions
    assert number == Path("a/wandb/run_id").read_text()
    whole = b"".join(path.read_bytes() for path in Path("a/wandb").rglob("*.wandb"))
    assert b"val_mse" in whole and b"backbone" in whole
    assert list(Path("a/wandb").rglob("faces*.png"))
    events = b"".join(path.read_bytes() for path in Path("a").glob("events.out.*"))
    assert b"val_mse" in events


def test_a_server_that_is_away_costs_one_warning(train, monkeypatch, capsys):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    train("run_dir=a", "epochs=1", "logger=mlflow", "logger.mlflow.uri=http://localhost:9")
    said = Path("a/train.log").read_text()
    assert said.count("logger=mlflow failed") == 1
    assert Path("a/metrics.csv").is_file() and Path("a/finished.json").is_file()
