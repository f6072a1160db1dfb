"""Command-line overrides: what they may name, and what to say when they are wrong."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import zip_longest

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
    SearchPathException,
)
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from landmarks.cli.command_line import is_sweep, overrides_in, parse
from landmarks.commands.preparing.config_groups import list_choices, read_choice
from landmarks.errors import UserError, did_you_mean, nearest, say_some
from landmarks.runs.config_targets import rename_targets
from landmarks.runs.quoting import at_home, change_texts
from landmarks.settings import GroupOf, Needs, Several, check_arguments, flatten, marks_of

OPTIONS = (  # of Hydra's parser
    "--help --hydra-help --version --cfg --resolve --package --run --multirun --shell-completion "
    "--config-path --config-name --config-dir --experimental-rerun --info".split()
)
MAY_BE_EMPTY = {"data.train", "data.test"}  # no file of such faces is known


def check_settings(kind: type, config: DictConfig, words: list[str], command: str) -> dict:
    """Return a composed config as plain dicts and lists, checked against `kind`, which receives it.

    Raises:
        UserError: naming the key, for a missing, unknown, unfitting or idle value.
    """
    try:
        _refuse_empty(words)
        checked = check_config(kind, config)
        run_dir = OmegaConf.to_container(config, resolve=False)["run_dir"]
        refuse_idle(kind, {**checked, "run_dir": run_dir, "command": command}, words)
    except UserError as error:
        error.code = 2
        raise
    return checked


def _refuse_empty(words: list[str]) -> None:
    """Refuse a setting without a value: Hydra takes it for an empty text, which names no file."""
    for word in words:
        key, equals, value = word.partition("=")
        if equals and value.strip() in ("", "''", '""') and key not in MAY_BE_EMPTY:
            raise UserError(f"{key}= has no value: write {key}=VALUE, or leave it out.")


def check_config(kind: type, config: DictConfig) -> dict:
    try:
        missing = OmegaConf.missing_keys(config)
        settings = change_texts(OmegaConf.to_container(config, resolve=True), at_home)
        settings = rename_targets(settings)
    except InterpolationResolutionError as error:
        said = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{said}: ${{NAME}} stands for another setting; in a path that is named so, write "
            f"\\${{NAME}}."
        ) from error
    if missing:
        raise UserError(f"{', '.join(sorted(missing))}: no value is set; add {min(missing)}=VALUE.")
    none = {group: {} for group, marks in marks_of(kind, Several).items() if marks}
    checked = check_arguments(kind, {**none, **settings})
    for key, whole in checked.items():
        for place, node in parts_of(kind, key, whole).items():
            taker = taker_of(kind, place, node)
            if taker is not None:
                node.update(check_arguments(taker, node, place))
            elif isinstance(node, dict):
                raise UserError(
                    f"{key}=: this choice is not for this command, as its file names no _target_. "
                    f"Add --help {key} to see those that are."
                )
    return checked


def explain(error: Exception, command: str, arguments: list[str]) -> str:
    """Turn Hydra's complaint about a command line into one sentence with the nearest right word."""
    if isinstance(error, OverrideParseException):
        return (
            f"'{error.override}' cannot be read as setting=value; quote values that hold spaces, "
            f"commas, brackets or '=': \"key='a=b'\"."
        )
    if isinstance(error, SearchPathException):
        return f"{error}: name a folder that holds experiment/NAME.yaml."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = sorted(error.options or list_choices(group))  # none are named of a list's choice
        near = did_you_mean(choice, options)
        return f"There is no {group}={choice}.{near} The choices are {', '.join(options)}."
    overrides = parse(overrides_in(arguments))
    if not is_sweep(arguments):
        for word in [override.input_line for override in overrides if override.is_sweep_override()]:
            key, _, value = word.partition("=")
            return (
                f"{word}: a setting has one value. Add -m to start a run with each; a list is "
                f"written {key}=[{value}], a text with commas \"{key}='{value}'\"."
            )
    known, groups = _known_keys(command, arguments)
    for override in overrides:
        key = override.key_or_group
        if override.is_add() or key in known or key.startswith("hydra"):
            continue
        return say_unknown(key, known, groups, command)
    return " ".join(str(error).split())


def say_unknown(key: str, known: set[str], groups: set[str], command: str) -> str:
    """Return the sentence about a setting that is not among the known ones."""
    near = _nearest_key(key, known)
    hint = f" Did you mean '{near}'?" if near else ""
    if key not in (near or ""):  # else it is that one, cut short
        hint = _owners(key, groups) or hint
    return f"There is no setting '{key}'.{hint} `landmarks {command} --help` lists them all."


@lru_cache
def groups_of(command: str) -> frozenset[str]:
    """Return the groups that a command's own defaults choose from."""
    return frozenset(_known_keys(command, [])[1])


