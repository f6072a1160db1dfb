"""Files of settings are read as Hydra composes them."""

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from landmarks.commands.preparing.config_groups import list_choices, nodes_of, read_choice


@pytest.mark.parametrize(
    ("group", "choice"),
    [(group, choice) for group in ("data", "augment") for choice in list_choices(group)],
)
def test_a_choice_is_read_with_what_it_is_made_from(group, choice):
    command = "predict" if choice == "checkpoint" else "train"
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        node = compose(command, overrides=[f"{group}={choice}"])[group]
    assert read_choice(f"{group}/{choice}") == OmegaConf.to_container(node)


def test_what_a_choice_is_made_from_is_no_choice():
    choices = list_choices("data")
    assert {"checkpoint", "coco", "thousand"} <= {*choices}
    assert not {"reading", "label_reading", "file_reading", "stored_reading"} & {*choices}
    assert all("limit" in node for node in nodes_of("data"))  # a resumed run knows the setting
    assert list_choices("split") == []
