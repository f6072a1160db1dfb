"""The files of settings that come with the program, as they stand: a choice of a group each."""

from functools import cache
from importlib.resources import files

from omegaconf import OmegaConf


def list_choices(group: str) -> list[str]:
    """Return the names of a group's choices; none for a group that has no files."""
    folder = files("landmarks.configs").joinpath(group)
    found = folder.iterdir() if folder.is_dir() else []
    return sorted(file.name.removesuffix(".yaml") for file in found if file.name.endswith(".yaml"))


@cache
def read_choice(name: str) -> dict:
    """Return the settings of a file such as "data/wflw", those that it is made from included."""
    text = files("landmarks.configs").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    settings = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    for base in bases_of(name, settings.pop("defaults", [])):
        settings = {**read_choice(base), **settings}
    return settings


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
