"""`landmarks COMMAND --help`: every setting with its meaning, default and type, for a screen."""

import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from types import MappingProxyType

import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_object
from omegaconf import OmegaConf

from landmarks.cli.command_line import overrides_in, parse, searched, searchpath
from landmarks.cli.overrides import taker_of
from landmarks.commands.preparing.config_groups import CONFIGS, bases_of, read_choice, read_text
from landmarks.errors import UserError, did_you_mean
from landmarks.settings import Needs, Several, describe_parameters, flatten, marks_of

LONG = 60  # signs: a default that is longer is not shown
COLUMN = 26  # where meanings begin on a screen


@dataclass(frozen=True)
class Setting:
    """One setting: its key on the command line, and what a user needs to know of it."""

    key: str
    default: str
    meaning: str
    takes: str
    needs: str = ""  # what else must be set, for it to change anything

    @property
    def limits(self) -> str:
        """What it takes and needs."""
        needs = f"only with {self.needs}" if self.needs else ""
        return "; ".join(filter(None, (self.takes, needs)))


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


def read_page(
    command: str, kind: Callable, overrides: Sequence[str] = (), folders: tuple[str, ...] = ()
) -> Page:
    """Compose a command's config and say what every setting in it means.

    Args:
        kind: what takes the command's settings: its signature says what they can be.
        overrides: of the command line: another choice of a group has other settings.
        folders: with choices of the user's own.

    Raises:
        hydra.errors.HydraException: if the overrides cannot be composed.
    """
    GlobalHydra.instance().clear()
    with initialize_config_module(CONFIGS, version_base="1.3"):
        words = [*searchpath(folders), *overrides]
        config = compose(command, overrides=words, return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        chosen = {
            name: choice
            for name, choice in config.hydra.runtime.choices.items()
            if "hydra" not in name and "@" not in name
        }
        # Hydra notes no choice of several; each of them has a name in the group.
        several = [name for name, marks in marks_of(kind, Several).items() if marks]
        chosen |= {name: ",".join(config.get(name) or ()) for name in several if name not in chosen}
        options = {
            name: loader.get_group_options(name, config_name=command, overrides=words)
            for name in chosen
        }
    heading, meanings = read_comments(read_text(command))
    meanings |= {k: v for k, v in _meanings_of_choice(command).items() if k not in meanings}
    whole = OmegaConf.to_container(config, resolve=False)
    # A command's own settings come before those of the command that it is made from.
    content = {key: whole[key] for key in [*(k for k in meanings if k in whole), *whole]}
    given = {"command": command}
    settings = list(_settings(content, meanings, kind, given, skip={"hydra", *chosen}))
    known, groups = {setting.key: setting for setting in settings}, []
    for name in sorted(chosen, key=list(meanings).index):
        choice, node = str(chosen[name] or "null"), content.get(name)
        choices = {
            option: describe(read_text(f"{name}/{option}", folders))
            for option in options[name]
            if name not in content
            or name in several
            or taker_of(kind, name, read_choice(f"{name}/{option}", folders))
        }
        if isinstance(node, dict):
            found = {}
            for one in choice.split(","):
                found |= _meanings_of_choice(f"{name}/{one}", folders)
            inside = list(_settings(node, found, taker_of(kind, name, node), given, f"{name}."))
        else:  # a recipe; it comes last, when all that it can set is known
            inside = _set_by(read_text(f"{name}/{choice}", folders), known)
        known |= {setting.key: setting for setting in inside}
        groups.append(Group(name, choice, _say_group(name, meanings, kind), choices, inside))
    return Page(command, heading, settings, groups)


def settings_of_choice(kind: Callable, group: str, choice: str) -> list[Setting]:
    """Return the settings of one of the program's own choices, as its files have them."""
    name = f"{group}/{choice}"
    node, meanings = read_choice(name), _meanings_of_choice(name)
    return list(_settings(node, meanings, taker_of(kind, group, node), prefix=f"{group}."))


def _say_group(name: str, meanings: dict[str, str], kind: Callable) -> str:
    needs = " and ".join(needs.say() for needs in marks_of(kind, Needs).get(name, []))
    return f"{meanings[name]} (only with {needs})" if needs else meanings[name]


def describe(text: str) -> str:
    """Return the first line of comment of a choice's file: what it is."""
    heading = read_comments(text)[0].removeprefix("@package _global_").strip()
    return heading.splitlines()[0] if heading else ""


def _meanings_of_choice(name: str, folders: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the meanings in a choice's file and in those that it is made from."""
    text = read_text(name, folders)
    found: dict[str, str] = {}
    for base in bases_of(name, (yaml.safe_load(text) or {}).get("defaults", [])):
        found |= _meanings_of_choice(base, folders)
    return found | {key: said for key, said in read_comments(text)[1].items() if said}


def _set_by(text: str, known: dict[str, Setting]) -> list[Setting]:
    """Return what a recipe sets: groups of its defaults, and settings of several groups."""
    content = yaml.safe_load(text) or {}
    chosen = [item for item in content.pop("defaults", []) if isinstance(item, dict)]
    groups = {
        name.removeprefix("override ").removeprefix("/"): choice
        for item in chosen
        for name, choice in item.items()
    }
    new = Setting("", "", "", "")
    return [
        replace(known.get(key, new), key=key, default=_say_value(value))
        for key, value in {**groups, **flatten(content)}.items()
    ]


def _settings(
    node: dict,
    meanings: dict[str, str],
    taker: Callable | None,
    given: Mapping[str, str] = MappingProxyType({}),
    prefix: str = "",
    skip: Set[str] = frozenset(),
) -> Iterator[Setting]:
    takes = describe_parameters(taker) if taker else {}
    needed = marks_of(taker, Needs) if taker else {}
    for key, value in node.items():
        if key.startswith("_") or key in skip:
            continue
        if isinstance(value, dict) and "_target_" in value:
            inner = {
                name.removeprefix(f"{key}."): said
                for name, said in meanings.items()
                if name.startswith(f"{key}.")
            }
            inside = get_object(value["_target_"])
            yield from _settings(value, inner, inside, given, f"{prefix}{key}.")
        else:
            needs = " and ".join(
                needs.say(prefix[:-1])
                for needs in needed.get(key, [])
                if needs.keys != "/command" or not needs.holds(given)
            )
            said, default = meanings.get(key, ""), _say_value(value)
            yield Setting(f"{prefix}{key}", default, said, takes.get(key, ""), needs)


def _say_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    said = str(value).replace("'", "").replace(", ", ",")
    return said if isinstance(value, str) or len(said) <= LONG else f"{said[0]}...{said[-1]}"


def read_comments(text: str) -> tuple[str, dict[str, str]]:
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


def answer_help(command: str, kind: Callable, arguments: list[str]) -> str:
    """Return what `landmarks COMMAND --help ARGUMENTS` prints.

    Args:
        kind: what takes the command's settings.
        arguments: settings to show the command with; of GROUP=CHOICE that choice alone is shown,
            of GROUP its choices.

    Raises:
        UserError: for a word that is neither.
        hydra.errors.HydraException: if the settings cannot be composed.
    """
    folders = searched(arguments)
    page = read_page(command, kind, overrides_in(arguments), folders)
    groups = {group.name for group in page.groups}
    plain = [word for word in arguments if "=" not in word and not word.startswith("-")]
    for word in plain:
        if word not in groups and word not in folders:
            raise UserError(
                f"--help {word}: there is no group '{word}'.{did_you_mean(word, groups)} The groups"
                f" are {', '.join(sorted(groups)) or 'none'}."
            )
    keys = {override.key_or_group for override in parse(overrides_in(arguments))}
    asked = [group for group in page.groups if group.name in keys]
    listed = [group for group in page.groups if group.name in plain]
    parts = [*map(_say_choices, listed), *map(_say_choice, asked)]
    return "\n\n".join(parts) or as_text(page)


def as_text(page: Page) -> str:
    """Return a page for a screen."""
    parts = [page.heading, "Settings:\n\n" + "\n".join(_columns(map(_row, page.settings)))]
    if page.groups:
        parts.append("Groups (group=choice):")
        parts += [
            f"{_say_choices(group)}\n\n{_say_settings(group)}".rstrip() for group in page.groups
        ]
        parts.append(f"A choice's settings: landmarks {page.command} --help GROUP=CHOICE")
    return "\n\n".join(parts)


def _say_choices(group: Group) -> str:
    lines = [*textwrap.wrap(f"{group.name}={group.choice}: {group.meaning}", _width()), ""]
    lines += _columns((f"  {name}", said) for name, said in group.choices.items())
    return "\n".join(lines)


def _say_settings(group: Group) -> str:
    if not group.settings:
        return ""
    lines = [f"  Settings of {group.name}={group.choice}:", ""]
    return "\n".join([*lines, *_columns(map(_row, group.settings))])


def _say_choice(group: Group) -> str:
    said = f"{group.name}={group.choice}: {group.choices.get(group.choice, group.meaning)}"
    return f"{said}\n\n{_say_settings(group) or '  It has no settings.'}"


def _row(setting: Setting) -> tuple[str, str]:
    limits = f"[{setting.limits}]" if setting.limits else ""
    return f"  {setting.key}={setting.default}", f"{setting.meaning} {limits}".strip()


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, _width() - COLUMN) or [""]
        if len(left) < COLUMN - 1:
            lines.append(f"{left:<{COLUMN}}{wrapped.pop(0)}".rstrip())
        else:
            lines.append(left)
        lines += [f"{'':<{COLUMN}}{line}" for line in wrapped if line]
    return lines


def _width() -> int:
    return max(60, min(110, shutil.get_terminal_size().columns))
