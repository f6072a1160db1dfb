"""One command line, given to Hydra: its words, its jobs, and one sentence for what goes wrong."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from landmarks.cli.command_line import (
    flags_first,
    gather_words,
    is_sweep,
    mend_words,
    named_place,
    overrides_in,
    place_sweep,
    read_value,
    refuse_deleted,
    refuse_place,
    say_replaced,
)
from landmarks.cli.command_list import SHARED, load_command
from landmarks.cli.data_root_argument import name_reader
from landmarks.cli.help import answer_help
from landmarks.cli.leader_rank import run_job
from landmarks.cli.overrides import check_settings, explain, refuse_flag
from landmarks.cli.sweep_jobs import Jobs, mode_from, plan_trials, run_noted, sweep_runs, told_of
from landmarks.cli.sweep_results import refuse_launcher
from landmarks.commands.preparing.config_groups import read_choice
from landmarks.distributed.launch_ranks import count_ranks
from landmarks.distributed.processes import world
from landmarks.errors import UserError
from landmarks.files import explain_refusal
from landmarks.runs.find_runs import Leftovers, refuse_taken
from landmarks.runs.run_lock import hold
from landmarks.settings import settings_of

log = logging.getLogger(__name__)


def launch(
    command: str,
    arguments: list[str],
    fail: Callable[..., int],
    tell_job: Callable[[dict], None] | None = None,
) -> int:
    """Run a command on the words behind it and return the exit code.

    Args:
        fail: prints a sentence and returns the exit code that it is given, or 2.
        tell_job: lets the other processes do a job of these settings; None: there are none.
    """
    register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra lets errors through to the handlers below
    start = _Start(command, tell_job)
    arguments = mend_words(gather_words(command, arguments))
    try:
        if {"-h", "--help"} & set(arguments):
            print(answer_help(command, settings_of(load_command(command)), arguments))
            return 0
        start.run(arguments)
    except UserError as error:
        if not start.jobs.failures:
            return fail(str(error), start.code)
    except (HydraException, OmegaConfBaseException) as error:
        return fail(explain(error, command, start.words or arguments))
    except YAMLError as error:
        return fail(f"A file of settings cannot be read: {' '.join(str(error).split())}.")
    except (OSError, ValueError) as error:
        sentence = _explain(error, start.has_begun)
        if sentence is None:
            raise
        return fail(sentence, 1)
    except SystemExit as leaving:  # Hydra's own --hydra-help, or its parser's complaint
        return int(leaving.code or 0)
    finally:
        for failure in start.jobs.failures:
            fail(failure)
    return start.jobs.code


def _explain(error: OSError | ValueError, has_begun: bool) -> str | None:
    """Return in one sentence what the system refused; None where it is no help."""
    if isinstance(error, ValueError):  # logging's, where the log cannot be opened
        cause = error.__cause__
        sentence = f"The run's log cannot be written ({cause}): set run_dir=FOLDER."
        return sentence if isinstance(cause, OSError) else None
    if error.filename is not None and not has_begun:
        return f"The run's folder cannot be made ({error}): set run_dir=FOLDER."
    return explain_refusal(error)


class _Start:
    """One start of a command: a job, or a sweep's jobs.

    Attributes:
        jobs: how they ended.
        code: the exit code of what is refused now: 2 until the words are read.
        words: the arguments as Hydra gets them; empty until they are known.
        has_begun: whether a job has.
        place: the run's folder, if the words name it.
        held: the folder whose lock is held.
        reader: a sentence on which reader was taken for the data; empty: the words name it.
        replaced: a sentence on words that later ones replace; empty: there are none.
    """

    def __init__(
        self,
        command: str,
        tell_job: Callable[[dict], None] | None = None,
    ):
        self.command, self.tell_job = command, tell_job
        self.jobs, self.leftovers, self.resumed = Jobs(), Leftovers(None), None
        self.code, self.words, self.has_begun = 2, [], False
        self.place, self.held, self.reader, self.replaced = None, None, "", ""

    def run(self, arguments: list[str]) -> None:
        """Run all jobs that the words ask for.

        Raises:
            UserError: if words, settings or files are wrong.
            HydraException, OmegaConfBaseException, YAMLError, OSError: as Hydra raises them.
        """
        refuse_flag(self.command, arguments)
        refuse_deleted(arguments)
        refuse_place(arguments)
        self.replaced = say_replaced(arguments)
        arguments, self.reader = name_reader(self.command, arguments)
        if self.tell_job is not None and is_sweep(arguments):
            raise UserError(
                "-m starts several jobs, and several processes do one: start one process with "
                "gpus=N, and each job starts its own."
            )
        if self.command == "train":
            arguments = plan_trials(arguments)
        self.words = place_sweep(arguments)
        self.code = 1
        name = self._find_run()
        sys.argv = [sys.argv[0], *flags_first(self.words)]
        settings = {"config_path": "pkg://landmarks.configs", "config_name": name}
        refuse_launcher(self.words)
        start = hydra.main(version_base="1.3", **settings)(self._task)
        is_told = self.command == "train" and is_sweep(self.words)
        told = told_of(self.jobs) if is_told else nullcontext()
        with self._claim(), told, mode_from(self.words):
            start()

    @contextmanager
    def _claim(self) -> Iterator[None]:
        """Hold the lock of a run's named folder before Hydra writes settings there.

        Of two starts at once, the second would otherwise replace the settings of the first.
        """
        place = self.resumed.run if self.resumed else self.place
        # A k-fold's folds are held one by one: jobs side by side may share its folder.
        is_kfold = any(word.startswith("kfold=") for word in self.words)
        if self.command != "train" or place is None or is_kfold:
            yield
            return
        made = not place.exists()
        place.mkdir(parents=True, exist_ok=True)
        try:
            with hold(place):
                self.held = place.resolve()
                yield
        finally:
            if made and place.is_dir() and not any(place.iterdir()):
                place.rmdir()

    def _find_run(self) -> str:
        """Find the run that is resumed, if any; return the name of the config to compose."""
        given = overrides_in(self.words)
        if self.command == "train" and any(word.startswith("resume=") for word in given):
            from landmarks.cli.resume import RESUMED, resume_run  # it needs torch

            self.resumed = resume_run(self.words)
            self.words = [word for word in self.words if not word.startswith("resume=")]
        place = named_place(given)
        is_whole = not any("${" in word for word in given if word.startswith("run_dir="))
        self.place = place if is_whole and not is_sweep(self.words) else None
        self.leftovers = Leftovers(self.resumed.run if self.resumed else place)
        if self.resumed:
            self.words = self.resumed.arguments
            return RESUMED
        if place is not None:
            refuse_taken(place, self.command)
            if is_whole and is_sweep(self.words):
                for folder in self._jobs_in(place, given):
                    refuse_taken(folder, self.command)
        return self.command

    def _jobs_in(self, sweep: Path, given: list[str]) -> list[Path]:
        """Return the folders there that jobs of this sweep may write to, by their number."""
        name = read_value(given, "name")
        if name is None:
            name = read_choice(self.command).get("name")
        end = re.escape(_suffix(name)) if isinstance(name, str | None) else "-.*"  # of a sweep
        job = re.compile(rf"(\d+){end}")
        found = {path: job.fullmatch(path.name) for path in sweep.glob("*/")}
        return sorted((path for path in found if found[path]), key=lambda it: int(found[it][1]))

    def _task(self, config: DictConfig) -> float | None:
        """Do a job; return a sweep's lowest validation error, which a search makes lower."""
        hydra_config = HydraConfig.get()
        run = Path(hydra_config.runtime.output_dir)
        words = OmegaConf.to_container(hydra_config.overrides.task)  # a list would fill in ${...}
        self.has_begun = True
        sweep_runs(run)
        is_one_of_many = hydra_config.mode == RunMode.MULTIRUN
        given = words if not is_one_of_many else []  # a sweep's settings may be idle in one of it
        if self.resumed:
            given = [word for word in self.resumed.words if not word.startswith("name=")]
        title = f"{hydra_config.job.num} ({' '.join(words)})" if is_one_of_many else None

        def job() -> int:
            return self._job(config, run, given)

        if is_one_of_many and self.command == "train":
            return run_noted(self.jobs, job, config, run, title)
        self.jobs.run(job, title)
        return None

    def _job(self, config: DictConfig, run: Path, given: list[str]) -> int:
        is_kfold = config.get("kfold") is not None
        is_free = self.command == "train" and run.resolve() != self.held and not is_kfold
        with hold(run) if is_free else nullcontext():
            try:
                function = load_command(self.command)
                kind = settings_of(function)
                checked = check_settings(kind, config, given, self.command)
                if checked.get("json") is True:  # it alone stands on standard output
                    _log_to_stderr()
                if self.resumed:
                    self.resumed.say()
                if self.replaced:
                    log.warning(self.replaced)
                if self.reader:
                    log.info(self.reader)
                settings = {**checked, "run_dir": str(run)}
                if self.tell_job is not None:
                    refuse_one_process(settings, world())
                    self.tell_job(settings)
                elif self.command in SHARED and not self.resumed:
                    # Of a sweep's job, or of a file of settings that the words name.
                    count = count_ranks(settings["gpus"], settings["device"])
                    if count > 1:
                        refuse_one_process(settings, count)
                        return run_job(self.command, settings, count)
                return function(kind(**settings))
            except BaseException:
                self.leftovers.remove(run)
                raise


def refuse_one_process(settings: dict, count: int) -> None:
    """Refuse what several processes, so many, which do one job, cannot do.

    Raises:
        UserError: naming the setting.
    """
    if settings.get("compile"):
        raise UserError(f"compile=true trains in one process, and {count} were asked for.")


def _log_to_stderr() -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)


def register_resolvers() -> None:
    """Tell OmegaConf what our files of settings ask for."""
    for name, function in {
        "suffix": _suffix,
        "gpus_of_job": _gpus_of_job,
        "for_gpus": _for_gpus,
    }.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def _suffix(name: str | None) -> str:
    # A name ends a folder's name; it must not become a path.
    return "-" + re.sub(r"[^\w.-]+", "_", str(name)) if name else ""


def _gpus_of_job(gpus: int | str, device: str) -> int:
    """Return how many GPUs a launcher gives to each job that wants so many; 0: there are none."""
    import torch  # it takes seconds, and few launchers ask

    if device == "cpu" or not torch.cuda.is_available():
        return 0
    return torch.cuda.device_count() if gpus == "auto" else int(gpus)


def _for_gpus(gpus: int | str, each: int) -> int:
    """Return what a job with so many GPUs needs, of what it needs for each."""
    return each if gpus == "auto" else each * int(gpus)
