"""A run's own settings, as its last checkpoint keeps them, and what a command line changes in them.

Neither today's defaults nor today's files of settings count: a word beside resume= changes the
run's own settings, or is refused where a run keeps what it was begun with.
"""

import inspect
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from landmarks.cli.command_line import parse, searchpath
from landmarks.cli.overrides import groups_of, say_unknown
from landmarks.commands.preparing.config_groups import nodes_of
from landmarks.errors import UserError
from landmarks.runs.checkpoint import load_config
from landmarks.runs.config_targets import nodes_in, rename_targets, trusted
from landmarks.runs.quoting import change_texts, literal
from landmarks.settings import flatten

# Nothing of a checkpoint could follow a change of these; whatever is not named here can change.
KEPT = set(
    "split kfold fold search input_size crop box_margin box_from seed init name model "
    "data.limit data.exclude optimizer._target_ optimizer.amsgrad".split()
)
OPEN = set(  # of the model
    "model.freeze model.sigma model.weight model.decoder model.chunk model.fuse "
    "model.proposals model.boxes model.margin model.sync_norm".split()
)
# What "auto" stands for is chosen when a run begins, and changes these settings.
SETTLED = {"batch_size": ("batch_size", "optimizer.lr")}
RECIPES = {"experiment", "hparams_search"}  # their files set what stands elsewhere
NOT_KEPT = ("resume", "run_dir")


class Own(NamedTuple):
    """What a run was begun with, `begun` and the `words` of its command line, and has now."""

    run: Path
    settings: dict
    begun: dict
    words: list[str]


def read_own(checkpoint: Path) -> Own:
    """Return the settings of a checkpoint's run; a setting that came later is as it was before.

    Raises:
        UserError: if there are none, or they name code that is not this program's.
    """
    run = checkpoint.parent
    settings = load_config(checkpoint)
    others = sorted(settings.keys() ^ _today())
    if others:
        raise UserError(f"{checkpoint} has settings of another version ({', '.join(others)}).")
    if any("${" in str(value) for value in flatten(settings).values()):
        raise UserError(f"{checkpoint} holds settings with '${{': it is not resumed.")
    return Own(
        run,
        {key: _complete(key, node) for key, node in settings.items()},
        rename_targets(_read_yaml(run / ".hydra/config.yaml", {})),
        [str(word) for word in _read_yaml(run / ".hydra/overrides.yaml", [])],
    )


def put_on_top(own: Own, words: list[str], searched: tuple[str, ...] = ()) -> dict:
    """Return a run's own settings with the words of a command line on top.

    A group's choice (optimizer=sgd) replaces the group by today's, unless the run was begun with
    the same words about it: then its own settings are meant, whatever that choice is today.

    Raises:
        UserError: for a word that sets nothing, or names other code in a group that it leaves.
    """
    given = parse(_without_settled(own, words))
    groups = groups_of("train") | RECIPES
    settings, replaced = OmegaConf.create(change_texts(own.settings, literal)), set()
    for override in given:
        key = override.key_or_group
        if key not in groups or _is_as_begun(own, key, words):
            continue
        if key in RECIPES:
            raise UserError(
                f"{override.input_line}: a recipe's settings count when a run begins; give "
                f"those that are to change one by one."
            )
        about = tuple(word for word in words if _is_about(word, key))
        settings[key] = _today_s_choice(key, about, searched)
        replaced.add(key)
    for key in own.settings.keys() - replaced:
        trust(key, own.settings[key], own.run)
    OmegaConf.set_struct(settings, True)
    for override in given:
        if override.key_or_group not in groups:
            _set(settings, override, own)
    return OmegaConf.to_container(settings, resolve=True)


def _without_settled(own: Own, words: list[str]) -> list[str]:
    """Return words without those that say again what "auto" has settled since the run began."""
    again = [word for word in words if word in own.words]
    settled = {key for key in SETTLED if f"{key}=auto" in again}
    keys = {key for auto in settled for key in SETTLED[auto]}
    return [word for word in words if word not in again or word.partition("=")[0] not in keys]


