"""Groups of settings: the choices there are, as files, and the objects that they describe."""

import functools
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import OmegaConf

from landmarks.data.reading.find_format import refuse_image
from landmarks.errors import UserError
from landmarks.runs.config_targets import nodes_in

CONFIGS = "landmarks.configs"


def list_choices(group: str) -> list[str]:
    """Return the names of a group's choices; none for a group that has no files."""
    folder = files(CONFIGS).joinpath(group)
    found = folder.iterdir() if folder.is_dir() else []
    return sorted(file.name.removesuffix(".yaml") for file in found if file.name.endswith(".yaml"))


def read_text(name: str, folders: tuple[str, ...] = ()) -> str:
    """Return the text of a file such as "data/wflw"; "" where there is none.

    Args:
        folders: of a user's own files, which count where the program has none of that name.
    """
    places = [place.joinpath(f"{name}.yaml") for place in (files(CONFIGS), *map(Path, folders))]
    return next((file.read_text(encoding="utf-8") for file in places if file.is_file()), "")


def read_choice(name: str, folders: tuple[str, ...] = ()) -> dict:
    """Return the settings of a file, those that it is made from included; see `read_text`."""
    own = OmegaConf.to_container(OmegaConf.create(read_text(name, folders)), resolve=False)
    defaults, merged = own.pop("defaults", []), {}
    for base in bases_of(name, defaults):
        merged |= read_choice(base, folders)
    return own | merged | own if defaults[:1] == ["_self_"] else merged | own


def bases_of(name: str, defaults: list) -> list[str]:
    """Return the files that a file's list of defaults makes it from, by name as in `read_choice`.

    They are of its own group, or "/NAME@_here_" of none.
    """
    group = name.rpartition("/")[0]
    return [
        base.removeprefix("/").removesuffix("@_here_") if base[0] == "/" else f"{group}/{base}"
        for base in defaults
        if isinstance(base, str) and base != "_self_"
    ]


def build(node: dict, *positional, **known: Any) -> Any:
    """Call (or, with `_partial_`, prepare to call) a node's `_target_` with its arguments.

    Args:
        node: `_target_`, `_partial_` and arguments, already checked.
        positional, known: arguments that are known only now.
    """
    target = get_object(node["_target_"])
    if isinstance(node.get("root"), str):
        refuse_image(Path(node["root"]))
    arguments = {key: value for key, value in node.items() if not key.startswith("_")}
    if node.get("_partial_"):
        return functools.partial(target, *positional, **arguments, **known)
    return target(*positional, **arguments, **known)


def build_test(data: dict, otherwise: Callable[[str], None]) -> Any:
    """Return the test part of data; None where there is none, once `otherwise` is told why."""
    try:
        return build(data, part="test")
    except UserError as error:
        otherwise(str(error))
        return None


@functools.cache
def nodes_of(group: str) -> list[dict]:
    """Return what this program's own files choose for a group of settings, as they stand there."""
    nodes = [read_choice(f"{group}/{choice}") for choice in list_choices(group)]
    if not nodes:  # a group of one choice stands in the command's own file
        whole = files("landmarks.configs").joinpath("train.yaml").read_text()
        nodes = [OmegaConf.to_container(OmegaConf.create(whole), resolve=False).get(group)]
    return [node for choice in nodes for node in nodes_in(choice)]
