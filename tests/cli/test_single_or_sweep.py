"""Settings are composed once where the command line leaves it open to them to say how often."""

from pathlib import Path

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from landmarks.cli import main as cli
from landmarks.cli.single_or_sweep import leaves_mode

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
