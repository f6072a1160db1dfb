"""Batches of some rows of a data set, read ahead by worker processes."""

import atexit
import logging
import math
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from typing import Literal

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from landmarks.data.batches.batch_order import BatchOrder
from landmarks.data.batches.cached_crops import CanvasFaces
from landmarks.data.batches.cropped_faces import Batch, is_plausible
from landmarks.data.batches.worker_processes import (
    PREFETCH,
    count_readers,
    end_readers,
    explain_readers,
    let_kill,
)
from landmarks.distributed import processes
from landmarks.errors import UnreadableImages, UserError, say_count
from landmarks.interrupt import unheard
from landmarks.machine import count_cores
from landmarks.settings import Workers

log = logging.getLogger(__name__)


class Batches:
    """The batches of some rows of a data set, epoch after epoch.

    Args:
        source: `landmarks.data.batches.cropped_faces.CroppedFaces` or
            `landmarks.data.batches.cached_crops.CanvasFaces`.
        rows: which faces.
        batch_size: faces a batch.
        seed: shuffles; None: in order.
        workers: processes that read ahead; 0: this one reads. From a canvas one thread does, if
            any is wanted.
        pin_memory: for copies to a CUDA device that do not block.
        on_error: "stop" raises at an unreadable image, "skip" leaves it in, black and unlabelled.
        weights: see `BatchOrder`.
        shared: of each batch this rank yields its part; a shuffled batch must part evenly.
        dealt: see `BatchOrder`.

    Raises:
        UserError: if it does not.
    """

    def __init__(
        self,
        source: Dataset,
        rows: np.ndarray,
        *,
        batch_size: int,
        seed: int | None = None,
        workers: int = 0,
        pin_memory: bool = False,
        on_error: Literal["stop", "skip"] = "stop",
        weights: np.ndarray | None = None,
        shared: bool = False,
        dealt: bool = False,
    ):
        self.source, self.faces, self.on_error = source, source.faces, on_error
        self._settings = {"seed": seed, "workers": workers, "pin_memory": pin_memory}
        self._settings |= {"weights": weights, "shared": shared, "dealt": dealt}
        packed, is_kept = self.faces.packed, isinstance(source, CanvasFaces)
        in_shards = {"packed": packed, "brings": packed is not None and not is_kept}
        self.order = BatchOrder(rows, batch_size, seed, weights, shared, dealt, **in_shards)
        if shared and seed is not None:
            refuse_uneven(self.order.batch_size, self.order.count)
        self.unreadable: set[int] = set()
        self.readers: Callable = lambda: None  # a weak reference to the worker processes' iterator
        # A gathered batch is a copy of a few megabytes: handing it to another process costs more.
        self.threaded = workers > 0 and is_kept
        processes = 0
        if workers > 0 and not self.threaded:
            side = source.size + 2 * source.margin
            face = 3 * side**2 + 8 * self.faces.num_points
            processes = count_readers(workers, self.order.batch_size * face)
        if processes == 0:
            cv2.setNumThreads(0)  # its threads would fight torch's for the same cores
        self.loader = DataLoader(
            source,
            batch_sampler=self.order,
            num_workers=processes,
            collate_fn=_as_it_is,
            pin_memory=pin_memory,
            persistent_workers=processes > 0,
            prefetch_factor=PREFETCH if processes > 0 else None,
            worker_init_fn=_start_worker,
            # Each iteration draws a seed. From torch's own generator it would change what the model
            # draws (dropout), and a resumed training iterates at other times.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Batches in a whole epoch, of all ranks."""
        return len(self.order)

    @property
    def batch_size(self) -> int:
        """Faces a batch: as many as were asked for, or all where there are fewer."""
        return self.order.batch_size

    @property
    def rows(self) -> np.ndarray:
        """The rows (n,) of the data set that these are batches of, not shuffled."""
        return self.order.rows

    def resized(self, batch_size: int) -> "Batches":
        """Return the same in batches of another size."""
        known = {**self._settings, "on_error": self.on_error}
        return Batches(self.source, self.rows, batch_size=batch_size, **known)

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Make the next iteration epoch `epoch`, from its batch `batch` on."""
        self.order.epoch, self.order.first_batch = epoch, batch

    def names_of(self, epoch: int, batch: int) -> list[str]:
        """Return the file names of the faces in a batch of an epoch."""
        return [self.faces.name(row) for row in self.order.batch_rows(epoch)[batch]]

    def __iter__(self) -> Iterator[Batch]:
        with explain_readers(self.loader.num_workers):
            with unheard():  # the worker processes start here
                source = iter(self.loader)
            if self.loader.num_workers > 0 and source is not self.readers():
                self.readers = weakref.ref(source)
                let_kill(active_children())
                atexit.register(end_readers, self.readers)
            for batch in read_ahead(source, PREFETCH) if self.threaded else source:
                if not batch.readable.all():
                    self.note(batch.rows[~batch.readable].tolist())
                yield batch
            if self.order.failed is not None:
                raise self.order.failed

    def note(self, rows: list[int]) -> None:
        """Take note of unreadable images: of these rows of the data set.

        Raises:
            UserError: with on_error="stop"; or if a training, or its validation, has none left.
        """
        if self.on_error == "stop":
            raise UnreadableImages(
                f"Unreadable images in {self.faces.folder}: "
                f"{', '.join(self.faces.say(row) for row in rows)}. Restore them, or go on "
                f"without them with data.on_error=skip.",
                [self.faces.path(row) for row in rows],
            )
        for row in set(rows) - self.unreadable:
            log.warning(f"Unreadable, taken as black: {self.faces.path(row)}")
        self.unreadable.update(rows)
        count = len(np.unique(self.rows))
        if self._settings["shared"] and len(self.unreadable) == count:  # of one process, all
            raise UserError(
                f"Not one of {say_count(count, 'image')} can be read in {self.faces.folder}, "
                f"{self.faces.say(int(self.rows[0]))} first, so that no face is left to train on "
                f"or to validate on: restore them, or split anew in a new run."
            )


def refuse_uneven(batch_size: int, faces: float = math.inf, ranks: int | None = None) -> None:
    """Refuse batches that do not part evenly among the ranks.

    Args:
        faces: there are to train on, as far as that is known.
        ranks: None: those that train now.

    Raises:
        UserError: naming the nearest size that does.
    """
    ranks = processes.world() if ranks is None else ranks
    if batch_size % ranks == 0:
        return
    below = batch_size - batch_size % ranks
    fitting = [size for size in (below, below + ranks) if 0 < size <= faces]
    if not fitting:
        raise UserError(f"{ranks} processes cannot share {say_count(faces, 'face')}: use fewer.")
    near = " or ".join(f"batch_size={size}" for size in fitting)
    raise UserError(f"batch_size={batch_size} does not part among {ranks} processes: use {near}.")


def read_ahead(batches: Iterable, count: int) -> Iterator:
    """Yield what `batches` yields, with up to `count` of them made ahead in a thread."""
    source = iter(batches)
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, source, None) for _ in range(count))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, source, None))
            yield batch


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def choose_workers(workers: Workers, device: str, cores: float | None = None) -> int:
    """Return the number of reading processes; "auto": all cores but one, at most 8, on a GPU.

    Without a GPU the cores are busy with the model itself: this process reads.

    Args:
        cores: for each process that trains; None: of this machine, for those that train now.
    """
    if workers != "auto":
        return workers
    cores = count_cores() / processes.local_world() if cores is None else cores
    return 0 if device == "cpu" else max(1, min(8, int(cores) - 1))


def mean_points(source: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return the mean shape (K, 2) float32 in input pixels, over at most 512 of these faces.

    A point that none of them has labelled takes the mean of the others. Labels far beside the input
    are left out.
    """
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), 512)).astype(int)]
    points = source.__getitems__(sample.tolist()).points.numpy()
    known = ~np.isnan(points) & is_plausible(points, source.size)[..., None]
    mean = np.where(known, points, 0).sum(0) / np.maximum(known.sum(0), 1)
    anywhere = known.any(0)
    fallback = np.where(anywhere, mean, 0).sum(0) / np.maximum(anywhere.sum(0), 1)
    return np.where(anywhere, mean, fallback).astype(np.float32)