def refuse_flag(command: str, arguments: list[str]) -> None:
    """Refuse an option that there is not, or that is a setting, before Hydra's parser does.

    Raises:
        UserError: naming the nearest option, or showing how settings are written.
    """
    odd = [word for word in arguments if word.startswith("--") and not _is_option(word)]
    if not odd:
        return
    known, _ = _known_keys(command, [])
    for word, following in zip_longest(arguments, arguments[1:], fillvalue="VALUE"):
        key, equals, value = word.removeprefix("--").partition("=")
        key = key.replace("-", "_")
        if word.startswith("--") and key in known:
            if not equals:
                value = "VALUE" if "=" in following or following.startswith("-") else following
            raise UserError(f"{word}: settings are written without dashes, {key}={value}.")
    name = odd[0].partition("=")[0]
    raise UserError(
        f"There is no option {name}.{did_you_mean(name, OPTIONS)} Settings are written without "
        f"dashes; `landmarks {command} --help` lists them."
    )


def _is_option(word: str) -> bool:
    """Say whether Hydra's parser takes a word as one of its options, which may be cut short."""
    name = word.partition("=")[0]
    return name == "--" or any(option.startswith(name) for option in OPTIONS)


def _nearest_key(key: str, known: set[str]) -> str | None:
    """Return the known setting that `key` was probably meant to be, if there is one."""
    group, _, leaf = key.rpartition(".")
    leaves = {name.rpartition(".")[2]: name for name in sorted(known, reverse=True)}
    if leaf in leaves:  # in the wrong group, or in none
        return leaves[leaf]
    if group not in known:
        return nearest(key, known) or leaves.get(nearest(leaf, leaves))
    # The rest of the name alone: a group's own keys all look alike.
    within = [name.removeprefix(f"{group}.") for name in known if name.startswith(f"{group}.")]
    near = nearest(leaf, within)
    return near and f"{group}.{near}"


def _owners(key: str, groups: set[str]) -> str:
    """Say which choices have a setting that the chosen ones lack, such as model.sigma."""
    group, _, leaf = key.partition(".") if "." in key else ("", "", key)
    for name in sorted({group} & groups if group else groups - {"experiment"}):
        owners = [o for o in list_choices(name) if leaf in flatten(read_choice(f"{name}/{o}"))]
        if owners:
            few = say_some(owners, 5)
            it = "It" if group else f"{name}.{leaf}"
            return f" {it} belongs to {name}={few}: leave it out, or choose such a one."
    return ""


def _known_keys(command: str, arguments: list[str]) -> tuple[set[str], set[str]]:
    """Return all settings of a command with these arguments' choices, and its groups."""
    GlobalHydra.instance().clear()
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        chosen = compose(command, return_hydra_config=True).hydra.runtime.choices
        # The groups that the command's own defaults choose from; others belong to other commands.
        groups = {group for group in chosen if not group.startswith("hydra")}
        # What there is to set depends on what was chosen. A sweep's keys are those of its first.
        words = [word for word in arguments if word.split("=", 1)[0] in groups]
        choices = [word if "=[" in word else word.split(",")[0] for word in words]
        try:
            config = compose(command, overrides=choices)
        except HydraException:  # a choice that is a file of the user's own, of --config-dir
            config = compose(command)
    settings = OmegaConf.to_container(config, resolve=False)
    return groups | settings.keys() | flatten(settings).keys(), groups


def refuse_idle(kind: Callable, settings: dict, words: list[str]) -> None:
    """Refuse a word that would change nothing, such as split.file=FILE without split.by=groups.

    Files of settings and sweeps may hold such settings; they are not words.

    Args:
        settings: all that the command is given, checked, and "command": its name.

    Raises:
        UserError: naming what has to be given beside it.
    """
    flat = flatten(settings)
    for override in parse(words):
        key = override.key_or_group
        if override.is_delete() or override.is_sweep_override():
            continue
        for group, needs in conditions(kind, settings, key):
            if not needs.is_off(override.value()) and not needs.holds(flat, group):
                raise UserError(
                    f"{override.input_line} changes nothing: it needs {needs.say(group)}. "
                    f"Otherwise leave it out."
                )


def conditions(kind: Callable, settings: dict, key: str) -> Iterator[tuple[str, Needs]]:
    """Yield what a setting needs to change anything, each with the group that it is told of."""
    group = key.partition(".")[0]
    for needs in marks_of(kind, Needs).get(group, []):
        yield "", needs
    for place, node in parts_of(kind, group, settings.get(group)).items():
        taker = taker_of(kind, place, node) if key.startswith(f"{place}.") else None
        for needs in marks_of(taker, Needs).get(key.removeprefix(f"{place}."), []) if taker else []:
            yield place, needs


def parts_of(kind: Callable, group: str, node: object) -> dict[str, object]:
    """Return a group's node by its key; of several side by side each one, as logger.mlflow."""
    if isinstance(node, dict) and marks_of(kind, Several).get(group):
        return {f"{group}.{name}": part for name, part in node.items()}
    return {group: node}


def taker_of(kind: Callable, group: str, node: object) -> Callable | None:
    """Return what takes a group's settings: its node's `_target_`, or what the command names."""
    if not isinstance(node, dict):
        return None
    if "_target_" in node:
        return get_object(node["_target_"])
    return next((mark.taker for mark in marks_of(kind, GroupOf).get(group, [])), None)
