"""The command line: what it answers, what it refuses, and how it says so."""

import gc
import os
import subprocess
import sys

import pytest

from landmarks import __version__
from landmarks.cli import main as cli
from landmarks.cli.command_list import COMMANDS, load_command


def run(*words, cwd=None):
    command = [sys.executable, "-m", "landmarks", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    return tmp_path


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(words, capsys):
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in COMMANDS)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("command", ["predict", "mistake"])
def test_garbage_is_collected_again_once_a_command_is_loaded(command, monkeypatch):
    loaded = [name for name in sys.modules if name.startswith("landmarks.commands.")]
    for name in sorted(loaded, key=len, reverse=True):  # what hangs on a package before it
        # Where they hang on their package they come back too, or later tests would patch others.
        package, _, leaf = name.rpartition(".")
        monkeypatch.setattr(sys.modules[package], leaf, sys.modules[name], raising=False)
        monkeypatch.delitem(sys.modules, name)
    try:
        if command == "mistake":
            with pytest.raises(ModuleNotFoundError):
                load_command(command)
        else:
            assert load_command(command).__name__ == command
            frozen = gc.get_freeze_count()
            assert frozen > 0
            load_command(command)  # what has been made since is not kept for ever
            assert gc.get_freeze_count() <= frozen
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_help_imports_neither_torch_nor_hydra():
    code = (
        "import sys; from landmarks.cli.main import main; main(['--help']);"
        "sys.exit(bool({'torch', 'hydra', 'numpy', 'pandas', 'cv2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_unknown_command_is_refused_with_the_nearest(capsys):
    assert cli.main(["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


REFUSED = {
    "model=resnet35": "no model=resnet35. Did you mean 'resnet",
    "optimizer.lrr=3": "Did you mean 'optimizer.lr'?",
    "lr=abc": "no setting 'lr'. Did you mean 'optimizer.lr'?",
    "epoch=3": "Did you mean 'epochs'?",
    "+zzz=3": "There is no setting 'zzz'",
    "optimizer.lr=abc": "optimizer.lr=abc does not fit",
    "optimizer.lr=-1": "a number above 0",
    "epochs=2.5": "epochs takes a whole number",
    "epochs=true": "epochs takes a whole number",
    "batch_size=0": "batch_size takes a whole number of at least 1",
    "max_time=soon": "max_time takes a duration",
    "amp=fp15": "Did you mean 'fp16'?",
    "crop=leterbox": "Did you mean 'letterbox'?",
    "data.on_error=ignore": "data.on_error takes stop or skip",
    "split.file=people.csv": "split.file=people.csv changes nothing: it needs split.by=groups",
    "box_margin=0.5": "changes nothing: it needs crop=box",
    "data=checkpoint": "data=: this choice is not for this command",
    "--epochs=3": "settings are written without dashes, epochs=3",
    "--batch-size=8": "settings are written without dashes, batch_size=8",
    "model.decodr=dark": "There is no setting 'model.decodr'. `landmarks",
    "model.weight=none": "Did you mean 'model.weights'?",
    "model.sigma=2": "It belongs to model=keypoint_rcnn, unet, ",
    "decoder=dark": "model.decoder belongs to model=keypoint_rcnn, unet, ",
    "loss.w=5": "It belongs to loss=wing: leave it out, or choose",
    "input_size=8": "input_size takes a whole number of pixels, at least 16",
    "modle.weights=none": "Did you mean 'model.weights'?",
    "--hlep": "There is no option --hlep. Did you mean '--help'?",
    "loss=l1,wing": "loss=l1,wing: a setting has one value. Add -m",
    "~model": "~model takes a setting away",
    "~optimizer.lr": "~optimizer.lr takes a setting away",
    "name=a=b": "cannot be read as setting=value",
    "init=": "init= has no value",
    "data.root=''": "data.root= has no value",
    "split.share=1.5": "split.share takes a number between 0 and 1",
}


@pytest.mark.parametrize("override", REFUSED)
def test_wrong_settings_are_refused_before_anything_starts(override, here, capsys):
    assert cli.main(["train", override]) == 2
    error = capsys.readouterr().err
    assert REFUSED[override] in error
    assert len(error.strip().splitlines()) == 1 and "Traceback" not in error
    assert not list(here.glob("runs/*"))


def test_files_of_settings_of_one_s_own_that_are_not_there_or_broken(here, capsys):
    (here / "my/experiment").mkdir(parents=True)
    (here / "my/experiment/mine.yaml").write_text("epochs: [1\n")
    own = ["--config-dir", "my", "experiment=mine"]
    wrong = {
        "no/where' not found: name a folder that holds": ["--config-dir", "no/where", "epochs=1"],
        'mine.yaml", line 1': own,
        "Did you mean 'epochs'?": [*own, "epoch=3"],
    }
    for sentence, arguments in wrong.items():
        assert cli.main(["train", *arguments]) == 2
        error = capsys.readouterr().err
        assert sentence in error and len(error.strip().splitlines()) == 1
        if arguments == own:
            (here / "my/experiment/mine.yaml").write_text("# @package _global_\nepochs: 1\n")


def test_a_mistake_is_found_beside_choices_with_settings_of_their_own(here, capsys):
    chosen = ["data=synthetic", "data.train=8", "loss=wing", "loss.w=5", "model=unet_resnet18"]
    assert cli.main(["train", *chosen, "model.stride=2", "epoch=5"]) == 2
    assert "Did you mean 'epochs'?" in capsys.readouterr().err


def test_an_option_with_its_value_behind_it_is_shown_as_a_setting(here, capsys):
    assert cli.main(["train", "model=resnet18", "--epochs", "3"]) == 2
    assert "epochs=3." in capsys.readouterr().err


def test_missing_data_names_both_ways_on(here, capsys):
    assert cli.main(["train"]) == 1
    error = capsys.readouterr().err
    assert "'data'" in error and "data.root=FOLDER" in error
    assert "data=synthetic" in error
    assert not list(here.glob("runs/*"))


def test_a_command_takes_its_own_groups_alone(here, capsys):
    for override in ("loss=wing", "experiment=quickstart"):
        assert cli.main(["predict", override]) == 2
        assert f"'{override.split('=')[0]}'" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file", "file/inside"])
def test_a_run_folder_that_cannot_be_made_is_one_sentence(place, here, capsys):
    (here / "file").touch()
    assert cli.main(["train", f"run_dir={place}"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error


def test_config_is_shown_without_running(here, capsys):
    assert cli.main(["train", "model=resnet18", "--cfg", "job", "--resolve"]) == 0
    out = capsys.readouterr().out
    assert "backbone: resnet18" in out and "name: null" in out
    assert not list(here.iterdir())


def test_predict_without_a_run_says_what_to_do(here, capsys):
    assert cli.main(["predict"]) == 1
    assert "checkpoint=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("landmarks tr", {"train"}),
        (
            "landmarks ",
            {
                "train",
                "predict",
                "evaluate",
                "show",
                "compare",
                "runs",
                "export",
                "check",
                "cache",
                "ensemble",
                "average",
                "pack",
                "plan",
            },
        ),
        ("landmarks train model=resnet", {"model=resnet18", "model=resnet34", "model=resnet50"}),
        ("landmarks train optimizer.l", {"optimizer.lr=", "optimizer.layer_decay="}),
        ("landmarks predict checkp", {"checkpoint="}),
    ],
)
def test_shell_completion(line, expected, here, capsys, monkeypatch):
    monkeypatch.setenv("COMP_LINE", line)
    assert cli.main(["-sc", "query=bash"]) == 0
    assert set(capsys.readouterr().out.split()) == expected


def test_python_m_landmarks(tmp_path):
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, __version__)


def test_a_setting_that_stands_twice_is_said_once_with_both(here, capsys):
    assert cli.main(["cache", "unused_for=30", "unused_for=40"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "unused_for" in line]
    assert len(said) == 1 and "unused_for=40 replaces unused_for=30" in said[0]


def test_a_reader_that_has_gone_ends_it_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "landmarks", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["compare", "average", "ensemble"])
def test_a_command_without_what_it_needs_is_one_sentence(command, here, capsys):
    assert cli.main([command]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not any(path.is_file() for path in here.rglob("*"))
