"""docs/settings.md: every setting of every command and choice, made of what `--help` says.

python -m landmarks.cli.write_settings_md > docs/settings.md
"""

import textwrap
from collections.abc import Callable

from landmarks.cli.command_list import COMMANDS, load_command
from landmarks.cli.help import Page, Setting, read_page, settings_of_choice
from landmarks.settings import settings_of

INTRODUCTION = """# Settings

`landmarks COMMAND setting=value group=choice` sets them. `landmarks COMMAND --help` lists those of
a command, `landmarks COMMAND --help GROUP=CHOICE` those of a choice. The last column says what a
setting takes, and what it needs: one that would change nothing is refused on the command line.

This page is made by `python -m landmarks.cli.write_settings_md > docs/settings.md`.
"""


def write_reference() -> str:
    """Return docs/settings.md."""
    kinds = {command: settings_of(load_command(command)) for command in COMMANDS}
    pages = {command: read_page(command, kind) for command, kind in kinds.items()}
    parts = [INTRODUCTION, *(_say_command(page) for page in pages.values())]
    for name in dict.fromkeys(group.name for page in pages.values() for group in page.groups):
        parts.append(_say_group(name, pages, kinds))
    return "\n".join(parts)


def _say_command(page: Page) -> str:
    said, _, examples = page.heading.partition("\n")
    lines = [f"## landmarks {page.command}", "", _sentence(said.partition(": ")[2]), ""]
    lines += ["```", textwrap.dedent(examples).strip(), "```", "", *_table(page.settings)]
    if page.groups:
        lines += ["", "| group | default | meaning |", "|---|---|---|"]
    for group in page.groups:
        lines.append(
            f"| [`{group.name}`](#{group.name}) | `{group.choice}` | {_cell(group.meaning)} |"
        )
    return "\n".join(lines) + "\n"


def _say_group(name: str, pages: dict[str, Page], kinds: dict[str, Callable]) -> str:
    users = {
        command: group
        for command, page in pages.items()
        for group in page.groups
        if group.name == name
    }
    meaning = next(iter(users.values())).meaning
    lines = [f"## {name}", "", f"{_sentence(meaning)} Of: {', '.join(users)}.", ""]
    lines += ["| choice | meaning |", "|---|---|"]
    choices = {
        choice: (said, kinds[command])
        for command, group in reversed(users.items())
        for choice, said in group.choices.items()
    }
    choices = dict(sorted(choices.items()))
    lines += [f"| `{choice}` | {_cell(said)} |" for choice, (said, _) in choices.items()]
    alike: dict[tuple, dict[str, list[Setting]]] = {}
    for choice, (_, kind) in choices.items():
        settings = settings_of_choice(kind, name, choice)
        alike.setdefault(tuple(setting.key for setting in settings), {})[choice] = settings
    for keys, tables in alike.items():
        first, *others = tables
        also = f"; likewise, with other defaults, of {', '.join(others)}" if others else ""
        if keys:
            lines += ["", f"Settings of `{name}={first}`{also}:", "", *_table(tables[first])]
    return "\n".join(lines) + "\n"


def _table(settings: list[Setting]) -> list[str]:
    rows = ["| setting | default | meaning | takes |", "|---|---|---|---|"]
    for setting in settings:
        cells = f"`{setting.key}`", f"`{setting.default}`", setting.meaning, setting.limits
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


if __name__ == "__main__":
    print(write_reference(), end="")
