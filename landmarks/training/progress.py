"""What a person sees while training runs: a bar on a terminal, lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from landmarks.distributed import processes

log = logging.getLogger(__name__)
LINE_EVERY = 30.0  # seconds between lines where there is no terminal


class Display:
    """Shows loss, images a second and the share of time spent waiting for data.

    Args:
        batch_size: faces a batch.
    """

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self.bar: tqdm | None = None
        self.waited = 0.0
        self.started = self.shown = self.printed = time.perf_counter()
        self.first = self.epoch = 0

    @property
    def wait_share(self) -> float:
        """Share of the epoch's time in which the loop waited for data."""
        return self.waited / max(1e-9, time.perf_counter() - self.started)

    def start_epoch(self, epoch: int, batches: int, done: int) -> None:
        """Begin an epoch of `batches` batches of which `done` are done already."""
        self.epoch, self.first, self.waited = epoch, done, 0.0
        self.started = self.shown = self.printed = time.perf_counter()
        if sys.stderr.isatty() and processes.is_main():
            self.bar = tqdm(
                total=batches, initial=done, desc=f"epoch {epoch}", unit="batch", leave=False
            )

    def timed(self, batches: Iterable) -> Iterator:
        """Yield the batches and add up the time spent waiting for them."""
        source = iter(batches)
        while True:
            asked = time.perf_counter()
            batch = next(source, None)
            self.waited += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def is_due(self, every: float) -> bool:
        """Say whether `every` seconds have passed since it last said so."""
        now = time.perf_counter()
        if now - self.shown < every:
            return False
        self.shown = now
        return True

    def show(self, batch: int, batches: int, loss: float) -> None:
        """Show the mean loss so far, at batch `batch` of `batches`."""
        now = time.perf_counter()
        speed = (batch - self.first) * self.batch_size / (now - self.started)
        if self.bar is not None:
            self.bar.total = batches
            self.bar.n = batch
            self.bar.set_postfix_str(
                f"loss {loss:.4g}, {speed:.0f} images/s, {self.wait_share:.0%} waiting for data"
            )
        elif now - self.printed >= LINE_EVERY:
            self.printed = now
            log.info(
                f"epoch {self.epoch}, batch {batch} of {batches}: loss {loss:.4g}, {speed:.0f} "
                f"images/s, {100 * self.wait_share:.0f} % waiting for data"
            )

    def end_epoch(self, row: dict, is_best: bool) -> None:
        """Close the bar and print the epoch's line."""
        self.close()
        share = row.get("epoch_share")
        cut = "" if share is None else f" (ended by max_time after {share:.0%} of it)"
        scored = f"RMSE {row['val_rmse']:.4f} px, " if "val_rmse" in row else ""
        self.say(
            f"epoch {row['epoch']}{cut}: loss {row['train_loss']:.4g}, "
            f"val MSE {row['val_mse']:.3f} px², "
            f"{scored}NME {row['val_nme']:.4f}, "
            f"{row['seconds']:.1f} s, {row['images_per_s']:.0f} images/s, "
            f"{row['data_wait']:.0%} waiting for data{', best' if is_best else ''}"
        )

    def say(self, sentence: str) -> None:
        """Print a line without breaking the bar."""
        with logging_redirect_tqdm():
            log.info(sentence)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
