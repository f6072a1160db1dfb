"""The files of settings as they stand: a choice of a group each, the program's own and a user's."""

from importlib.resources import files
from pathlib import Path

from omegaconf import OmegaConf

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
