"""Which run `resume=` means, and which it leaves alone."""

import json
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from refusals import refused

from landmarks.cli import resume
from landmarks.cli.command_line import read_value
from landmarks.cli.resume import resume_run
from landmarks.cli.run_with_hydra import register_resolvers
from landmarks.runs.checkpoint import save_checkpoint
from landmarks.runs.find_runs import FAILED, FINISHED
from landmarks.runs.quoting import write_word


@pytest.fixture
def begin(checkpoint_of, tmp_path, monkeypatch):
    """Write a run into runs/, newer than those before, as if it had been begun with some words."""
    monkeypatch.chdir(tmp_path)
    register_resolvers()

    def write(name, *words, **marks):
        GlobalHydra.instance().clear()
        with initialize_config_module("landmarks.configs", version_base="1.3"):
            config = OmegaConf.to_container(compose("train", overrides=list(words)))
        run = Path("runs") / name
        (run / ".hydra").mkdir(parents=True)
        settings = {key: config[key] for key in config if key not in ("resume", "run_dir")}
        (run / ".hydra/config.yaml").write_text(yaml.safe_dump(settings))
        (run / ".hydra/overrides.yaml").write_text(yaml.safe_dump(list(words)))
        save_checkpoint(run / "last.pt", checkpoint_of(settings))
        for mark, content in marks.items():
            (run / {"finished": FINISHED, "failed": FAILED}[mark]).write_text(content)
        return run

    return write


def taken(*words):
    """Return the run that is gone on with, None where a new one is begun."""
    resumed = resume_run(list(words))
    if resumed is None:
        return None
    place = next(word for word in resumed.arguments if word.startswith("run_dir="))
    return Path(read_value([place], "run_dir")).relative_to(Path.cwd())


def test_auto_takes_the_newest_unfinished_run(begin):
    first, second = begin("a"), begin("b")
    assert taken("resume=auto") == second
    (second / FINISHED).write_text(json.dumps({}))
    assert taken("resume=auto") == first


def test_auto_speaks_of_settings_where_some_are_given(begin, caplog):
    run = begin("a", "seed=5")

    def said(*words):
        caplog.clear()
        assert taken("resume=auto", *words) is None
        return [record.getMessage() for record in caplog.records]

    passed, begun = said("seed=6")
    assert "runs/a" in passed and "seed=5, not 6" in passed and "runs/a" not in begun
    (run / FINISHED).write_text(json.dumps({}))
    (plain,), (about,) = said(), said("seed=5")
    assert "runs/a" in plain and "runs/a" in about and plain != about


def test_auto_takes_a_run_that_has_the_settings_beside_it_alone(begin, caplog):
    other, fits = begin("a", "optimizer.lr=0.5", "model=resnet18"), begin("b", "model=resnet18")
    begin("c")
    words = ["resume=auto", "model=resnet18"]
    assert taken(*words) == fits
    assert taken(*words, "optimizer.lr=0.5") == other
    assert taken(*words, "optimizer.lr=0.25") is None
    assert "lr=0.5, not 0.25" in caplog.text and "resume=runs/a" in caplog.text
    assert taken(*words, "optimizer.momentum=0.5") is None


@pytest.mark.parametrize(
    "word", ["epochs=99", "max_time=3h", "patience=4", "device=cpu", "workers=3"]
)
def test_auto_goes_on_for_longer_and_elsewhere(word, begin):
    run = begin("a", "model=resnet18")
    assert taken("resume=auto", "model=resnet18", word) == run


def test_auto_with_init_takes_a_run_from_that_start_alone(begin):
    begin("b", "init=other")
    begin("c")
    assert taken("resume=auto", "init=old") is None
    run = begin("a", "init=old")
    assert taken("resume=auto", "init=old") == run
    with refused("init=", "resume="):
        resume_run([f"resume={run}", "init=old"])


def test_auto_with_run_dir_means_that_folder(begin):
    begin("b")
    assert taken("resume=auto", "run_dir=runs/new") is None
    run = begin("a", "epochs=3", finished="{}")
    assert taken("resume=auto", "run_dir=runs/a") == run  # and says that it was finished
    with refused("seed=0, not 2"):
        resume_run(["resume=auto", "run_dir=runs/a", "seed=2"])
    (run / FAILED).write_text("the disk was full\n")
    with refused("the disk was full"):
        resume_run(["resume=auto", "run_dir=runs/a"])


def test_auto_leaves_a_run_that_another_process_trains(begin, monkeypatch, caplog):
    first, second = begin("a"), begin("b")
    monkeypatch.setattr(resume, "is_held", lambda run: run.name == "b")
    assert taken("resume=auto") == first
    (record,) = caplog.records
    assert f"resume={second}" in record.getMessage()


def test_auto_passes_over_what_failed_and_says_so(begin, caplog):
    run = begin("a", failed="UserError: The loss is not finite.\n")
    assert taken("resume=auto") is None
    assert f"resume={run}" in caplog.text and "The loss is not finite" in caplog.text
    assert taken(f"resume={run}") == run


def test_auto_after_a_finished_run_says_that_another_begins(begin, caplog):
    begin("a", "seed=1", finished="{}")
    assert taken("resume=auto", "seed=1") is None
    (record,) = caplog.records
    assert "resume=runs/a" in record.getMessage() and "epochs=" in record.getMessage()


def test_auto_passes_over_what_cannot_be_read(begin, caplog):
    run = begin("a")
    broken = begin("b")
    (broken / "last.pt").write_bytes(b"x")
    assert taken("resume=auto") == run and str(broken / "last.pt") in caplog.text


@pytest.mark.parametrize("name", ["a=b", "a b", "it's", "(1)", "[1]", "b\\s", "t\\", "$x", 'q"'])
def test_a_folder_of_any_name_resumes(name, begin):
    run = begin(name)
    resumed = resume_run([write_word("resume", str(run))])
    assert resume.read_value(resumed.arguments, "run_dir") == str(run.resolve())
    assert resume.read_value(resumed.arguments, "resume") == str((run / "last.pt").resolve())


def test_another_folder_beside_a_run_is_refused(begin):
    begin("a")
    with refused("run_dir="):
        resume_run(["resume=runs/a", "run_dir=runs/b"])


def test_changed_settings_are_listed_and_hydra_s_own_words_are_the_line_s(begin):
    begin("a", "hydra.verbose=true", "model=resnet18")
    resumed = resume_run(["--config-dir", "my", "resume=runs/a", "ema=0", "hydra.verbose=false"])
    assert resumed.changed == {"ema": (0.99, 0)}
    assert resumed.arguments[:3] == ["--config-dir", "my", "hydra.verbose=false"]
    assert "hydra.verbose=true" not in resumed.arguments
