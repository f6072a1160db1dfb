"""Jobs of a sweep: each has its turn, failures are collected, a signal ends them all."""

import multiprocessing
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from landmarks.cli import main as cli
from landmarks.cli.sweep_jobs import Jobs, leaves_mode
from landmarks.errors import UserError
from landmarks.interrupt import Interrupted


class Model:
    pass


def failing(kind):
    """A job that fails with a model in its hands, which knows itself."""

    def job():
        model = Model()
        model.itself, job.model = model, weakref.ref(model)
        raise kind("no data")

    return job


def test_a_job_alone_ends_with_its_code():
    jobs = Jobs()
    jobs.run(lambda: 3, None)
    assert jobs.code == 3 and not jobs.failures


def test_a_wrong_job_alone_is_said_and_a_fault_passes():
    jobs = Jobs()
    jobs.run(failing(UserError), None)
    assert (jobs.code, jobs.failures) == (1, ["no data"])
    with pytest.raises(ZeroDivisionError):
        jobs.run(failing(ZeroDivisionError), None)


@pytest.mark.parametrize("kind", [UserError, ZeroDivisionError])
def test_a_failed_job_of_a_sweep_is_noted_and_its_model_let_go(kind, capsys):
    jobs, job = Jobs(), failing(kind)
    with pytest.raises(UserError, match="no data") as kept:  # as Hydra keeps it to the end
        jobs.run(job, "0 (seed=1)")
    assert job.model() is None and kept.value is not None
    (failure,) = jobs.failures
    assert failure.startswith("job 0 (seed=1): ") and failure.endswith("no data")
    assert ("Traceback" in capsys.readouterr().err) == (kind is ZeroDivisionError)


def test_a_signal_ends_a_sweep():
    jobs = Jobs()
    with pytest.raises(Interrupted) as ended:
        jobs.run(lambda: 143, "0 ()")
    assert ended.value.exit_code == 143
    jobs.run(lambda: 143, None)  # alone it has ended already


def test_the_compiler_forgets_between_jobs(monkeypatch):
    resets = []
    compiler = SimpleNamespace(reset=lambda: resets.append(1))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(compiler=compiler))
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    Jobs().run(lambda: 0, "0 ()")
    assert not resets  # nothing was compiled
    monkeypatch.setitem(sys.modules, "torch._dynamo", SimpleNamespace())
    Jobs().run(lambda: 0, "1 ()")
    assert resets == [1]


def test_processes_of_a_job_begin_whatever_the_launcher_has_named():
    """joblib's processes are begun in a way of its own, which their children do not know."""
    pytest.importorskip("joblib.externals.loky.backend")
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("loky", force=True)
    found = []

    def start():
        child = multiprocessing.get_context("spawn").Process(target=print)
        child.start()
        child.join(60)
        found.append(child.exitcode)
        return 0

    try:
        Jobs().run(start, "0 (seed=1)")
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert found == [0]


CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    ("words", "leaves"),
    [
        ("epochs=1 +data.limit=3 ~logger experiment=quickstart", True),
        ("-m epochs=1,2", True),
        ("hydra.mode=MULTIRUN epochs=1,2", False),
        ("++hydra.mode=MULTIRUN", False),
        ("hydra.searchpath=[file://my] experiment=mine", False),
        ("--config-dir my experiment=mine", False),
    ],
)
def test_the_mode_is_left_where_no_word_or_file_of_one_s_own_can_set_it(words, leaves):
    assert leaves_mode(words.split()) == leaves


def test_no_file_of_ours_sets_the_mode():
    for path in CONFIGS.rglob("*.yaml"):
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        assert "hydra.mode" not in settings and "mode" not in (settings.get("hydra") or {}), path


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("", 1),
        ("hydra.mode=RUN", 2),
        ("-m only=a,b", 5),  # the sweep's, and twice each job's
        ("--config-dir my +experiment=mine only=a,b", 6),  # a file of one's own asks for a sweep
    ],
)
def test_settings_are_composed_once(words, count, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["landmarks"])
    (tmp_path / "my/experiment").mkdir(parents=True)
    recipe = "# @package _global_\nhydra:\n  mode: MULTIRUN\n"
    (tmp_path / "my/experiment/mine.yaml").write_text(recipe)
    original, composed = ConfigLoaderImpl.load_configuration, []

    def compose(*given, **named):
        composed.append(named)
        return original(*given, **named)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", compose)
    assert cli.main(["cache", *words.split()]) == 0
    assert len(composed) == count


def test_a_lone_job_ends_with_the_reader_of_its_output():
    jobs = Jobs()
    jobs.run(failing(BrokenPipeError), None)
    assert jobs.code == 141 and not jobs.failures
    with pytest.raises(OSError):
        jobs.run(failing(OSError), None)
