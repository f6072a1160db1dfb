"""`landmarks COMMAND --help`: the pages of settings, laid out for a screen."""

import shutil
import textwrap
from collections.abc import Callable, Iterable

from landmarks.cli.command_line import overrides_in, parse, searched
from landmarks.cli.describe_settings import Group, Page, Setting, read_page
from landmarks.errors import UserError, did_you_mean

COLUMN = 26  # where meanings begin on a screen


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
