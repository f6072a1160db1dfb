"""Every choice composes, binds to the function it configures, and is of the type that takes."""

import importlib
import inspect
from importlib.resources import files

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import get_object
from omegaconf import OmegaConf

from landmarks.cli.command_list import COMMANDS
from landmarks.cli.overrides import check_config
from landmarks.cli.run_with_hydra import register_resolvers
from landmarks.runs.config_targets import nodes_in
from landmarks.settings import settings_of

GROUPS = {
    folder.name: sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.suffix)
    for folder in files("landmarks.configs").iterdir()
    if folder.is_dir() and folder.name not in ("__pycache__", "hydra")
}
CHOICES = [(group, choice) for group in GROUPS for choice in GROUPS[group]]


@pytest.fixture(autouse=True)
def resolver():
    register_resolvers()
    OmegaConf.register_new_resolver("now", lambda p: "now", replace=True)


def composed(command, *overrides):
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        return compose(command, overrides=list(overrides))


def run_function(command):
    return getattr(importlib.import_module(f"landmarks.commands.{command}"), command)


@pytest.mark.parametrize("command", COMMANDS)
def test_primary_config_is_its_commands_arguments(command):
    kind = settings_of(run_function(command))
    settings = check_config(kind, composed(command))
    assert vars(kind(**settings)) == settings


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_binds(group, choice):
    if (group, choice) == ("data", "checkpoint"):
        assert composed("predict").data.root is None  # predict's own; it has no reader
        return
    command = "plan" if group == "machine" else "train"
    kind = settings_of(run_function(command))
    settings = check_config(kind, composed(command, f"{group}={choice}"))
    for name in GROUPS:
        check_binding(settings.get(name))


def check_binding(choice):
    for node in nodes_in(choice):
        signature = inspect.signature(get_object(node["_target_"]))
        given = {key: value for key, value in node.items() if not key.startswith("_")}
        bound = signature.bind_partial(**given)
        # What a YAML leaves out is known at run time only, or for who develops the program.
        hidden = set(signature.parameters) - set(bound.arguments)
        assert hidden <= set(
            "part model prediction target progress faces seed run_dir num_points size input_size "
            "elementwise mean_points permutation chunk fuse".split()
        ), hidden


def test_groups_are_the_ones_documented():
    expected = {
        "data",
        "model",
        "augment",
        "loss",
        "optimizer",
        "scheduler",
        "experiment",
        "hparams_search",
        "layout",
        "logger",
        "machine",
    }
    assert set(GROUPS) == expected


@pytest.mark.parametrize("group", ["data", "model", "loss", "optimizer", "scheduler"])
def test_choices_are_small_and_say_what_they_are(group):
    for choice in GROUPS[group]:
        lines = files("landmarks.configs").joinpath(group, f"{choice}.yaml").read_text()
        assert len(lines.splitlines()) <= 16


@pytest.mark.parametrize("choice", GROUPS["experiment"])
def test_experiments_name_their_command(choice):
    text = files("landmarks.configs").joinpath("experiment", f"{choice}.yaml").read_text()
    assert f"landmarks train experiment={choice}" in text.splitlines()[2]


@pytest.mark.parametrize("choice", GROUPS["data"])
def test_a_reader_turns_photos_alike_from_a_file_of_settings_and_from_data_several(choice):
    """Sets of `data=several`, and folders that are found, have the reader's own defaults."""
    node = composed("check", f"data={choice}").data if choice != "checkpoint" else {}
    if "exif" not in node:
        return
    taken = inspect.signature(get_object(node["_target_"])).parameters["exif"].default
    assert taken == node["exif"]
