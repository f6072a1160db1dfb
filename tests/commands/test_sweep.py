"""Sweeps: where their runs go, how failures are told, and what ends them."""

from pathlib import Path

import pytest

from landmarks.cli import main as cli


def test_every_failure_is_explained_and_the_others_run(train, tmp_path, capsys):
    train("-m", "epochs=1", "name=ab", "pictured_region=jaw,auto,eyes", code=1)
    (best,) = (tmp_path / "runs").glob("*-sweep/*/best.pt")
    assert best.parent.name == "1-ab"
    said = capsys.readouterr().err
    for job, region in ((0, "jaw"), (2, "eyes")):
        line = next(line for line in said.splitlines() if f"landmarks: job {job} (" in line)
        assert f"pictured_region={region} is no region" in line


def test_a_stop_ends_the_sweep(train, stop_at_step):
    with stop_at_step(1):
        train("-m", "run_dir=all", "seed=1,2", code=143)
    left = [path.name for path in sorted(Path("all").iterdir())]
    assert left == ["0", "jobs", "multirun.yaml", "sweep.csv"]
    assert ",stopped," in Path("all/sweep.csv").read_text()
    assert Path("all/0/last.pt").is_file()


def test_a_sweep_refuses_to_resume_and_to_overwrite(train, capsys):
    train("-m", "resume=auto", "seed=1,2", code=2)
    assert "resume=auto" in capsys.readouterr().err
    Path("all/0").mkdir(parents=True)
    Path("all/0/last.pt").touch()
    train("-m", "run_dir=all", "seed=1,2", code=2)
    assert "run_dir=all" in capsys.readouterr().err
    assert [path.name for path in Path("all").rglob("*")] == ["0", "last.pt"]


@pytest.mark.parametrize(
    ("words", "job", "held"),
    [
        (["check"], "0-check", "suspects.csv"),
        (["check", "name=a"], "1-a", "suspects.csv"),
        (["check", "name=a,b"], "1-b", "suspects.csv"),
        (["predict"], "0-predict", "predictions.csv"),
        (["train"], "1", "best.pt"),
        (["evaluate"], "0-evaluate", "predictions.csv"),
        (["show"], "0-show", "suspects.csv"),
    ],
)
def test_a_sweep_replaces_no_results_of_an_earlier_one(
    words, job, held, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    folder = Path("all", job)
    folder.mkdir(parents=True)
    (folder / held).write_text("edited")
    assert cli.main([words[0], "-m", "run_dir=all", "seed=1,2", *words[1:]]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"run_dir=all/{job} " in said
    left = [path.relative_to("all") for path in Path("all").rglob("*")]
    assert left == [Path(job), Path(job, held)] and (folder / held).read_text() == "edited"


def test_a_sweep_goes_beside_the_results_of_another_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for job in ("0-evaluate", "1-check-first", "2026-01-01_00-00-00-000000-check"):
        Path("all", job).mkdir(parents=True)
        Path("all", job, "suspects.csv").touch()
    assert cli.main(["check", "-m", "run_dir=all", "seed=1,2", "data.root=nowhere"]) == 1
    assert "holds" not in capsys.readouterr().err


def test_wrong_settings_of_one_job_are_a_wrong_command_line(train):
    train("-m", "optimizer.lr=-1,-2", code=2)
    assert cli.main(["train", "--multirun", "epoch=1,2"]) == 2
