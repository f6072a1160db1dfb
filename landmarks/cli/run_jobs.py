"""The jobs of one command line, a sweep's one after the other: how they end, what they leave."""

import contextlib
import gc
import multiprocessing
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from landmarks.cli.sweep_results import JobNote, say_failures
from landmarks.errors import UserError
from landmarks.files import sweep
from landmarks.interrupt import SIGNALS, Interrupted
from landmarks.runs.find_runs import remove_abandoned


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
