"""What `landmarks COMMAND --help` says: each setting's meaning, type, default and condition."""

from importlib.resources import files

import pytest

from landmarks.cli import main as cli
from landmarks.cli.command_list import COMMANDS, load_command
from landmarks.cli.help import read_comments, read_page, settings_of_choice
from landmarks.cli.run_with_hydra import register_resolvers
from landmarks.settings import settings_of

COMMON = {
    "train": ["epochs", "max_time", "patience", "batch_size", "input_size"],
    "plan": ["faces", "points", "ranks", "seconds", "price", "json"],
    "predict": ["checkpoint", "input"],
    "evaluate": ["checkpoint", "predictions", "split"],
    "show": ["checkpoint", "predictions", "split"],
    "compare": ["runs"],
    "average": ["runs"],
    "ensemble": ["predictions"],
    "runs": ["folder", "sort"],
    "export": ["checkpoint"],
    "check": ["input_size", "crop"],
    "pack": ["out", "shard_mb"],
    "cache": ["only", "unused_for", "clear"],
}


@pytest.fixture(scope="module")
def pages():
    register_resolvers()
    return {command: read_page(command, kind_of(command)) for command in COMMANDS}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kind_of(command):
    return settings_of(load_command(command))


def run(capsys, *words):
    code = cli.main([*words])
    return code, capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_of_a_command_has_a_meaning_and_a_type(command, pages):
    page = pages[command]
    assert page.heading and page.settings
    for setting in page.settings:
        assert setting.meaning and setting.takes, setting.key
    assert all(group.meaning for group in page.groups)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_choice_says_what_it_is_and_what_its_settings_mean(command, pages):
    for group in pages[command].groups:
        for choice, said in group.choices.items():
            assert said, f"{group.name}={choice}"
            if group.name in ("experiment", "hparams_search"):  # they set what others have
                continue
            for setting in settings_of_choice(kind_of(command), group.name, choice):
                assert setting.meaning and setting.takes, f"{choice}: {setting.key}"


@pytest.mark.parametrize("command", COMMANDS)
def test_common_settings_come_first(command, pages):
    keys = [setting.key for setting in pages[command].settings]
    assert keys[: len(COMMON[command])] == COMMON[command]


def test_groups_are_those_of_the_command_and_choices_what_it_can_take(pages):
    assert [group.name for group in pages["train"].groups][:3] == ["data", "loss", "model"]
    assert [group.name for group in pages["predict"].groups] == ["data"]
    assert not pages["cache"].groups
    choices = {command: set(pages[command].groups[0].choices) for command in ("train", "predict")}
    assert choices["predict"] - choices["train"] == {"checkpoint"}
    assert {"thousand", "coco", "table"} < choices["train"]


def test_a_condition_is_told_where_it_is_not_met(pages):
    needs = {setting.key: setting.needs for setting in pages["train"].settings}
    assert needs["box_margin"] == "crop=box" and not needs["epochs"]
    cached = {
        command: {setting.key: setting.needs for setting in pages[command].groups[0].settings}
        for command in ("train", "check")
    }
    assert not cached["train"]["data.cache"] and "train" in cached["check"]["data.cache"]


def test_what_only_a_developer_of_the_program_sets_is_not_told():
    keys = {
        setting.key for setting in settings_of_choice(kind_of("train"), "model", "unet_resnet18")
    }
    assert "model.sigma" in keys and not keys & {"model.chunk", "model.fuse"}


def test_help_makes_no_run_and_shows_every_setting(here, capsys, pages):
    for command, page in pages.items():
        code, said = run(capsys, command, "--help")
        assert code == 0 and all(f"  {s.key}={s.default}" in said.out for s in page.settings)
    assert not list(here.iterdir())


def test_help_of_a_choice_shows_that_choice_alone(capsys):
    code, said = run(capsys, "train", "--help", "model=unet_resnet18", "input_size=64")
    assert code == 0 and "model.sigma=1.0" in said.out
    assert "epochs=" not in said.out and "resnet50" not in said.out
    code, said = run(capsys, "train", "-h", "model=unet_resnet18", "model.sigma=2")
    assert code == 0 and "model.sigma=2" in said.out
    code, said = run(capsys, "train", "--help", "experiment=quickstart")
    assert code == 0 and "data=synthetic" in said.out and "input_size=64" in said.out


def test_help_of_a_group_lists_its_choices(capsys):
    code, said = run(capsys, "train", "--help", "loss")
    assert code == 0 and "adaptive_wing" in said.out and "epochs=" not in said.out


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("modle", "'model'"),
        ("model=resnet35", "'resnet"),
        ("epoch=3", "'epochs'"),
        ("model=resnet18,resnet34", "model=resnet18,resnet34"),
        ("loss=[", "loss=["),
    ],
)
def test_wrong_words_are_refused_in_one_line(word, named, capsys):
    code, said = run(capsys, "train", "--help", word)
    assert code == 2 and named in said.err
    assert len(said.err.splitlines()) == 1 and "Traceback" not in said.err and not said.out


def test_choices_of_one_s_own_are_told(here, capsys):
    (here / "my/experiment").mkdir(parents=True)
    (here / "my/experiment/mine.yaml").write_text("# @package _global_\n# Quick.\nepochs: 3\n")
    (here / "my/augment").mkdir()
    own = "# Turned.\ndefaults: [none, _self_]\nrotate: 90.0  # quarters of a turn\n"
    (here / "my/augment/turned.yaml").write_text(own)
    words = ["train", "--help", "--config-dir", "my"]
    code, said = run(capsys, *words, "experiment=mine", "augment")
    assert code == 0 and "epochs=3" in said.out and "Quick." in said.out
    assert "turned" in said.out and "Turned." in said.out
    code, said = run(capsys, *words, "augment=turned")
    assert code == 0 and "augment.rotate=90.0" in said.out and "quarters of a turn" in said.out
    assert "augment.flip=0.0" in said.out


def test_hydra_s_own_help_is_still_there(here, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["landmarks"])
    code, said = run(capsys, "train", "--hydra-help")
    assert code == 0 and "hydra" in said.out.lower()


def test_a_file_s_comments():
    text = files("landmarks.configs").joinpath("train.yaml").read_text()
    heading, meanings = read_comments(text)
    assert heading.startswith("landmarks train: ") and "\n  landmarks train " in heading
    assert meanings["split.share"] and meanings["model"] and "split" in meanings
