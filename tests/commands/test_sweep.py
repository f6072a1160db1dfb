"""Sweeps: where their runs go, how failures are told, and what ends them."""

from pathlib import Path

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


def test_wrong_settings_of_one_job_are_a_wrong_command_line(train):
    train("-m", "optimizer.lr=-1,-2", code=2)
    assert cli.main(["train", "--multirun", "epoch=1,2"]) == 2
