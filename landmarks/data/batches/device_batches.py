"""Faces kept in a device's memory, and their batches gathered there: no step copies from the host.

Pixels lie there as uint8 with the margin that augmentation needs, points as float32 in input
pixels. The host sends an epoch's order once, and then asks for nothing and waits for nothing.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from landmarks.data.batches.cropped_faces import Batch
from landmarks.data.batches.loader import Batches
from landmarks.data.faces import Faces
from landmarks.devices import move, send
from landmarks.distributed import processes
from landmarks.machine import count_cores

BLOCK_BYTES = 1 << 24  # of pixels, read by one thread at a time
WORDS = (torch.int64, torch.int32, torch.int16)  # copied faster than byte by byte


class DeviceBatches:
    """The batches of `host`, bit for bit, from faces that lie on a device.

    All faces are read when it is made, on all cores, block by block: the host never holds more than
    some blocks of them.

    Args:
        host: its rows are kept, its order is followed, its source stays where a few faces are
            wanted on the host.
        device: where the faces are kept, and the batches.

    Attributes:
        kept: (n,) the rows of the data set that lie there, ascending.
        pixels: (n, C, C, 3) uint8 on the device.
        points: (n, K, 2) float32 on the device, NaN where unlabelled.
        to_image: (n, 2, 3) float32 on the device.

    Raises:
        UserError: at an unreadable image, as `host` would.
        torch.OutOfMemoryError: if they do not fit.
    """

    def __init__(self, host: Batches, device: torch.device):
        self.host, self.device = host, device
        self.source, self.order = host.source, host.order
        self.kept = np.sort(host.rows)
        count, side = len(self.kept), self.source.size + 2 * self.source.margin
        at = {"device": device}
        self.pixels = torch.empty(count, side, side, 3, dtype=torch.uint8, **at)
        self.points = torch.empty(count, self.faces.num_points, 2, **at)
        self.to_image = torch.empty(count, 2, 3, **at)
        self._readable = np.empty(count, bool)
        self._load()

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self.host)

    @property
    def faces(self) -> Faces:
        """The whole data set."""
        return self.host.faces

    @property
    def batch_size(self) -> int:
        """Faces a batch."""
        return self.host.batch_size

    @property
    def rows(self) -> np.ndarray:
        """The rows (n,) of the data set that these are batches of, not shuffled."""
        return self.host.rows

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Make the next iteration epoch `epoch`, from its batch `batch` on."""
        self.host.start_at(epoch, batch)

    def names_of(self, epoch: int, batch: int) -> list[str]:
        """Return the file names of the faces in a batch of an epoch."""
        return self.host.names_of(epoch, batch)

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate()

    def iterate(self, out: tuple[Tensor, Tensor, Tensor] | None = None) -> Iterator[Batch]:
        """Yield the batches that an iteration yields; images, points and to_image on the device.

        Args:
            out: see `gather`; it holds one batch until the next one is asked for. A smaller last
                batch is made of new tensors.
        """
        batches = self.order.own_rows()
        if not batches:
            return
        places = np.searchsorted(self.kept, np.concatenate(batches))
        index = send(places, self.device)
        ends = np.cumsum([len(rows) for rows in batches])
        for rows, end in zip(batches, ends.tolist(), strict=True):
            part = slice(end - len(rows), end)
            fits = out is not None and len(rows) == len(out[0])
            yield Batch(
                *self.gather(index[part], out if fits else None),
                torch.from_numpy(rows.copy()),
                torch.from_numpy(self._readable[places[part]]),
            )

    def gather(
        self, index: Tensor, out: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return images (B, 3, C, C), points (B, K, 2) and to_image (B, 2, 3) of some faces.

        Args:
            index: (B,) int64 on the device, places in `kept`.
            out: tensors of these shapes and types to write to, the images in channels_last memory
                and the others contiguous; None: new ones.
        """
        side = self.pixels.shape[1]
        if out is None:
            count = len(index)
            out = (
                self.pixels.new_empty(count, side, side, 3).permute(0, 3, 1, 2),
                self.points.new_empty(count, *self.points.shape[1:]),
                self.to_image.new_empty(count, 2, 3),
            )
        images = out[0].permute(0, 2, 3, 1).view(len(index), -1)  # refuses another memory format
        torch.index_select(_words(self.pixels.flatten(1)), 0, index, out=_words(images))
        torch.index_select(self.points, 0, index, out=out[1])
        torch.index_select(self.to_image, 0, index, out=out[2])
        return out

    def _load(self) -> None:
        cv2.setNumThreads(0)  # images are decoded in threads of our own
        each = max(1, BLOCK_BYTES // max(1, self.pixels[0].numel()))
        blocks = [self.kept[i : i + each] for i in range(0, len(self.kept), each)]
        end = 0
        hidden = None if processes.is_main() else True
        with tqdm(total=len(self.kept), desc="to the GPU", unit="face", disable=hidden) as bar:
            for batch in self._read(blocks):
                if not batch.readable.all():
                    self.host.note(batch.rows[~batch.readable].tolist())
                start, end = end, end + len(batch.rows)
                part = slice(start, end)
                self.pixels[part].copy_(move(batch.images, self.device).permute(0, 2, 3, 1))
                self.points[part].copy_(move(batch.points, self.device))
                self.to_image[part].copy_(move(batch.to_image, self.device))
                self._readable[part] = batch.readable.numpy()
                bar.update(len(batch.rows))

    def _read(self, blocks: list[np.ndarray]) -> Iterator[Batch]:
        """Yield the blocks' faces in order, read in as many threads as there are cores."""

        def read(rows: np.ndarray) -> Batch:
            if self.order.brings:
                self.faces.bring(rows)
            batch = self.source.__getitems__(rows.tolist())
            return batch._replace(
                images=_pinned(batch.images, self.device),
                points=_pinned(batch.points, self.device),
                to_image=_pinned(batch.to_image, self.device),
            )

        threads = max(1, count_cores() // processes.local_world())
        pool = ThreadPoolExecutor(threads)
        waiting: deque = deque()
        try:
            for rows in blocks:
                waiting.append(pool.submit(read, rows))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def bytes_on_device(host: Batches) -> int:
    """Return the bytes that `DeviceBatches` of these takes."""
    side = host.source.size + 2 * host.source.margin
    return len(host.rows) * (3 * side**2 + 8 * host.faces.num_points + 24)


def _pinned(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.pin_memory() if device.type == "cuda" else tensor


def _words(pixels: Tensor) -> Tensor:
    """Return (n, bytes) uint8 as (n, words), of the largest words that fit."""
    fitting = (word for word in WORDS if pixels.shape[1] % word.itemsize == 0)
    word = next(fitting, None)
    return pixels if word is None else pixels.view(word)
