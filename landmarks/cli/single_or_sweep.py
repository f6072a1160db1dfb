"""Whether the words mean one job or a sweep, known without composing all settings for it.

Hydra composes the settings once to read `hydra.mode` from them and then once more to run: a fifth
of a second at each start. Where nothing on the command line can set the mode, it is the default.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hydra._internal.hydra import Hydra

SWEEP = {"-m", "--multirun"}


@contextmanager
def mode_from(words: list[str]) -> Iterator[None]:
    """Let Hydra compose the settings once, where `words` leave its mode as it is by default."""
    if not leaves_mode(words):
        yield
        return
    own = Hydra.get_mode
    Hydra.get_mode = lambda hydra, config_name, overrides: None  # as the settings would say
    try:
        yield
    finally:
        Hydra.get_mode = own


def leaves_mode(words: list[str]) -> bool:
    """Say whether no word sets `hydra.mode`, or brings files that may; ours do not."""
    return all(word in SWEEP or _is_a_setting(word) for word in words)


def _is_a_setting(word: str) -> bool:
    return not word.lstrip("+~").startswith(("-", "hydra"))
