"""A sweep's jobs, from what a search lets each of them try to the note that it leaves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from landmarks.cli.run_jobs import Jobs
from landmarks.cli.search_trials import TRIAL, ask_trial, tell_trial
from landmarks.cli.sweep_results import SweepPlace, keep_note, note_job, read_notes, say_jobs
from landmarks.errors import UserError


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
