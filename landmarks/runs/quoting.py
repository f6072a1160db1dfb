"""Texts as words of a command line that the shell, Hydra and OmegaConf leave as they are."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLAIN_WORD = re.compile(r"[A-Za-z./][A-Za-z0-9_./+@%-]*")  # nobody reads anything into these
SPECIAL_WORDS = {"null", "true", "false", "nan", "inf"}
HOME = re.compile(r"~[\w.-]*(/|\\|$)")


def literal(text: str) -> str:
    """Return a text as OmegaConf reads it: a `${` that is no interpolation has a backslash."""
    return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", text)


def write_word(key: str, text: str) -> str:
    """Return the word that sets a key to this text, quoted for Hydra's grammar.

    In quotes a backslash means itself, but before a quote.
    """
    quoted = re.sub(r'(\\*)("|\Z)', lambda found: 2 * found[1] + found[2].replace('"', r"\""), text)
    return f'{key}="{quoted}"'


def say_setting(key: str, text: object) -> str:
    """Return what to type in a shell to set a key to exactly this text, a path if it has a `~`."""
    text = f"./{text}" if HOME.match(str(text)) else text
    if PLAIN_WORD.fullmatch(str(text)) and str(text).lower() not in SPECIAL_WORDS:
        return f"{key}={text}"
    return shlex.quote(write_word(key, literal(str(text))))


def change_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a setting, or a dict or list of them, with each text changed."""
    if isinstance(value, dict):
        return {key: change_texts(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [change_texts(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def at_home(text: str) -> str:
    """Return a text with the home folder in place of a leading `~` or `~user`."""
    if not HOME.match(text):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:  # no such user
        return text
