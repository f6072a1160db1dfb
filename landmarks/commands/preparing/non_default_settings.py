"""In which settings a run differs from the defaults: what a person would have typed."""

from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from landmarks.commands.preparing.config_groups import list_choices, read_choice
from landmarks.runs.config_targets import rename_targets

PLACES = (
    "run_dir",
    "resume",
    "name",
    "hydra",
    "experiment",
    "logger",
    "report",
    "threads",
)  # say nothing of the model


def list_chosen(config: dict) -> list[tuple[str, str, str]]:
    """Return (name, value, default) of a run's settings that differ from those of train.yaml.

    A group is named by the choice of configs/ that it is most like, and by what differs from that.

    Args:
        config: as a checkpoint keeps it.
    """
    defaults, groups = _read_defaults()
    config, found = rename_targets(config), []
    for key, value in config.items():
        if key in PLACES:
            continue
        if key in groups and isinstance(value, dict):
            choice, own = _nearest_choice(key, value, groups[key])
            if choice != groups[key]:
                found.append((key, choice, groups[key]))
            found += _differing(own, value, f"{key}.")
        elif isinstance(value, dict):
            found += _differing(defaults.get(key) or {}, value, f"{key}.")
        elif key in defaults and defaults[key] != value:
            found.append((key, _say(value), _say(defaults[key])))
    return found


@cache
def _read_defaults() -> tuple[dict, dict[str, str]]:
    """Return train.yaml's own settings, and the choice of each of its groups."""
    text = files("landmarks.configs").joinpath("train.yaml").read_text(encoding="utf-8")
    whole = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    named = [item for item in whole.pop("defaults") if isinstance(item, dict)]
    groups = {name: choice for item in named for name, choice in item.items() if " " not in name}
    return whole, {name: choice for name, choice in groups.items() if choice is not None}


@cache
def _read_choices(group: str) -> dict[str, dict]:
    return {choice: read_choice(f"{group}/{choice}") for choice in list_choices(group)}


def _nearest_choice(group: str, node: dict, default: str) -> tuple[str, dict]:
    best: tuple[Any, str, dict] | None = None
    for choice, own in _read_choices(group).items():
        if own.get("_target_") != node.get("_target_"):
            continue
        count = len(_differing(own, node, ""))
        rank = (count, choice != default)
        if best is None or rank < best[0]:
            best = rank, choice, own
    return (best[1], best[2]) if best else (str(node.get("_target_", "")), node)


def _differing(own: dict, value: dict, before: str) -> list[tuple[str, str, str]]:
    return [
        (f"{before}{key}", _say(value[key]), _say(own[key]))
        for key in value
        if not key.startswith("_") and key in own and own[key] != value[key]
    ]


def _say(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
