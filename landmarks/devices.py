"""Copies to a device and back, and waiting for it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

COPIED = ("images", "points", "to_image")  # of a batch
AHEAD = 1  # batches on the device before they are needed, beside the one in work


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on a device, without waiting for CUDA.

    On other devices the copy is complete on return. On MPS before torch 2.13, an asynchronous copy
    may read later contents of its source (pytorch/pytorch issue 139550).
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


def send(numbers: np.ndarray, device: torch.device) -> Tensor:
    """Return an array of the host as a tensor on a device, without waiting for CUDA.

    Only from pinned memory does CUDA copy while the host goes on. torch does not give that memory
    to another before the copy is done.
    """
    tensor = torch.from_numpy(numbers)
    return move(tensor.pin_memory() if device.type == "cuda" else tensor, device)


def refill(target: Tensor, source: Tensor) -> None:
    """Copy into a tensor that stays where it is, without waiting for CUDA."""
    target.copy_(source, non_blocking=target.device.type == "cuda")


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all work; for measuring times."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def fetch(tensors: list[Tensor]) -> Callable[[], list[Tensor]]:
    """Start copying tensors of one device to the host; return a function that waits for them.

    CUDA continues with other work meanwhile; other devices are waited for at once.
    """
    if tensors[0].device.type != "cuda":
        copies = [tensor.cpu() for tensor in tensors]
        return lambda: copies
    # Into other than pinned memory, CUDA does not copy while the host goes on.
    copies = [torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in tensors]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> list[Tensor]:
        copied.synchronize()
        return copies

    return wait


def ahead_on_device(batches: Iterable, device: torch.device) -> Iterator:
    """Yield batches on the device, copied ahead of need; see `copy_ahead`."""
    return (moved for _, moved in copy_ahead(batches, device))


def copy_ahead(batches: Iterable, device: torch.device) -> Iterator[tuple]:
    """Yield each batch as it came, and with its images, points and to_image on the device.

    To CUDA the next batch is copied on a stream of its own while the device works on the one
    before. Copies are from pinned memory, else the host waits for them. On other devices, and where
    a batch lies on the device already, nothing is done ahead.

    Args:
        batches: of `landmarks.data.batches.cropped_faces.Batch`, or anything like it.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    begun: deque = deque()
    for batch in batches:
        if batch.images.device.type == device.type:
            yield batch, batch
        elif stream is None:
            yield batch, _moved(batch, device)
        else:
            with torch.cuda.stream(stream):
                begun.append((batch, _moved(batch, device), stream.record_event()))
            if len(begun) > AHEAD:
                yield _take_over(*begun.popleft())
    while begun:
        yield _take_over(*begun.popleft())


def _moved(batch, device: torch.device):
    return batch._replace(**{name: move(getattr(batch, name), device) for name in COPIED})


def _take_over(batch, moved, copied: torch.cuda.Event) -> tuple:
    """Let the current stream use a batch that another one has copied, once it is there."""
    current = torch.cuda.current_stream(moved.images.device)
    current.wait_event(copied)
    for name in COPIED:  # the memory is another batch's only when this stream is done with it
        getattr(moved, name).record_stream(current)
    return batch, moved
