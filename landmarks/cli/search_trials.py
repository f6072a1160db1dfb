"""Searches of good settings: each job of a sweep is one trial of a study that they share."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from landmarks.cli.command_line import is_sweep, read_value
from landmarks.commands.preparing.group_choices import read_choice
from landmarks.errors import UserError
from landmarks.runs.search_study import STUDY, Search, begin_trial, end_trial, require_study
from landmarks.settings import check_arguments, flatten

GROUP = "hparams_search"
TRIAL = "+search.trial="  # begins the word that a sweep has one of for each job


def plan_trials(arguments: list[str]) -> list[str]:
    """Return a search's arguments with as many jobs as it has trials.

    Raises:
        UserError: if they start no sweep, or name a study that is not there.
    """
    chosen = [word.partition("=")[2] for word in arguments if word.startswith(f"{GROUP}=")][-1:]
    if not chosen or chosen[0] == "null":
        return arguments
    if not is_sweep(arguments):
        raise UserError(f"{GROUP}={chosen[0]} starts several runs, one a trial: add -m.")
    study = read_value(arguments, "search.study")
    if study is not None:
        require_study(Path(str(study)))
    count = read_value(arguments, "search.trials")
    if count is None:
        count = read_choice(f"{GROUP}/{chosen[0]}").get("search", {}).get("trials", 1)
    if type(count) is not int or count < 1:  # the check of settings says what it takes
        count = 1
    return [*arguments, f"{TRIAL}range({count})"]


def ask_trial(config: DictConfig, sweep: Path) -> list[str]:
    """Let a job try what its search asks for, in place; return that as words.

    Args:
        config: of the job; without a search nothing changes.
        sweep: the sweep's folder, which has the study where no other file is named.

    Raises:
        UserError: if the search cannot be made.
    """
    if config.get("search") is None:
        return []
    if config.search.study is None:
        config.search.study = str(sweep / STUDY)
    content = OmegaConf.to_container(config, resolve=True)
    search = check_arguments(Search, content["search"], "search")
    number, tried = begin_trial(search, flatten(content), config.seed)
    for key, value in tried.items():
        OmegaConf.update(config, key, value)
    config.search.trial = number
    return [
        f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in tried.items()
    ]


def tell_trial(config: DictConfig, error: float | None) -> bool:
    """Note what a job's trial, see `ask_trial`, has come to; return whether it was pruned.

    Args:
        error: its lowest one; None: it failed.
    """
    return end_trial(OmegaConf.to_container(config.search), error)
