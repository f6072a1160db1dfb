"""`landmarks COMMAND --help`: every setting with its meaning, its default and what it takes.

The meaning stands in the comments of configs/, the default beside it, type and range in the
signature that receives the setting. docs/settings.md is made of the same.
"""

import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from importlib import resources

import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from landmarks.settings import describe_parameters, settings_of

CONFIGS = "landmarks.configs"
COLUMN = 26  # where meanings begin on a screen


@dataclass(frozen=True)
class Setting:
    """One setting: its key on the command line, and what a user needs to know of it."""

    key: str
    default: str
    meaning: str
    takes: str


@dataclass(frozen=True)
class Group:
    """One group of settings: its choices, and the settings of the one that is chosen."""

    name: str
    choice: str
    meaning: str
    choices: dict[str, str]
    settings: list[Setting]


@dataclass(frozen=True)
class Page:
    """All that one command can be told."""

    command: str
    heading: str
    settings: list[Setting]
    groups: list[Group]


def read_page(command: str, function: Callable, overrides: Sequence[str] = ()) -> Page:
    """Compose a command's config and say what every setting in it means.

    Args:
        function: of the command; the dataclass that it takes says what the settings take.
        overrides: of the command line: another choice of a group has other settings.

    Raises:
        hydra.errors.HydraException: if the overrides cannot be composed.
    """
    GlobalHydra.instance().clear()
    with initialize_config_module(CONFIGS, version_base="1.3"):
        config = compose(command, overrides=list(overrides), return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        chosen = {
            name: choice
            for name, choice in config.hydra.runtime.choices.items()
            if "hydra" not in name and "@" not in name
        }
        options = {name: loader.get_group_options(name) for name in chosen}
    heading, meanings = _read_comments(_read(f"{command}.yaml"))
    groups = [
        _read_group(name, choice, config, meanings.get(name, ""), options[name])
        for name, choice in chosen.items()
    ]
    settings = _settings(config, meanings, settings_of(function), skip={"hydra", *chosen})
    return Page(command, heading, list(settings), groups)


def as_text(page: Page, only: Set[str] = frozenset()) -> str:
    """Return a page for a screen; of the groups named in `only`, if any, and nothing else."""
    width = max(60, min(110, shutil.get_terminal_size().columns))
    parts = []
    for group in page.groups:
        if only and group.name not in only:
            continue
        lines = [f"{group.name}={group.choice}: {group.meaning}", ""]
        lines += _columns([(f"  {name}", said) for name, said in group.choices.items()], width)
        if group.settings:
            lines += ["", f"  Settings of {group.name}={group.choice}:", ""]
            lines += _columns([_row(setting) for setting in group.settings], width)
        parts.append("\n".join(lines))
    if only:
        return "\n\n".join(parts)
    rows = _columns([_row(setting) for setting in page.settings], width)
    groups = (
        f"Groups (group=choice); `landmarks {page.command} --help GROUP=CHOICE` shows a choice:"
    )
    return "\n\n".join([page.heading, "Settings:\n\n" + "\n".join(rows), groups, *parts])


def as_markdown(page: Page) -> str:
    """Return a page for docs/settings.md: a table of settings, then one a group."""
    lines = [f"## landmarks {page.command}", "", *_table(page.settings)]
    for group in page.groups:
        lines += ["", f"### {page.command}: {group.name}", "", group.meaning, ""]
        lines += ["| choice | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {_cell(said)} |" for name, said in group.choices.items()]
        if group.settings:
            lines += ["", f"Settings of `{group.name}={group.choice}`:", ""]
            lines += _table(group.settings)
    return "\n".join(lines) + "\n"


def _read_group(
    name: str, choice: str | None, config: DictConfig, meaning: str, options: list[str]
) -> Group:
    choices = {option: _describe_choice(name, option) for option in options}
    node = OmegaConf.select(config, name)
    if choice is None or not isinstance(node, DictConfig):
        return Group(name, str(choice or "null"), meaning, choices, [])
    target = get_object(node["_target_"]) if "_target_" in node else None
    meanings = _meanings_of_choice(name, choice)
    return Group(
        name, choice, meaning, choices, list(_settings(node, meanings, target, f"{name}."))
    )


def _describe_choice(group: str, choice: str) -> str:
    """Return the first line of comment of a choice's file: what it is."""
    heading, meanings = _read_comments(_read(f"{group}/{choice}.yaml"))
    said = heading.removeprefix("@package _global_").strip() or meanings.get("_target_", "")
    return said.splitlines()[0] if said else ""


def _meanings_of_choice(group: str, choice: str) -> dict[str, str]:
    """Return the meanings in a choice's file and in those that it is made from."""
    text = _read(f"{group}/{choice}.yaml")
    found: dict[str, str] = {}
    for base in (yaml.safe_load(text) or {}).get("defaults", []):
        if isinstance(base, str) and base != "_self_":
            found |= _meanings_of_choice(group, base)
    return found | {key: said for key, said in _read_comments(text)[1].items() if said}


def _settings(
    node: DictConfig,
    meanings: dict[str, str],
    function: Callable | None,
    prefix: str = "",
    skip: Set[str] = frozenset(),
) -> Iterator[Setting]:
    takes = describe_parameters(function) if function else {}
    for key, value in OmegaConf.to_container(node, resolve=False).items():
        if key.startswith("_") or key in skip:
            continue
        if isinstance(value, dict) and "_target_" in value:
            inner = {
                name.removeprefix(f"{key}."): said
                for name, said in meanings.items()
                if name.startswith(f"{key}.")
            }
            yield from _settings(node[key], inner, get_object(value["_target_"]), f"{prefix}{key}.")
        else:
            said = meanings.get(key, "")
            yield Setting(f"{prefix}{key}", _say_value(value), said, takes.get(key, ""))


def _say_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value).replace("'", "").replace(", ", ",")


def _read(path: str) -> str:
    return resources.files(CONFIGS).joinpath(path).read_text(encoding="utf-8")


def _read_comments(text: str) -> tuple[str, dict[str, str]]:
    """Return a YAML file's first lines of comment, and the comment on the line of each key.

    Keys of inner mappings are joined by dots; those of the list of defaults stand by themselves.
    """
    heading, meanings, path = [], {}, []
    for line in text.splitlines():
        if line.startswith("#") and not meanings:
            heading.append(line.removeprefix("#").removeprefix(" "))
        match = re.match(r"( *)(- )?(?:override )?/?(\w+):([^#]*)(?:# (.*))?$", line)
        if match:
            path = [*path[: 0 if match[2] else len(match[1]) // 2], match[3]]
            meanings[".".join(path)] = match[5] or ""
    return "\n".join(heading).strip(), meanings


def _row(setting: Setting) -> tuple[str, str]:
    takes = f" [{setting.takes}]" if setting.takes else ""
    return f"  {setting.key}={setting.default}", f"{setting.meaning}{takes}".strip()


def _columns(rows: list[tuple[str, str]], width: int) -> list[str]:
    lines = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, width - COLUMN) or [""]
        if len(left) < COLUMN - 1:
            lines.append(f"{left:<{COLUMN}}{wrapped.pop(0)}".rstrip())
        else:
            lines.append(left)
        lines += [f"{'':<{COLUMN}}{line}" for line in wrapped if line]
    return lines


def _table(settings: list[Setting]) -> list[str]:
    rows = ["| setting | default | meaning | takes |", "|---|---|---|---|"]
    for setting in settings:
        cells = (f"`{setting.key}`", f"`{setting.default}`", setting.meaning, setting.takes)
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