def differences(own: Own, settings: dict) -> dict[str, tuple[Any, Any]]:
    """Return {key: (the run's own value, the other one)}; None where there is none."""
    before, after = flatten(own.settings), flatten(settings)
    keys = [*before, *(key for key in after if key not in before)]
    both = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: pair for key, pair in both.items() if pair[0] != pair[1]}


def refuse_kept(own: Own, changed: dict[str, tuple[Any, Any]], words: list[str]) -> None:
    """Refuse changes of what a run keeps as it was begun."""
    kept = [key for key in changed if {key, key.partition(".")[0]} & KEPT and key not in OPEN]
    if not kept:
        return
    about = [word for word in words if any(_is_about(word, key) for key in kept)]
    about += [word for word in words if _is_about(word, kept[0].partition(".")[0])]
    listed = [f"{key}={changed[key][0]}, not {changed[key][1]}" for key in kept[:3]]
    raise UserError(
        f"{about[0]} cannot be taken beside resume=: a run keeps {'; '.join(listed)}. Leave it "
        f"out, or start a new run from this one with init={own.run}."
    )


def trust(key: str, node: Any, run: Path) -> None:
    """Refuse a saved setting that names code, unless it is a group of ours that names our own."""
    named = nodes_in(node)
    for part in named:
        trusted(part, key)
    count = sum(name.endswith("_target_") for name in flatten({key: node}))
    if count > len(named):
        raise UserError(f"The settings of {run} name code in {key}: it is not resumed.")


@lru_cache
def _today() -> set[str]:
    return {str(key) for key in _compose([])} - {*NOT_KEPT}


def _compose(words: list[str]):
    GlobalHydra.instance().clear()
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        return compose("train", overrides=words)


@lru_cache
def _today_s_choice(group: str, words: tuple[str, ...], searched: tuple[str, ...]) -> dict:
    composed = _compose([*searchpath(searched), *words])
    return OmegaConf.to_container(composed, resolve=True).get(group, {})  # none: of logger=[]


def _complete(group: str, node: Any) -> Any:
    """Give a saved group the settings that its choice has had since, as they do nothing."""
    parts = nodes_in(node)
    if parts and node not in parts:  # several stand side by side
        return {name: _complete(group, part) for name, part in node.items()}
    known = [other for other in nodes_of(group) if other["_target_"] == _target(node)]
    if not known:
        return node
    parameters = inspect.signature(trusted(node, group)).parameters
    later = {
        name: parameters[name].default
        for other in known
        for name in other
        if name in parameters and parameters[name].default is not inspect.Parameter.empty
    }
    return {**node, **{name: value for name, value in later.items() if name not in node}}


def _target(node: Any) -> Any:
    return node.get("_target_") if isinstance(node, dict) else None


def _is_as_begun(own: Own, group: str, words: list[str]) -> bool:
    before = [word for word in own.words if _is_about(word, group)]
    now = [word for word in words if _is_about(word, group)]
    if group in RECIPES:
        return before == now
    is_ours = _target(own.settings[group]) in {node["_target_"] for node in nodes_of(group)}
    same = {key: own.settings[group].get(key) for key in own.begun.get(group, {})}
    return before == now and same == own.begun.get(group) and (is_ours or not nodes_of(group))


def _is_about(word: str, key: str) -> bool:
    name = word.partition("=")[0].lstrip("+~")
    return name == key or name.startswith(f"{key}.")


def _set(settings, override: Override, own: Own) -> None:
    key, word = override.key_or_group, override.input_line
    if override.is_sweep_override() or override.is_delete():
        raise UserError(f"{word}: beside resume= a setting has one value, as in {key}=VALUE.")
    try:
        OmegaConf.update(settings, key, override.value(), force_add=override.is_add())
    except OmegaConfBaseException as error:
        known = own.settings.keys() | flatten(own.settings).keys()
        raise UserError(say_unknown(key, known, groups_of("train"), "train")) from error


def _read_yaml(path: Path, default):
    """Return a file's plain content; one that is missing, or of another kind, says nothing."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return default
    return content if isinstance(content, type(default)) else default
