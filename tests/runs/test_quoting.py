"""Texts and the words of a command line that mean them."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from refusals import refused

from landmarks.cli import main as cli
from landmarks.cli.command_line import mend_words, read_value, refuse_place
from landmarks.runs.quoting import at_home, change_texts, say_setting, write_word

TEXTS = [
    "a b",
    'say "x"',
    "a\\",
    'a\\"b',
    "C:\\data\\x",
    "\\${x}",
    "a${x}\\",
    "x\\\\",
    "",
    "d/x y/'z' \"w\"",
    *"runs/a a=b [1] d/été it's $x ${x} {n} ~ a,b 100% -x (1) #".split(),
    *"2024_06 1e5 1.10 null True NaN inf a:b".split(),
]


def value_of(word):
    """Return what Hydra and OmegaConf make of a word."""
    (override,) = OverridesParser.create().parse_overrides([word])
    assert not override.is_sweep_override()
    config = OmegaConf.create({"key": override.value(), "x": "another setting"})
    return OmegaConf.to_container(config, resolve=True)["key"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_said_can_be_typed(text):
    """Into a shell, and means the text and nothing else."""
    (word,) = shlex.split(say_setting("key", text))
    assert value_of(word) == (f"./{text}" if text == "~" else text)
    assert mend_words([word]) == [word]


@pytest.mark.parametrize("text", [text for text in TEXTS if "${" not in text])
def test_a_written_word_is_read_back(text):
    assert read_value([write_word("key", text)], "key") == text


MEANT = {
    "2024_06": "2024_06",
    "100_000": "100_000",
    "x/2024_06": "x/2024_06",
    "[2024_06,b]": ["2024_06", "b"],
    "~/x": "/home/me/x",
    "'~/x'": "/home/me/x",
    "~": "/home/me",
    "~/a b/c": "/home/me/a b/c",
    "d/é=b": "d/é=b",
    "été": "été",
    "d/it's/x": "d/it's/x",
    "'d/it's/x'": "d/it's/x",
    "'C:\\data\\'": "C:\\data\\",
    "C:\\da ta\\(x)": "C:\\da ta\\(x)",
    "d/[1]/{n}": "d/[1]/{n}",
    "d=/${x}": "d=/${x}",
    "d/${x}": "d/another setting",
    "1e-3": 0.001,
    "007": "007",
    "null": None,
    "[1,2]": [1, 2],
}


@pytest.mark.parametrize("typed", MEANT)
def test_words_set_what_they_were_meant_to(typed, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (word,) = mend_words([f"key={typed}"])
    assert value_of(word) == MEANT[typed]


@pytest.mark.parametrize(
    "word", ["name=a=b", "name=[a/b", "--config-dir=~/x", "-m", "data.root=~/x,~/y", "a='b", "~a"]
)
def test_mistakes_and_options_stay_as_they_are(word):
    assert mend_words([word]) == [word]


def test_a_sweep_of_names_stays_one():
    (word,) = mend_words(["name=2024_06,2024_07"])
    (override,) = OverridesParser.create().parse_overrides([word])
    assert list(override.sweep_string_iterator()) == ['"2024_06"', '"2024_07"']


def test_the_home_folder_stands_in_any_setting(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    settings = {"a": {"b": ["~/x", 3, None]}, "c": "~", "d": "x~/y", "e": "~nobody-here/x"}
    assert change_texts(settings, at_home) == {
        **settings,
        "a": {"b": ["/home/me/x", 3, None]},
        "c": "/home/me",
    }


def test_a_run_is_not_kept_where_hydra_cannot_name_its_folder(tmp_path, monkeypatch):
    refuse_place(["run_dir=d/$x", "data.root=\\${x}"])
    with refused("${x}"):
        refuse_place(["run_dir='d/\\${x}'"])
    (tmp_path / "${x}").mkdir()
    monkeypatch.chdir(tmp_path / "${x}")
    with refused("${x}"):
        refuse_place([])


@pytest.mark.parametrize("command", ["train", "predict", "check"])
def test_every_command_names_an_interpolation_that_leads_nowhere(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["landmarks"])
    assert cli.main([command, "name='d/${x}'"]) == 2
    error = capsys.readouterr().err
    assert "'x' not found" in error and len(error.strip().splitlines()) == 1
    assert not list(tmp_path.glob("runs/*"))
