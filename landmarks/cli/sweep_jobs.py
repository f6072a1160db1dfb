"""The jobs of one command line: what each of a sweep tries, how it ends, what it leaves."""

import contextlib
import gc
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from landmarks.cli.command_line import is_sweep, read_value
from landmarks.cli.sweep_results import (
    JobNote,
    SweepPlace,
    keep_note,
    note_job,
    read_notes,
    say_failures,
    say_jobs,
)
from landmarks.commands.preparing.config_groups import read_choice
from landmarks.errors import UserError
from landmarks.files import sweep
from landmarks.interrupt import SIGNALS, Interrupted
from landmarks.runs.find_runs import remove_abandoned
from landmarks.runs.search_study import STUDY, Search, begin_trial, end_trial, require_study
from landmarks.settings import check_arguments, flatten

GROUP = "hparams_search"
TRIAL = "+search.trial="  # begins the word that a sweep has one of for each job
SWEEP = {"-m", "--multirun"}


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


def ask_trial(config: DictConfig, folder: Path) -> list[str]:
    """Let a job try what its search asks for, in place; return that as words.

    Args:
        config: of the job; without a search nothing changes.
        folder: of the sweep, which has the study where no other file is named.

    Raises:
        UserError: if the search cannot be made.
    """
    if config.get("search") is None:
        return []
    if config.search.study is None:
        config.search.study = str(folder / STUDY)
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


class Jobs:
    """Runs jobs; the next one runs after a failure, but not after a signal."""

    def __init__(self):
        self.codes: list[int] = []
        self.failures: list[str] = []

    @property
    def code(self) -> int:
        """The exit code of all of them: the highest."""
        return max(self.codes, default=0)

    def run(self, job: Callable[[], int], title: str | None) -> None:
        """Run a job to its end.

        Args:
            job: returns its exit code, or raises UserError.
            title: names it among a sweep's; None: it is alone.

        Raises:
            UserError: what went wrong in a sweep's job: its launcher must see that.
            Interrupted: if a signal has ended a sweep's job, and so the sweep.
        """
        failed = None
        start_as_usual()
        try:
            self.codes.append(job())
        except UserError as error:
            failed = str(error)
            self.codes.append(error.code)
        except Exception as error:
            if title is None:
                if isinstance(error, BrokenPipeError):  # of `landmarks ... | head`
                    self.codes.append(141)
                    return
                raise
            traceback.print_exc()
            failed = f"{type(error).__name__}: {error}"
            self.codes.append(1)
        if failed is not None:
            self.failures.append(f"job {title}: {failed}" if title else failed)
        if title is not None:
            self._end_of_one()
            if failed is not None:
                # A new error: the old one would keep the job's model alive to the sweep's end.
                raise UserError(failed)

    def hear(self, notes: list[JobNote]) -> None:
        """Take the ends of a sweep's jobs from their notes: they may have run elsewhere."""
        self.codes = [note.code for note in notes]
        self.failures = say_failures(notes)

    def _end_of_one(self) -> None:
        if self.codes[-1] - 128 in SIGNALS:
            raise Interrupted(self.codes[-1] - 128)
        gc.collect()  # a model and its optimiser may know each other
        if "torch._dynamo" in sys.modules:
            # It compiles one function, such as the heatmaps' loss, for eight settings at most.
            sys.modules["torch"].compiler.reset()


def sweep_runs(run: Path, folder: Path = Path("runs")) -> None:
    """Remove what killed processes have left unfinished in a run, and in the runs of a folder."""
    for place in (run, folder, *folder.glob("*/"), *folder.glob("*/*/")):
        sweep(place)
        if place.resolve() not in (run.resolve(), folder.resolve()):
            with contextlib.suppress(OSError):  # somebody else's, or gone since
                remove_abandoned(place)


def start_as_usual() -> None:
    """Let processes that a job starts begin as Python's do by themselves.

    joblib's, in which its jobs run, name a way to begin that what they start does not know.
    """
    known = multiprocessing.get_all_start_methods()
    if multiprocessing.get_start_method(allow_none=True) not in (None, *known):
        multiprocessing.set_start_method(None, force=True)


@contextmanager
def told_of(jobs: Jobs) -> Iterator[None]:
    """Run a sweep in this context; at its end say how all jobs ended, wherever they ran.

    Args:
        jobs: gets their exit codes and failures.

    Raises:
        UserError: if the launcher fails, beside what the jobs raise.
    """
    SweepPlace.place = None
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException, OSError):
        raise
    except Exception as error:  # of a launcher, whose jobs say what went wrong in them
        why = " ".join(str(error).split())[:300]
        raise UserError(f"The launcher ended the sweep: {type(error).__name__}: {why}") from error
    finally:
        notes = read_notes(SweepPlace.place) if SweepPlace.place else []
        if notes:
            jobs.hear(notes)
            say_jobs(SweepPlace.place, notes, print)


def run_noted(
    jobs: Jobs, job: Callable[[], int], config: DictConfig, run: Path, title: str
) -> float | None:
    """Run one job of a sweep and leave a note; return its lowest validation error.

    Args:
        jobs: runs it.
        job: trains by the config and returns the exit code.
        config: changed in place to what a search lets the job try.
        run: the job's folder.
        title: names it.

    Raises:
        UserError, Interrupted: see `Jobs.run`.
    """
    hydra_config = HydraConfig.get()
    sweep, number = Path(hydra_config.sweep.dir), hydra_config.job.num
    words = [*OmegaConf.to_container(hydra_config.overrides.task)]
    words = [word for word in words if not word.startswith(TRIAL)]
    tried, why, note = [], "", None

    def try_settings() -> int:
        tried.extend(ask_trial(config, sweep))
        return job()

    try:
        jobs.run(try_settings, title)
    except UserError as error:
        why = str(error)
        raise
    finally:
        if jobs.codes:
            code = jobs.codes[-1]
            note = note_job(sweep, run, number, [*words, *tried], code, why)
            if tried and tell_trial(config, None if code else note.score):
                keep_note(sweep, replace(note, pruned=True))
    return note.score if note else None
