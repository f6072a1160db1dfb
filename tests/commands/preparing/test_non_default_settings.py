"""What a run was told, as a person would have typed it."""

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from landmarks.cli.run_with_hydra import register_resolvers
from landmarks.commands.preparing.non_default_settings import list_chosen


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], []),
        (["model=resnet18", "batch_size=8"], ["model resnet18 resnet34", "batch_size 8 32"]),
        (["model.refine=0"], ["model.refine 0 1"]),
        (["augment=none", "loss=wing", "loss.w=5"],
         ["augment none light", "loss wing l1", "loss.w 5 10.0"]),
        (["data=synthetic", "data.train=9"], ["data synthetic thousand", "data.train 9 2000"]),
        (["split.by=random"], ["split.by random blocks"]),
    ],
)  # fmt: skip
def test_chosen_settings_are_those_that_were_typed(words, expected):
    register_resolvers()
    OmegaConf.register_new_resolver("now", lambda p: "now", replace=True)
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        config = OmegaConf.to_container(compose("train", overrides=words), resolve=False)
    for name in ("run_dir", "resume", "experiment"):
        config.pop(name, None)
    assert sorted(map(" ".join, list_chosen(config))) == sorted(expected)
